"""The second stage: asks the reranker within its share of the time, and keeps what it delivered.

Nothing here fails a search. What was not done becomes words in `coverage.reasons`.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from app.api.search.ports import Reranker, RerankQuery
from app.web.errors import ComposeUnsupported, RerankerError, RerankTimeout
from indexer.gallery.ports import Hit
from models.contracts.intent import ComposedIntent

DEADLINE = RerankTimeout.reason

_log = logging.getLogger(__name__)


@dataclass
class Judging:
    """What the reranker has delivered for one search so far.

    Attributes:
        scores: Image id → rerank score.
        reranker: Version of the reranker that gave the scores, or, while there are none, the
            intent.
        reasons: Words for what went wrong.
    """

    scores: dict[str, float] = field(default_factory=dict)
    reranker: str | None = None
    reasons: list[str] = field(default_factory=list)

    def note(self, reason: str) -> None:
        """Add a word, once."""
        if reason not in self.reasons:
            self.reasons.append(reason)


class RerankingStage:
    """A reranker, asked with an eye on the clock. Deadlines are times of the event loop, in
    seconds.

    No timeout is ever held across a `yield`: it would strike whoever happens to be awaited then.
    """

    def __init__(
        self,
        reranker: Reranker,
        composes: bool = True,
        compose_timeout_ms: int = 800,
        response_margin_ms: int = 30,
    ) -> None:
        """Set the bounds.

        Args:
            reranker: Whom to ask.
            composes: Whether it is asked for the intents of searches that do not say.
            compose_timeout_ms: Longest wait for an intent.
            response_margin_ms: Judging stops this long before the deadline.
        """
        self._reranker, self.composes = reranker, composes
        self._compose_timeout_s = compose_timeout_ms / 1000
        self._response_margin_s = response_margin_ms / 1000

    async def compose(
        self, query: RerankQuery, deadline: float, rerank_scores: Judging
    ) -> ComposedIntent | None:
        """The reranker's intent, or None in time for the search to do without."""
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            rerank_scores.note(DEADLINE)
            return None
        share_s = min(self._compose_timeout_s, left_s / 2)
        try:
            async with asyncio.timeout(share_s):
                composed = await self._reranker.compose(query, share_s)
            rerank_scores.reranker = composed.reranker
            return composed.intent
        except (TimeoutError, RerankTimeout):
            # the share of this step is spent, not the search's time, so no word for that
            _log.info("no intent by the reranker within %.0f ms", share_s * 1000)
        except ComposeUnsupported as error:
            _log.info("no intent by the reranker: %s", error)
        except RerankerError as error:
            _log.warning("no intent by the reranker: %s", error)
            rerank_scores.note(error.reason)
        return None

    async def rerank(
        self,
        query: RerankQuery,
        target: str | None,
        candidates: Sequence[Hit],
        deadline: float,
        rerank_scores: Judging,
    ) -> AsyncGenerator[int, None]:
        """Judge candidates into `judging` until done or time is up.

        Yields:
            How many are judged, whenever there are more.
        """
        stop_at = deadline - self._response_margin_s
        left_s = stop_at - asyncio.get_running_loop().time()
        if left_s <= 0:
            rerank_scores.note(DEADLINE)
            return
        images = [candidate.image for candidate in candidates]
        try:
            async with aclosing(self._reranker.rerank(query, target, images, left_s)) as chunks:
                while True:
                    async with asyncio.timeout_at(stop_at):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    rerank_scores.reranker = chunk.reranker
                    rerank_scores.scores.update({one.image_id: one.score for one in chunk.scores})
                    yield len(rerank_scores.scores)
        except TimeoutError:
            rerank_scores.note(DEADLINE)
        except RerankerError as error:
            _log.warning("%d of %d judged: %s", len(rerank_scores.scores), len(images), error)
            rerank_scores.note(error.reason)
