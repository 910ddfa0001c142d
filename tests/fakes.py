"""Doubles of our own ports, small enough to check by eye."""

import asyncio
from collections.abc import Sequence

import numpy as np

from app.api.ports import Candidate, Embedding
from app.errors import GalleryUnavailable, UnknownImage
from models.contracts.gallery import GalleryImage, GallerySpec
from models.contracts.intent import ComposedIntent, Roles

SPEC = GallerySpec(encoder_fingerprint="fake-1", embedding_dim=4, built_at="2026-01-01T00:00:00Z")


def gallery_image(image_id: str, content_hash: str = "a" * 64) -> GalleryImage:
    """A gallery image of no consequence."""
    return GalleryImage(image_id=image_id, content_hash=content_hash, width=10, height=10)


class FakeGallery:
    """Finds its images in the order given; remembers how it was asked."""

    def __init__(self, images: Sequence[GalleryImage]) -> None:
        self.images = list(images)
        self.excluded: str | None = None
        self.limit = 0

    async def spec(self) -> GallerySpec:
        return SPEC

    async def count(self) -> int:
        return len(self.images)

    async def retrieve(self, query_embedding, limit, filters, exclude_content_hash):  # type: ignore[no-untyped-def]
        self.limit, self.excluded = limit, exclude_content_hash
        kept = [image for image in self.images if image.content_hash != exclude_content_hash]
        return [Candidate(image, 1 - rank / 10) for rank, image in enumerate(kept[:limit])]

    async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        for image in self.images:
            if image.image_id == image_id:
                return image, np.ones(4, np.float32) / 2
        raise UnknownImage(f"no image {image_id}")

    async def page(self, limit, offset, filters):  # type: ignore[no-untyped-def]
        return self.images[:limit], None


class FakeQueryEmbedder:
    """Takes `delay_s` for a query embedding; composes with the source it is told."""

    fingerprint = "fake-1"

    def __init__(self, source: str = "facets", delay_s: float = 0) -> None:
        self.source, self.delay_s = source, delay_s
        self.modes: list[str] = []

    def check_ready(self, spec: GallerySpec) -> None:
        if spec.encoder_fingerprint != self.fingerprint:
            raise GalleryUnavailable("another encoder")

    async def encode_reference(self, image: object) -> Embedding:
        return np.ones(4, np.float32) / 2

    async def compose(self, reference: Embedding, text: str, roles: Roles | None) -> ComposedIntent:
        if roles is not None:
            return ComposedIntent(**roles.model_dump(), source="client")
        return ComposedIntent(target=text, source=self.source)  # type: ignore[arg-type]

    async def embed(self, mode, reference, text, intent):  # type: ignore[no-untyped-def]
        self.modes.append(mode)
        await asyncio.sleep(self.delay_s)
        return reference
