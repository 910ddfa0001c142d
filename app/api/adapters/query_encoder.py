"""The `QueryEncoder` and `PatchEmbedder` ports on open_clip: one thread that owns the model, so
the event loop never runs torch.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from app.web.errors import OtherEncoder
from indexer.gallery.errors import InvalidRequest
from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent, Intent
from models.encoder.encoder import ImageTextEncoder
from models.encoder.text_cache import RememberedTexts
from models.encoder.types import Embedding, Embeddings, Patches
from models.query.composition import Composer
from models.query.weights import CompositionMode, CompositionWeights, PartialWeights

T = TypeVar("T")

_TEXTS_AT_ONCE = 16  # of a vocabulary: a search waits no longer than these take


class ClipQueryEncoder:
    """Embeds queries, for whichever gallery is in service."""

    def __init__(self, encoder: ImageTextEncoder, weights: CompositionWeights) -> None:
        self._encoder, self._weights = encoder, weights
        self._texts = RememberedTexts(encoder.encode_texts, encoder.embedding_dim)
        self._thread = ThreadPoolExecutor(1, "encoder")

    def close(self) -> None:
        """Finish what is running."""
        self._thread.shutdown()

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""
        return self._encoder.fingerprint

    async def learn(self, spec: GallerySpec) -> Composer:
        """Get to know a gallery's vocabulary, a few texts at a time: searches get in between.

        Texts that an earlier gallery had are not embedded again.

        Raises:
            OtherEncoder: The gallery was embedded by another encoder.
        """
        self.check_encoder(spec)
        composer = Composer(spec, self._texts.encode, self._weights)
        new = self._texts.unknown(composer.vocabulary())
        for start in range(0, len(new), _TEXTS_AT_ONCE):
            await self.encode_texts(new[start : start + _TEXTS_AT_ONCE])
        grey = await self.encode_reference(Image.new("RGB", (224, 224), "grey"))
        await self.compose(composer, grey, "the same", None)  # what is left to be warmed up
        return composer

    async def encode_reference(self, image: Image.Image) -> Embedding:
        """A reference image's embedding; see the port."""
        return await self._run(lambda: self._encoder.encode_images([image])[0])

    async def compose(
        self, composer: Composer, reference: Embedding, text: str, roles: Intent | None
    ) -> ComposedIntent:
        """The intent; see the port."""
        return await self._run(lambda: composer.intent(reference, text, roles))

    async def embed(
        self,
        composer: Composer,
        mode: CompositionMode,
        reference: Embedding,
        text: str,
        intent: ComposedIntent | None,
        weights: PartialWeights | None = None,
    ) -> Embedding:
        """The query embedding; see the port."""
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
        return await self._run(lambda: self._texts.encode(texts))

    def check_encoder(self, spec: GallerySpec) -> None:
        """Check that a gallery was embedded by this encoder.

        Raises:
            OtherEncoder: It was not; says by which, and what to do.
        """
        if spec.encoder_fingerprint != self.fingerprint:
            raise OtherEncoder(
                f"the gallery was built with encoder {spec.encoder_fingerprint}, but this service "
                f"runs {self.fingerprint}; build it again, or set the preset it was built with"
            )

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
