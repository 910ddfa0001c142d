"""The embedded gallery answers as a scan would; cancelled work never starts.

On a server the same is tested in `tests/indexer/gallery/test_server.py`.
"""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from app.api.adapters.gallery import AsyncGallery, AsyncGeneration
from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import ImageNotFound, InvalidFilter, InvalidRequest
from indexer.gallery.server.reader import qdrant_filter
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.filter import Filter, NumberRange
from models.contracts.gallery import VECTOR_NAME, Facet, GalleryImage, GallerySpec

DIM, COUNT = 8, 60
FACETS = (
    Facet(name="colour", kind="keyword", values=("red", "blue", "green"), multi_valued=True),
    Facet(name="maker", kind="keyword"),
    Facet(name="price", kind="number"),
    Facet(name="sold", kind="flag"),
)
SPEC = GallerySpec(
    encoder_fingerprint="memory-1", embedding_dim=DIM, facets=FACETS, preset="demo", rerank_px=64,
    thumbnail_px=32, built_at="2026-01-01T00:00:00Z",
)  # fmt: skip
FILTERS: list[Filter] = [
    {"colour": "red"},
    {"colour": ["red", "blue", "red"], "sold": True},
    {"maker": ["ACME", "nobody", *(f"maker {number}" for number in range(200))]},
    {"price": NumberRange(gte=20, lt=150), "colour": "green"},
    {"price": NumberRange(gt=-3, lte=0)},
    {"price": 7.5},
    {"sold": False},
]


def picture(number: int) -> GalleryImage:
    """Some attributes are missing, some have several values, flags are no numbers."""
    colours = ["red", "blue", "green"]
    attributes = {
        "colour": colours[number % 3] if number % 4 else [colours[number % 3], "red"],
        "maker": "ACME" if number % 5 == 0 else f"maker {number}",
        "price": 7.5 if number == 3 else 10 * (number - 2),
        "sold": number % 2 == 0,
    }
    if number % 7 == 0:
        del attributes["price"], attributes["sold"]
    return GalleryImage(
        image_id=f"image-{number}", content_hash=f"{number:064x}", width=10, height=10,
        attributes=attributes,
    )  # fmt: skip


def embeddings() -> np.ndarray:
    rows = np.random.default_rng(3).normal(size=(COUNT, DIM)).astype(np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> GalleryWriterSettings:
    """A built gallery that no process has open."""
    settings = GalleryWriterSettings(path=Path(tmp_path_factory.mktemp("memory")) / "qdrant")
    writer = open_writer(settings)
    generation = writer.open_generation(SPEC)
    pictures = [picture(number) for number in range(COUNT)]
    generation.put(pictures, list(embeddings()))
    generation.publish([image.image_id for image in pictures], SPEC)
    writer.close()
    return settings


async def whole(generation: AsyncGeneration, filters: Filter | None) -> list[str]:
    """All pages of seven."""
    found: list[str] = []
    offset = None
    while True:
        images, offset = await generation.page(7, offset, filters)
        found += [image.image_id for image in images]
        if offset is None:
            return found


def test_it_answers_as_a_scan_would(settings: GalleryWriterSettings) -> None:
    query = embeddings()[5]
    engine = QdrantClient(":memory:")  # a scan in Python, written apart from the engine
    vectors = {VECTOR_NAME: models.VectorParams(size=DIM, distance=models.Distance.COSINE)}
    engine.create_collection("all", vectors)
    engine.upsert(
        "all",
        [
            models.PointStruct(
                id=n, vector={VECTOR_NAME: row.tolist()}, payload=picture(n).model_dump(mode="json")
            )
            for n, row in enumerate(embeddings())
        ],
    )
    expected = []
    for filters in [{}, *FILTERS]:
        points = engine.query_points(
            "all", query=query.tolist(), using=VECTOR_NAME, limit=COUNT,
            query_filter=qdrant_filter(filters, FACETS), with_payload=True,
        ).points  # fmt: skip
        expected.append([((point.payload or {})["image_id"], point.score) for point in points])
    engine.close()

    async def read(generation: AsyncGeneration) -> None:
        assert (generation.spec, await generation.count()) == (SPEC, COUNT)
        for filters, found in zip([None, *FILTERS], expected, strict=True):
            ids = [image_id for image_id, _ in found]
            assert found or filters == {"price": 0}
            for limit in (COUNT, 4):
                some = await generation.retrieve(query[None], limit, filters, None)
                assert [c.image.image_id for c in some] == ids[:limit]
                scores = [c.retrieval_score for c in some]
                np.testing.assert_allclose(scores, [s for _, s in found[:limit]], atol=1e-5)
            pages = await whole(generation, filters)
            assert len(pages) == len(set(pages))
            assert set(pages) == set(ids)
            drawn = [image.image_id for image in await generation.sample(COUNT, filters)]
            assert sorted(drawn) == sorted(ids)
        among = await generation.retrieve(
            query[None],
            9,
            {"sold": True},
            picture(2).content_hash,
            ["image-2", "image-3", "image-4"],
        )
        assert [c.image for c in among] == [picture(4)]
        image, embedding = await generation.get("image-4")
        assert image == picture(4)
        np.testing.assert_allclose(embedding, embeddings()[4], atol=1e-6)
        for refused, error in (
            (generation.get("nobody"), ImageNotFound),
            (generation.retrieve(query[None], 9, None, None, ["image-1", "nobody"]), InvalidFilter),
            (generation.page(9, "!!", None), InvalidRequest),
        ):
            with pytest.raises(error):
                await refused

    async def main() -> None:
        gallery = AsyncGallery(open_reader(settings))
        try:
            generation = await gallery.current()
            assert await gallery.current() is generation
            await read(generation)
        finally:
            gallery.close()

    asyncio.run(main())


def test_work_whose_caller_was_cancelled_never_starts(settings: GalleryWriterSettings) -> None:
    """The engine has few threads: what runs on them delays all others."""
    busy, done = threading.Event(), list[str]()

    async def main() -> None:
        gallery = AsyncGallery(open_reader(settings))
        try:
            first = [asyncio.create_task(gallery.call(lambda: busy.wait(30))) for _ in range(2)]
            left = [
                asyncio.create_task(gallery.call(lambda: done.append("cancelled")))
                for _ in range(5)
            ]
            last = asyncio.create_task(gallery.call(lambda: done.append("wanted")))
            await asyncio.sleep(0)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            busy.set()
            await asyncio.gather(*first, last)
        finally:
            gallery.close()

    asyncio.run(main())
    assert done == ["wanted"]
