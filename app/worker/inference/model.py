"""What the worker needs of a reranker. `models.reranker.reranker.Judge` is the real one.

`prepare` runs on the CPU and on any thread. Everything else runs on the one thread that owns the
device, one call at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from models.contracts.intent import ComposedIntent


class PreparedImage(Protocol):
    """A picture as the reranker's processor wants it; in main memory."""

    @property
    def visual_tokens(self) -> int:
        """What it costs to rerank."""


class VisualFeatures(Protocol):
    """What the vision tower makes of a picture; on the device, worth caching."""

    @property
    def nbytes(self) -> int:
        """Memory it takes."""


class Prefix(Protocol):
    """Everything of a prompt before the candidate: keys and values, computed once per query.

    Never changed by use: one prefix serves `compose`, `with_target` and any number of `score`.
    """

    @property
    def nbytes(self) -> int:
        """Memory it takes."""


class RerankerModel(Protocol):
    """Composes intents and says how well candidates fit."""

    @property
    def version(self) -> str:
        """Base, adapter and template in one short word; changes when scores may change."""

    @property
    def composes(self) -> bool:
        """Whether `compose` can be asked for; some judges only score."""

    @property
    def device_reason(self) -> str:
        """Where it runs and why, in words."""

    def prepare(self, picture: Image.Image) -> PreparedImage:
        """Scale and normalise a picture."""

    def prefill(self, reference: PreparedImage, modification_text: str) -> Prefix:
        """Read the instruction, the reference and the text."""

    def compose(self, prefix: Prefix) -> ComposedIntent:
        """Generate the intent.

        Raises:
            IntentParseError: What came out has not the form it was trained to have
                (`models.reranker.intent_format.UnreadableIntent`, a ValueError).
        """

    def with_target(self, prefix: Prefix, target: str) -> Prefix:
        """The prefix with the wished-for picture in words behind it, ready for `score`."""

    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Run the vision tower."""

    def score(self, prefix: Prefix, candidates: Sequence[VisualFeatures]) -> list[float]:
        """σ(z_yes − z_no) for each candidate; all in one forward pass."""

    def warm_up(self, chunk_size: int) -> None:
        """Run everything once at its usual size."""

    def self_test(self) -> None:
        """Judge pairs nobody can mistake, and check that judging works at all.

        Raises:
            RuntimeError: It does not; the sentence says how that shows.
        """


QueryKey = tuple[str, str]


@dataclass(frozen=True)
class Query:
    """A reference and a modification text, and until when somebody waits.

    Attributes:
        reference_hash: SHA-256 of the reference's bytes.
        deadline: In seconds of `time.monotonic`.
    """

    query_id: str
    reference: PreparedImage
    reference_hash: str
    modification_text: str
    deadline: float

    @property
    def key(self) -> QueryKey:
        """Queries with the same key have the same prefix."""
        return self.reference_hash, self.modification_text
