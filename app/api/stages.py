"""What goes into a search and what comes out of it, stage by stage."""

from dataclasses import dataclass

from PIL import Image

from app.api.fusion import Ranked
from app.api.schemas import SearchOptions
from models.contracts.intent import ComposedIntent


@dataclass(frozen=True)
class Upload:
    """A decoded picture, and the SHA-256 of the bytes it came as."""

    picture: Image.Image
    content_hash: str


@dataclass(frozen=True)
class ComposedQuery:
    """What a client asks.

    Attributes:
        reference: An uploaded picture, or the id of a gallery image.
        modification_text: What should be different.
        options: Everything else.
    """

    reference: Upload | str
    modification_text: str
    options: SearchOptions


@dataclass(frozen=True)
class IntentFound:
    """How the query was understood; None for the baselines."""

    intent: ComposedIntent | None


@dataclass(frozen=True)
class SearchOutcome:
    """What was found, and how.

    Attributes:
        intent: The roles; None for the baselines.
        top_k: How many results were asked for.
        ranked: All candidates of the coarse stage, in their final order.
        reranked: How many of them the judge scored.
        reasons: Stable words, see `schemas.Coverage`.
        degraded: Whether the answer is less than what was asked for.
        judge: Version of the judge if it had a part in this; else None.
    """

    intent: ComposedIntent | None
    top_k: int
    ranked: list[Ranked]
    reranked: int
    reasons: list[str]
    degraded: bool
    judge: str | None


@dataclass(frozen=True)
class CoarseFound:
    """The answer as it would be without the second stage."""

    outcome: SearchOutcome


@dataclass(frozen=True)
class Judged:
    """So many of the candidates to judge are judged."""

    reranked: int
    of: int


Stage = IntentFound | CoarseFound | Judged | SearchOutcome
