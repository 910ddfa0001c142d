"""Queries on the shipped encoder: how many passes they take, and learning a gallery's words."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from app.api.adapters.query_encoder import ClipQueryEncoder
from app.api.adapters.snapshots import SnapshotWatcher
from app.api.search.limits import SearchLimits
from app.api.search.metrics import StageTimer
from app.api.search.ports import PublishedGeneration
from app.api.search.service import SearchService
from app.api.search.types import SearchOptions, SearchQuery, SearchResult, Upload
from app.web.errors import OtherEncoder
from indexer.demo.render import render_scene
from indexer.demo.scene import Item, Scene
from models.contracts.gallery import Facet, GalleryImage, GallerySpec
from models.contracts.intent import ComposedIntent
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding, Embeddings
from models.query.composition import ComposedQuery, Composer
from models.query.text_requests import TextRequests, answer
from models.query.weights import CompositionWeights
from tests.fakes import FakeGallery, gallery_image

COLOURS = ("red", "blue", "green", "black", "white", "grey")


class CountingEncoder:
    """The shipped encoder; remembers the texts it embedded, batch by batch."""

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self.fingerprint, self.embedding_dim = encoder.fingerprint, encoder.embedding_dim
        self.preprocess, self.logit_scale = encoder.preprocess, encoder.logit_scale
        self.batches: list[list[str]] = []
        self.pictures: list[int] = []

    def encode_preprocessed(self, tensors: Sequence[torch.Tensor]) -> Embeddings:
        self.pictures.append(len(tensors))
        return self._encoder.encode_preprocessed(tensors)

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


TEXTS = (
    "the same but blue",
    "add a red mug to the left",
    "without the lamp",
    "something more elegant",
    "a striped sofa in grey and a car",
)
LIMITS = SearchLimits(
    max_top_k=50, max_retrieval_depth=200, timeout_ms=60_000, max_concurrent_searches=20
)


def two_things(colour: str) -> Image.Image:
    """A picture of a sofa and a lamp."""
    items = (Item("sofa", colour, "plain"), Item("lamp", "green", "striped"))
    return render_scene(Scene(items, "studio", seed=1), 96)


class CountedSource:
    """One generation; counts how often it is asked for it."""

    def __init__(self, generation: PublishedGeneration) -> None:
        self.generation, self.asked = generation, 0

    async def current(self) -> PublishedGeneration:
        self.asked += 1
        return self.generation


def searches(
    encoder: CountingEncoder, queries: Sequence[SearchQuery], at_once: bool
) -> list[SearchResult]:
    """Answers of a service that has learned a gallery of images with several things each; the
    passes of learning are not counted.
    """
    facets = (
        Facet(name="colour", kind="keyword", values=COLOURS, multi_valued=True),
        Facet(name="pattern", kind="keyword", values=("plain", "striped", "dotted")),
        Facet(name="category", kind="keyword", values=("sofa", "lamp", "mug", "car"),
              multi_valued=True),
    )  # fmt: skip
    generation = FakeGallery([gallery_image("one"), gallery_image("two", "2" * 64)])
    generation.spec = spec(encoder, COLOURS).model_copy(update={"facets": facets})
    source = CountedSource(generation)
    embedder = ClipQueryEncoder(cast(ImageTextEncoder, encoder), CompositionWeights())

    async def main() -> list[SearchResult]:
        gallery = SnapshotWatcher(source, embedder, "demo")
        await gallery.update()
        encoder.batches.clear()
        encoder.pictures.clear()
        source.asked = 0
        service = SearchService(embedder, gallery, LIMITS)
        if at_once:
            answers = [service.search(query, StageTimer()) for query in queries]
            return await asyncio.gather(*answers)
        return [await service.search(query, StageTimer()) for query in queries]

    try:
        found = asyncio.run(main())
    finally:
        embedder.close()
    assert source.asked == 0  # the snapshot has all that a search must know
    return found


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("mode", ["intersection", "union", "text", "image"])
def test_a_search_takes_one_pass_for_its_texts_and_one_for_its_image(
    encoder: ImageTextEncoder, text: str, mode: str
) -> None:
    counting = CountingEncoder(encoder)
    options = SearchOptions.model_validate({"composition": mode})
    query = SearchQuery(Upload(two_things("red"), "0" * 64), text, options)
    first, again = searches(counting, [query, query], at_once=False)
    assert counting.pictures == [1, 1]
    assert len(counting.batches) == (0 if mode == "image" else 1)
    assert first.intent == again.intent


def test_a_search_from_the_gallery_takes_one_pass_at_most(encoder: ImageTextEncoder) -> None:
    counting = CountingEncoder(encoder)
    generation_query = SearchQuery("one", TEXTS[0], SearchOptions())
    sent = SearchOptions.model_validate(
        {"intent": {"target": "a pink car", "preserve": ["car"], "desired": ["pink"]}}
    )

    class Gallery(FakeGallery):
        async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
            image, _ = await super().get(image_id)
            return image, encoder.encode_images([two_things("red")])[0]

    for query in (generation_query, SearchQuery("one", TEXTS[1], sent)):
        embedder = ClipQueryEncoder(cast(ImageTextEncoder, counting), CompositionWeights())

        async def main(embedder: ClipQueryEncoder, query: SearchQuery) -> None:
            generation = Gallery([gallery_image("one")])
            generation.spec = spec(counting, COLOURS)
            gallery = SnapshotWatcher(CountedSource(generation), embedder, "demo")
            await gallery.update()
            counting.batches.clear()
            counting.pictures.clear()
            await SearchService(embedder, gallery, LIMITS).search(query, StageTimer())

        asyncio.run(main(embedder, query))
        embedder.close()
        assert len(counting.batches) <= 1  # none, where all phrases are known
        assert counting.pictures == []


def test_searches_at_once_share_passes_and_find_what_each_finds_alone(
    encoder: ImageTextEncoder,
) -> None:
    queries = [
        SearchQuery(Upload(two_things(colour), "0" * 64), text, SearchOptions())
        for colour in COLOURS[:4]
        for text in TEXTS
    ]
    counting = CountingEncoder(encoder)
    together = searches(counting, queries, at_once=True)
    assert sum(counting.pictures) == len(queries)
    assert len(counting.pictures) < len(queries)
    assert len(counting.batches) <= len(counting.pictures)
    alone = searches(CountingEncoder(encoder), queries, at_once=False)
    assert [one.intent for one in together] == [one.intent for one in alone]


def test_beside_a_reranker_only_what_is_new_is_embedded_afterwards(
    encoder: ImageTextEncoder,
) -> None:
    counting = CountingEncoder(encoder)
    embedder = ClipQueryEncoder(cast(ImageTextEncoder, counting), CompositionWeights())
    composer = Composer(spec(counting, COLOURS), CompositionWeights())
    composed = ComposedIntent(target="a pink car", preserve=("car",), source="mllm")

    async def main() -> None:
        reference = await embedder.encode_reference(two_things("red"), [TEXTS[0]])
        query = await embedder.compose(composer, "intersection", reference, TEXTS[0], composed)
        assert query.intent == composed

    try:
        asyncio.run(main())
    finally:
        embedder.close()
    assert counting.pictures == [1]
    assert counting.batches == [[TEXTS[0]], ["a pink car", "car"]]


def test_one_pass_gives_what_single_texts_give(encoder: ImageTextEncoder) -> None:
    """The query embedding, up to the noise of batching."""
    counting = CountingEncoder(encoder)
    composer = Composer(spec(counting, COLOURS), CompositionWeights())
    for text in TEXTS:
        reference = encoder.encode_images([two_things("red")])[0]
        both = answer(composer.compose("intersection", reference, text), encoder.encode_texts)
        assert both.intent is not None

        def singly(texts: Sequence[str]) -> Embeddings:
            rows = [encoder.encode_texts([one]) for one in texts]
            return np.concatenate(rows) if rows else np.zeros((0, reference.size), np.float32)  # noqa: B023

        intent = answer(composer.intent(reference, text), singly)
        embedding = answer(composer.embed("intersection", reference, text, intent), singly)
        assert both.intent == intent
        np.testing.assert_allclose(both.embeddings, embedding, atol=1e-6)


class WatchedComposer(Composer):
    """Notes on which threads it is made, and reads texts."""

    def __init__(self, gallery: GallerySpec) -> None:
        self.threads = {threading.current_thread().name}
        super().__init__(gallery, CompositionWeights())

    def compose(self, *asked: Any, **more: Any) -> TextRequests[ComposedQuery]:
        self.threads.add(threading.current_thread().name)
        query: ComposedQuery = yield from super().compose(*asked, **more)
        self.threads.add(threading.current_thread().name)
        return query


def test_texts_are_read_beside_the_event_loop(encoder: ImageTextEncoder) -> None:
    embedder = ClipQueryEncoder(encoder, CompositionWeights())
    composer = WatchedComposer(spec(CountingEncoder(encoder), COLOURS))
    composer.threads.clear()

    async def main() -> None:
        await embedder.compose(composer, "intersection", two_things("red"), "in navy, blorptastic")

    try:
        asyncio.run(main())
    finally:
        embedder.close()
    assert len(composer.threads) == 1
    assert composer.threads.pop().startswith("encoder")
