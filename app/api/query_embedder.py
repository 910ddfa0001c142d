"""The `QueryEmbedder` and `PatchEmbedder` ports on open_clip: one thread that owns the model, so
the event loop never runs torch.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from app.api.ports import Embedding
from app.errors import GalleryUnavailable, InvalidRequest
from models.composition.composer import Composer
from models.composition.relevance import Patches
from models.composition.vector import (
    CompositionMode,
    CompositionWeights,
    Embeddings,
    PartialWeights,
)
from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent, Roles
from models.encoder import ImageTextEncoder

T = TypeVar("T")


class ClipQueryEmbedder:
    """Embeds queries for the gallery in service."""

    def __init__(self, encoder: ImageTextEncoder, weights: CompositionWeights) -> None:
        self._encoder, self._weights = encoder, weights
        self._composer: Composer | None = None
        self._learned: GallerySpec | None = None
        self._thread = ThreadPoolExecutor(1, "encoder")

    def close(self) -> None:
        """Finish what is running."""
        self._thread.shutdown()

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""
        return self._encoder.fingerprint

    async def learn(self, spec: GallerySpec) -> None:
        """Get to know a gallery's schema, and warm up both towers and the gallery's words.

        Raises:
            GalleryUnavailable: The gallery was embedded by another encoder.
        """
        self.check_encoder(spec)

        def warm_up() -> Composer:
            composer = Composer(spec, self._encoder.encode_texts, self._weights)
            grey = self._encoder.encode_images([Image.new("RGB", (224, 224), "grey")])[0]
            composer.intent(grey, "the same")
            return composer

        self._composer = await self._run(warm_up)
        self._learned = spec

    def check_ready(self, spec: GallerySpec) -> None:
        """Whether this gallery's queries can be embedded; see the port."""
        self.check_encoder(spec)
        if self._learned != spec:
            raise GalleryUnavailable("the service is still opening the gallery")

    def check_open(self) -> None:
        """Whether a gallery has been opened; see the port."""
        self._ready()

    async def encode_reference(self, image: Image.Image) -> Embedding:
        """A reference image's embedding; see the port."""
        return await self._run(lambda: self._encoder.encode_images([image])[0])

    async def compose(self, reference: Embedding, text: str, roles: Roles | None) -> ComposedIntent:
        """The intent; see the port."""
        composer = self._ready()
        return await self._run(lambda: composer.intent(reference, text, roles))

    async def embed(
        self,
        mode: CompositionMode,
        reference: Embedding,
        text: str,
        intent: ComposedIntent | None,
        weights: PartialWeights | None = None,
    ) -> Embedding:
        """The query embedding; see the port."""
        composer = self._ready()
        try:
            whole = self._weights.changed_by(weights)
        except ValueError as error:
            raise InvalidRequest(f"weights: {error}") from None
        return await self._run(lambda: composer.embed(mode, reference, text, intent, whole))

    @property
    def explains(self) -> bool:
        """Whether the encoder can be read place by place; see the port."""
        return self._encoder.has_patches

    @property
    def logit_scale(self) -> float:
        """What turns cosines into logits; see the port."""
        return self._encoder.logit_scale

    async def encode_patches(self, image: Image.Image) -> Patches:
        """An image's patches; see the port."""
        return await self._run(lambda: self._encoder.encode_patches(image))

    async def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Texts' embeddings; see the port."""
        composer = self._ready()
        return await self._run(lambda: composer.encode_texts(texts))

    def check_encoder(self, spec: GallerySpec) -> None:
        """Check that a gallery was embedded by this encoder.

        Raises:
            GalleryUnavailable: It was not; says by which, and what to do.
        """
        if spec.encoder_fingerprint != self.fingerprint:
            raise GalleryUnavailable(
                f"the gallery was built with encoder {spec.encoder_fingerprint}, but this service "
                f"runs {self.fingerprint}; build it again, or set the preset it was built with"
            )

    def _ready(self) -> Composer:
        if self._composer is None:
            raise GalleryUnavailable("the service has not opened its gallery yet; see /readyz")
        return self._composer

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
