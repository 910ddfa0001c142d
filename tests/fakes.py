"""Doubles of our own ports, small enough to check by eye."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from app.api.http.dependencies import Services
from app.api.search.admission import ConcurrencyLimit
from app.api.search.explain import RelevanceExplainer
from app.api.search.limits import SearchLimits
from app.api.search.ports import (
    EncodedQuery,
    GallerySnapshot,
    RerankerIntent,
    RerankQuery,
    RerankScores,
)
from app.api.search.service import SearchService
from app.web.errors import CandidatesFailed, RerankerError
from indexer.gallery.errors import ImageNotFound
from indexer.gallery.image_store import ImageStore
from indexer.gallery.ports import Hit
from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage, GallerySpec
from models.contracts.intent import ComposedIntent, Intent, IntentSource
from models.datasets.images import ImageLimits
from models.encoder.types import Embedding, Embeddings, Patches
from models.query.composition import Composer
from models.query.intent_builder import Attributes
from models.query.weights import CompositionMode, CompositionWeights, PartialWeights

SPEC = GallerySpec(
    encoder_fingerprint="fake-1",
    embedding_dim=4,
    preset="demo",
    rerank_px=448,
    thumbnail_px=256,
    built_at="2026-01-01T00:00:00Z",
)


def as_jpeg(content: str) -> bytes:
    """Begins and ends as a JPEG does; the rest is not decoded."""
    return b"\xff\xd8\xff" + content.encode() + b"\xff\xd9"


def gallery_image(image_id: str, content_hash: str = "a" * 64) -> GalleryImage:
    """A gallery image of no consequence."""
    return GalleryImage(image_id=image_id, content_hash=content_hash, width=10, height=10)


class FakeGallery:
    """Finds its images in the order given; remembers how it was asked. Its own generation."""

    spec = SPEC

    def __init__(self, images: Sequence[GalleryImage]) -> None:
        self.images = list(images)
        self.excluded: str | None = None
        self.limit = 0

    def snapshot(self) -> GallerySnapshot:
        return GallerySnapshot(self, Composer(SPEC, CompositionWeights()))

    async def check_ready(self) -> None:
        """Always."""

    async def count(self) -> int:
        return len(self.images)

    async def retrieve(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        exclude_content_hash: str | None,
        among: Sequence[str] | None = None,
    ) -> list[Hit]:
        self.limit, self.excluded = limit, exclude_content_hash
        kept = [image for image in self.images if image.content_hash != exclude_content_hash]
        return [Hit(image, 1 - rank / 10) for rank, image in enumerate(kept[:limit])]

    async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        for image in self.images:
            if image.image_id == image_id:
                return image, np.full(4, 0.5, np.float32)
        raise ImageNotFound(f"no image {image_id}")

    async def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[Sequence[GalleryImage], str | None]:
        return self.images[:limit], None

    async def sample(self, limit: int, filters: Filter | None) -> Sequence[GalleryImage]:
        return self.images[:limit]


class FakeQueryEncoder:
    """Takes `delay_s` for a query embedding; composes with the source it is told."""

    fingerprint = "fake-1"

    def __init__(self, source: IntentSource = "facets", delay_s: float = 0) -> None:
        self.source, self.delay_s = source, delay_s
        self.modes: list[str] = []

    async def encode_reference(self, image: object, texts: Sequence[str] = ()) -> Embedding:
        return np.full(4, 0.5, np.float32)

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
        self.modes.append(mode)
        await asyncio.sleep(self.delay_s)
        return EncodedQuery(
            self._intent(text, intent) if mode == "intersection" else None,
            np.full((1, 4), 0.5, np.float32),
            None,
            0.0,
        )

    def _intent(self, text: str, intent: Intent | None) -> ComposedIntent:
        if isinstance(intent, ComposedIntent):
            return intent
        if intent is not None:
            return ComposedIntent(**intent.model_dump(), source="client")
        return ComposedIntent(target=text, source=self.source)


class FakePatchEncoder:
    """Sees every phrase in the left half; counts images, and how many are encoded at once."""

    logit_scale = 10.0

    def __init__(self, explains: bool = True) -> None:
        self.explains = explains
        self.encoded = self.at_once = self.most_at_once = 0

    async def encode_patches(self, image: Image.Image) -> Patches:
        self.encoded += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        return Patches(np.array([[[1, 0], [0, 1]]], np.float32), (0, 0, 1, 1))

    async def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        return np.array([[1, 0]] + [[0, 1]] * (len(texts) - 1), np.float32)


class FakeReferenceImages:
    """One picture for all, unless `missing`."""

    def __init__(self, missing: bool = False) -> None:
        self.missing = missing

    async def of_upload(self, picture: object, side_px: int) -> bytes:
        return b"uploaded"

    async def of_gallery(self, content_hash: str, side_px: int) -> bytes:
        if self.missing:
            raise CandidatesFailed("no copy")
        return b"stored"


class FakeReranker:
    """Likes best what comes last; each answer and each score takes its time.

    Attributes:
        compose_error: Raised instead of an intent.
        rerank_error: Raised after `scored` candidates.
        scored: How many candidates get a score; None: all.
    """

    version = "fake-reranker-1"

    def __init__(self, compose_s: float = 0, score_s: float = 0) -> None:
        self.compose_s, self.score_s = compose_s, score_s
        self.compose_error: RerankerError | None = None
        self.rerank_error: RerankerError | None = None
        self.scored: int | None = None
        self.composed: list[RerankQuery] = []
        self.targets: list[str | None] = []
        self.closed = False

    async def compose(self, query: RerankQuery, timeout_s: float) -> RerankerIntent:
        self.composed.append(query)
        await asyncio.sleep(self.compose_s)
        if self.compose_error is not None:
            raise self.compose_error
        return RerankerIntent(ComposedIntent(target="a blue sofa", source="mllm"), self.version)

    async def rerank(
        self,
        query: RerankQuery,
        target: str | None,
        candidates: Sequence[GalleryImage],
        timeout_s: float,
    ) -> AsyncGenerator[RerankScores, None]:
        self.targets.append(target)
        version = self.version
        try:
            for rank, image in enumerate(candidates[: self.scored]):
                await asyncio.sleep(self.score_s)
                yield RerankScores({image.image_id: min(1.0, 0.2 * rank)}, version)
            if self.rerank_error is not None:
                raise self.rerank_error
        finally:
            self.closed = True


def fake_services(
    gallery: FakeGallery, search: SearchService | None = None, store: ImageStore | None = None
) -> Services:
    """What routes work with, on fakes; an image store that is not given is empty."""
    store = store or ImageStore(Path("no-images"))
    limits = SearchLimits(50, 200, 5000, 2)
    return Services(
        search=search or SearchService(FakeQueryEncoder(), gallery, limits),
        gallery=gallery,
        explainer=RelevanceExplainer(gallery, FakePatchEncoder(), store),
        browsing=ConcurrencyLimit(1, 16, "pages"),
        image_store=store,
        image_limits=ImageLimits(1_000_000, 1_000_000),
        notice=None,
    )
