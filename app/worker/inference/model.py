"""What the worker needs of a reranker model; `models.reranker.reranker.Reranker` is the real one.

The model comes with its own types of prepared images, features and prefixes. The worker only keeps
them and hands them back, so it knows of each no more than the protocols below. `prepare` runs on
the CPU and on any thread; everything else runs on the one thread that owns the device, one call at
a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from PIL import Image

from models.contracts.intent import ComposedIntent


class PreparedImage(Protocol):
    """An image as the model's processor wants it; in main memory."""

    @property
    def visual_tokens(self) -> int:
        """How many tokens of the language model it takes."""


class VisualFeatures(Protocol):
    """What the vision tower makes of an image; on the device, worth caching."""

    @property
    def nbytes(self) -> int:
        """Memory it takes on the device."""


class PrefixState(Protocol):
    """Everything of a prompt before the candidate: keys and values, computed once per query.

    Never changed by use: one prefix serves `compose`, `with_target` and any number of `score`.
    """

    @property
    def nbytes(self) -> int:
        """Memory it takes on the device."""


ImageT = TypeVar("ImageT", bound=PreparedImage)
FeaturesT = TypeVar("FeaturesT", bound=VisualFeatures)
PrefixT = TypeVar("PrefixT", bound=PrefixState)


class RerankerModel(Protocol[ImageT, FeaturesT, PrefixT]):
    """Composes intents and scores how well candidates fit."""

    @property
    def version(self) -> str:
        """Base, adapter and template in one short word; changes when scores may change."""

    @property
    def composes(self) -> bool:
        """Whether `compose` can be asked for; some rerankers only score."""

    @property
    def device_reason(self) -> str:
        """Where it runs and why, in words."""

    def prepare(self, picture: Image.Image) -> ImageT:
        """Scale and normalise an RGB image."""

    def prefill(self, reference: ImageT, modification_text: str) -> PrefixT:
        """Run the instruction, the reference and the text through the language model."""

    def compose(self, prefix: PrefixT) -> ComposedIntent:
        """Generate the intent.

        Raises:
            IntentParseError: The answer has not the form of an intent
                (`models.reranker.intent_format`).
        """

    def with_target(self, prefix: PrefixT, target: str) -> PrefixT:
        """The prefix for a question that names the target image in words, ready for `score`."""

    def features(self, images: Sequence[ImageT]) -> list[FeaturesT]:
        """Run the vision tower over B images; B features in their order."""

    def score(self, prefix: PrefixT, candidates: Sequence[FeaturesT]) -> list[float]:
        """σ(z_yes − z_no), 0 to 1, for each of B candidates, in their order."""

    def warm_up(self, chunk_size: int) -> None:
        """Run everything once at its usual size."""

    def self_test(self) -> None:
        """Score pairs with obvious answers, and check that the scores say so.

        Raises:
            RuntimeError: They do not; the sentence says how that shows.
        """


AnyReranker: TypeAlias = RerankerModel[Any, Any, Any]
"""A model whose own types the worker does not know."""

QueryKey: TypeAlias = tuple[str, str]
"""SHA-256 of the reference's bytes, and the modification text."""


@dataclass(frozen=True)
class Query:
    """A reference image and a modification text, and until when the answer is of use.

    Attributes:
        query_id: The API's request id.
        reference: The reference, prepared.
        reference_hash: SHA-256 of the reference's bytes, in hexadecimal.
        modification_text: What should be different.
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
