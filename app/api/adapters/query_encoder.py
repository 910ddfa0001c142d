"""The `QueryEncoder` and `PatchEncoder` ports on open_clip, one hop to its thread each."""

import asyncio
import time
from collections.abc import Sequence
from typing import TypeVar

from PIL import Image

from app.api.adapters.encoder_queue import EncoderQueue
from app.api.search.ports import EncodedQuery
from app.web.errors import OtherEncoder
from indexer.gallery.errors import InvalidRequest
from models.contracts.gallery import GallerySpec
from models.contracts.intent import Intent
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding, Embeddings, Patches
from models.query.composition import ComposedQuery, Composer
from models.query.intent_builder import Attributes
from models.query.text_requests import TextRequests
from models.query.weights import (
    CompositionMode,
    CompositionWeights,
    PartialWeights,
    UnderstoodWeights,
)

T = TypeVar("T")

_TEXTS_AT_ONCE = 16  # of a vocabulary: a search waits no longer than these take


class ClipQueryEncoder:
    """Embeds queries, for whichever gallery is in service."""

    def __init__(
        self,
        encoder: ImageTextEncoder,
        weights: CompositionWeights,
        understood: UnderstoodWeights | None = None,
    ) -> None:
        self._encoder, self._weights, self._understood = encoder, weights, understood
        self._queue = EncoderQueue(encoder)

    def close(self) -> None:
        """Finish what is running."""
        self._queue.close()

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint."""
        return self._encoder.fingerprint

    async def prepare_composer(self, spec: GallerySpec) -> Composer:
        """A composer whose vocabulary is embedded, a few texts at a time: searches get in between.

        Texts that an earlier gallery had are not embedded again.

        Raises:
            OtherEncoder: The gallery was embedded by another encoder.
        """
        self.check_encoder(spec)
        # the vocabulary's words are embedded beside the searches, not on the event loop
        scale = self._encoder.logit_scale
        composer = await asyncio.to_thread(Composer, spec, self._weights, self._understood, scale)
        new = self._queue.texts.unknown(composer.vocabulary())
        for start in range(0, len(new), _TEXTS_AT_ONCE):
            await self._encode_texts(new[start : start + _TEXTS_AT_ONCE], alone=True)
        grey = Image.new("RGB", (224, 224), "grey")
        await self.compose(composer, "intersection", grey, "the same")  # what is left to warm up
        self._queue.texts.keep(composer.vocabulary())
        return composer

    async def encode_reference(self, image: Image.Image, texts: Sequence[str] = ()) -> Embedding:
        """A reference image's embedding; see the port."""

        def start(reference: Embedding | None) -> TextRequests[Embedding]:
            assert reference is not None
            yield texts
            return reference

        return await self._queue.run(start, image)

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
        """Intent and query embedding; see the port."""
        try:
            whole = None if weights is None else self._weights.changed_by(weights)
        except ValueError as error:
            raise InvalidRequest(f"weights: {error}") from None
        picture = reference if isinstance(reference, Image.Image) else None

        def start(encoded: Embedding | None) -> TextRequests[EncodedQuery]:
            known = encoded if isinstance(reference, Image.Image) else reference
            assert known is not None
            remembered = self._queue.texts.known
            asking = composer.compose(mode, known, text, intent, whole, remembered, attributes)
            return _timed(asking)

        return await self._queue.run(start, picture)

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

        def start(_: Embedding | None) -> TextRequests[Patches]:
            yield from ()
            return self._encoder.encode_patches(image)

        return await self._queue.run(start, alone=True)

    async def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Texts' embeddings; see the port."""
        return await self._encode_texts(texts)

    async def _encode_texts(self, texts: Sequence[str], alone: bool = False) -> Embeddings:
        def start(_: Embedding | None) -> TextRequests[Embeddings]:
            return (yield texts)

        return await self._queue.run(start, alone=alone)

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


def _timed(composing: TextRequests[ComposedQuery]) -> TextRequests[EncodedQuery]:
    """The same computation, with the seconds that it took itself."""
    took_s, rows = 0.0, None
    while True:
        began = time.perf_counter()
        try:
            texts = next(composing) if rows is None else composing.send(rows)
        except StopIteration as end:
            took_s += time.perf_counter() - began
            query: ComposedQuery = end.value
            return EncodedQuery(query.intent, query.embeddings, query.target, took_s)
        took_s += time.perf_counter() - began
        rows = yield texts
