"""What the search needs of the world: domain types in, domain types out."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from indexer.gallery.ports import Hit
from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage, GallerySpec
from models.contracts.intent import ComposedIntent, Intent
from models.encoder.types import Embedding, Embeddings, Patches
from models.query.composition import Composer
from models.query.intent_builder import Attributes
from models.query.target import Target
from models.query.weights import CompositionMode, PartialWeights


class PublishedGeneration(Protocol):
    """The images of one build, read only; they never change. Where it has been dropped, the
    generation that replaced it answers.
    """

    @property
    def spec(self) -> GallerySpec:
        """What a reader must know before it searches."""

    async def count(self) -> int:
        """How many images it holds."""

    async def retrieve(
        self,
        query_embeddings: Embeddings,
        limit: int,
        filters: Filter | None,
        exclude_content_hash: str | None,
        among: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The nearest images, best first; `InvalidFilter` if the filter does not fit, or an image
        to search among is not there.
        """

    async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        """One image and its embedding; raises `ImageNotFound`."""

    async def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[Sequence[GalleryImage], str | None]:
        """Some images, and where the next page begins."""

    async def sample(self, limit: int, filters: Filter | None) -> Sequence[GalleryImage]:
        """Some images at random."""


@dataclass(frozen=True)
class GallerySnapshot:
    """What a search takes at its start and reads to its end.

    Attributes:
        generation: The images.
        composer: Knows the generation's vocabulary; for `QueryEncoder` alone to use.
    """

    generation: PublishedGeneration
    composer: Composer


class Gallery(Protocol):
    """The gallery in service, which may be replaced at any time."""

    def snapshot(self) -> GallerySnapshot:
        """As it is now; raises `GalleryUnavailable` if there is none for our encoder."""

    async def check_ready(self) -> None:
        """Raise `GalleryUnavailable` unless searches are answered; asks the engine."""


@dataclass(frozen=True)
class EncodedQuery:
    """A composed query, ready to be searched with.

    Attributes:
        intent: None for the baselines.
        embeddings: float32 (A, D) unit rows; a candidate's score is its best cosine to any.
        target: What may be shown, where the gallery's attributes say so.
        composing_s: What of the time went into composing, beside the encoder's passes.
    """

    intent: ComposedIntent | None
    embeddings: Embeddings
    target: Target | None
    composing_s: float


class QueryEncoder(Protocol):
    """Images, texts and roles → embeddings."""

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""

    async def encode_reference(self, image: Image.Image, texts: Sequence[str] = ()) -> Embedding:
        """A reference image's embedding; `texts` are embedded beside it, for `compose` to use."""

    async def compose(
        self,
        composer: Composer,
        mode: CompositionMode,
        reference: Image.Image | Embedding,
        text: str,
        intent: Intent | None = None,
        weights: PartialWeights | None = None,
        attributes: Attributes | None = None,
    ) -> EncodedQuery:
        """Intent and query embedding: of a reference image or its embedding, (D,), and a text.

        `attributes` are the reference's, where it is a gallery image. An intersection has the
        intent that is given, else one in the gallery's words. `weights` that are set replace the
        preset's; raises `InvalidRequest` if they leave nothing to search by.
        """


class PatchEncoder(Protocol):
    """Images → embeddings place by place, to explain what is seen where."""

    @property
    def explains(self) -> bool:
        """Whether the encoder in service can be read place by place."""

    @property
    def logit_scale(self) -> float:
        """What turns the encoder's cosines into logits."""

    async def encode_patches(self, image: Image.Image) -> Patches:
        """An image's patches; only where `explains`."""

    async def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Texts' embeddings, (B, D)."""


@dataclass(frozen=True)
class RerankQuery:
    """A composed query as a worker gets it.

    Attributes:
        query_id: The request's id.
        reference_jpeg: The reference at re-rank size.
        modification_text: What should be different.
        rerank_px: Longer side of the gallery's re-rank copies, in pixels: candidates are scored
            at this size.
    """

    query_id: str
    reference_jpeg: bytes
    modification_text: str
    rerank_px: int


@dataclass(frozen=True)
class RerankerIntent:
    """An intent, and the version of the reranker that composed it."""

    intent: ComposedIntent
    reranker: str


@dataclass(frozen=True)
class RerankScores:
    """Scores of some candidates.

    Attributes:
        by_image: Image id → how well it fits, 0 to 1.
        reranker: The version of the reranker that gave them.
    """

    by_image: Mapping[str, float]
    reranker: str


class Reranker(Protocol):
    """The multimodal model that composes intents and scores candidates; may be gone at any time."""

    async def compose(self, query: RerankQuery, timeout_s: float) -> RerankerIntent:
        """What the text wants of the reference; raises `RerankerError`."""

    def rerank(
        self,
        query: RerankQuery,
        target: str | None,
        candidates: Sequence[GalleryImage],
        timeout_s: float,
    ) -> AsyncGenerator[RerankScores, None]:
        """Scores as they are found, each candidate at most once and all by one version.

        Raises `RerankerError` where candidates are left without a score; the scores before it hold.
        """


class ReferenceImages(Protocol):
    """Reference images as the reranker wants them."""

    async def of_upload(self, picture: Image.Image, side_px: int) -> bytes:
        """An uploaded picture as JPEG, its longer side at most `side_px`."""

    async def of_gallery(self, content_hash: str, side_px: int) -> bytes:
        """A gallery image's stored copy; raises `CandidatesFailed` if there is none."""
