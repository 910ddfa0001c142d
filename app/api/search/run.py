"""One search on its way: what its stages read, and what they add to."""

import asyncio
from dataclasses import dataclass, field

from app.api.search.limits import Depths
from app.api.search.metrics import StageTimer
from app.api.search.ports import GallerySnapshot, RerankScores
from app.api.search.types import SearchQuery
from models.query.weights import CompositionMode


@dataclass
class Coverage:
    """What the reranker has done for one search so far, and why that is less than was asked.

    Attributes:
        scores: Image id → rerank score, 0 to 1.
        reranker: Version of the reranker that gave the scores, or, while there are none, the
            intent; None while it had no part.
        reasons: Stable words, each once; `http.schemas.Coverage` describes them.
        contradicting: Ids of the candidates whose own attributes contradict the query.
    """

    scores: dict[str, float] = field(default_factory=dict)
    reranker: str | None = None
    reasons: list[str] = field(default_factory=list)
    contradicting: set[str] = field(default_factory=set)

    def add_scores(self, scores: RerankScores) -> None:
        """Add the scores of some more candidates."""
        self.reranker = scores.reranker
        self.scores.update(scores.by_image)

    def add_reason(self, reason: str) -> None:
        """Add a word, unless it is there."""
        if reason not in self.reasons:
            self.reasons.append(reason)


@dataclass(frozen=True)
class SearchRun:
    """One search: handed from stage to stage.

    Attributes:
        query: What the client asks.
        mode: How the query is composed.
        depths: How far the search goes; nothing is re-ranked where there is no reranker.
        snapshot: The gallery; read to the end, whatever is in service by then.
        deadline: When the answer is due, in seconds on the event loop's clock.
        timer: Times the stages.
        coverage: What was done so far, and what could not be.
    """

    query: SearchQuery
    mode: CompositionMode
    depths: Depths
    snapshot: GallerySnapshot
    deadline: float
    timer: StageTimer
    coverage: Coverage = field(default_factory=Coverage)


def seconds_until(moment: float) -> float:
    """How long until a moment on the event loop's clock; negative once it has passed."""
    return moment - asyncio.get_running_loop().time()
