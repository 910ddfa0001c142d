"""Learning a gallery's words beside the searches that share the encoder."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from app.api.adapters.query_encoder import ClipQueryEncoder
from app.web.errors import OtherEncoder
from models.contracts.gallery import Facet, GallerySpec
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embeddings
from models.query.weights import CompositionWeights

COLOURS = ("red", "blue", "green", "black", "white", "grey")


class CountingEncoder:
    """The shipped encoder; remembers the texts it embedded, batch by batch."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self.fingerprint, self.embedding_dim = encoder.fingerprint, encoder.embedding_dim
        self.preprocess, self.encode_preprocessed = encoder.preprocess, encoder.encode_preprocessed
        self.batches: list[list[str]] = []

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        self.batches.append(list(texts))
        return self._encoder.encode_texts(texts)


def spec(encoder: CountingEncoder, colours: tuple[str, ...]) -> GallerySpec:
    facets = (
        Facet(name="colour", kind="keyword", values=colours),
        Facet(name="category", kind="keyword", values=("sofa", "lamp", "mug", "car")),
    )
    return GallerySpec(
        encoder_fingerprint=encoder.fingerprint, embedding_dim=encoder.embedding_dim,
        facets=facets, noun_facet="category", preset="demo",
        rerank_px=64, thumbnail_px=32, built_at=" ".join(colours),
    )  # fmt: skip


def test_a_vocabulary_is_learned_once_and_a_few_texts_at_a_time(encoder: ImageTextEncoder) -> None:
    counting = CountingEncoder(encoder)
    embedder = ClipQueryEncoder(cast(ImageTextEncoder, counting), CompositionWeights())

    async def main() -> None:
        learning = asyncio.create_task(embedder.prepare_composer(spec(counting, COLOURS[:5])))
        await asyncio.sleep(0)
        await embedder.encode_texts(["a search in between"])
        assert not learning.done()
        composer = await learning
        assert "a red sofa" in composer.vocabulary()
        assert max(map(len, counting.batches)) <= 16

        counting.batches.clear()
        await embedder.prepare_composer(spec(counting, COLOURS))
        assert {text for batch in counting.batches for text in batch} == {
            f"a grey {noun}" for noun in ("sofa", "lamp", "mug", "car")
        }
        foreign = spec(counting, COLOURS).model_copy(update={"encoder_fingerprint": "other-1"})
        with pytest.raises(OtherEncoder, match="built with encoder other-1"):
            await embedder.prepare_composer(foreign)

    try:
        asyncio.run(main())
    finally:
        embedder.close()
