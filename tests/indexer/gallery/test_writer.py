"""What a build leaves in Qdrant: each image's own embedding, and no collections but those needed.

`cut_short` stands for a kill: it ends a build after its last write and before its end, and what is
left is what SIGKILL leaves.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import GalleryError
from indexer.gallery.server import collections
from indexer.gallery.server.client import connect
from indexer.pipeline.build import build_gallery
from indexer.pipeline.report import BuildReport
from indexer.settings import IndexerSettings
from models.contracts.gallery import VECTOR_NAME, GalleryImage, GallerySpec, collection_name
from models.datasets.manifest import ImageRow
from models.encoder.encoder import ImageTextEncoder
from tests.conftest import indexer_settings
from tests.models.encoder.test_encoder import pictures, tiny_model

PICTURES = 10


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageTextEncoder:
    return one_by_one(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ImageTextEncoder:
    return one_by_one(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{number}.png" for number in range(PICTURES)]
    for path, picture in zip(paths, pictures(PICTURES), strict=True):
        picture.save(path)
    return paths


def one_by_one(folder: Path, seed: int = 0) -> ImageTextEncoder:
    """Batches of one: a build has put its first images before it reads its last."""
    return ImageTextEncoder(tiny_model(folder, seed).model_copy(update={"batch_size": 1}))


def rows(files: Sequence[Path], order: Sequence[int]) -> list[ImageRow]:
    """The n-th id shows the picture `order[n]`."""
    return [ImageRow(f"id-{n}", str(files[number])) for n, number in enumerate(order)]


def build(
    images: Sequence[ImageRow], encoder: ImageTextEncoder, settings: IndexerSettings
) -> BuildReport:
    writer = open_writer(settings.gallery)
    try:
        return build_gallery(images, encoder, writer, settings)
    finally:
        writer.close()


def spec_of(encoder: ImageTextEncoder) -> GallerySpec:
    return GallerySpec(
        encoder_fingerprint=encoder.fingerprint,
        embedding_dim=encoder.embedding_dim,
        preset="demo",
        rerank_px=448,
        thumbnail_px=256,
        built_at="2026-01-01T00:00:00Z",
    )


def cut_short(
    images: Sequence[ImageRow], encoder: ImageTextEncoder, settings: IndexerSettings
) -> None:
    missing = ImageRow("missing", "/nowhere/missing.png")
    strict = settings.model_copy(update={"max_failed_share": 0.0})
    with pytest.raises(GalleryError, match="could not be used"):
        build([*images, missing], encoder, strict)


@contextmanager
def client_of(settings: IndexerSettings) -> Iterator[QdrantClient]:
    client = connect(settings.gallery)
    yield client
    client.close()


def collections_on(settings: IndexerSettings) -> set[str]:
    """Of this test's alias."""
    with client_of(settings) as client:
        names = {collection.name for collection in client.get_collections().collections}
    return {name for name in names if name.startswith(f"{settings.gallery.alias}__")}


def in_service(settings: IndexerSettings) -> str | None:
    writer = open_writer(settings.gallery)
    try:
        return writer.published()
    finally:
        writer.close()


def embeddings_by_hash(files: Sequence[Path], encoder: ImageTextEncoder) -> dict[str, np.ndarray]:
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return dict(zip(hashes, encoder.encode_images(pictures(len(files))), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_each_stored_embedding_is_of_its_own_picture_whatever_ids_exchange(
    seed: int, files: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    """Ids exchange pictures between the gallery in service, a killed build and its resumption."""
    settings = indexer_settings(tmp_path)
    own = embeddings_by_hash(files, tiny)
    order = random.Random(seed)
    everything = list(range(PICTURES))
    if seed % 2:
        build(rows(files, order.sample(everything, PICTURES - 2)), tiny, settings)
    for kills in range(1 + seed % 3):
        cut_short(rows(files, order.sample(everything, PICTURES - kills)), tiny, settings)
    last = order.sample(everything, PICTURES)
    build(rows(files, last), tiny, settings)
    with client_of(settings) as client:
        points, _ = client.scroll(settings.gallery.alias, with_vectors=True)
    assert len(points) == PICTURES
    for point in points:
        image = GalleryImage.model_validate(point.payload)
        assert image.content_hash == list(own)[last[int(image.image_id.removeprefix("id-"))]]
        assert isinstance(point.vector, dict)
        assert np.dot(np.array(point.vector[VECTOR_NAME]), own[image.content_hash]) > 0.99999


def test_an_embedding_is_not_copied_from_a_point_that_holds_other_bytes_by_now(
    files: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    """Even if another process writes into this build, what is copied is of the same bytes."""
    settings = indexer_settings(tmp_path)
    cut_short(rows(files, [0]), tiny, settings)
    (content_hash,) = embeddings_by_hash(files[:1], tiny)
    writer = open_writer(settings.gallery)
    try:
        generation = writer.open_generation(spec_of(tiny))
        reusable = generation.reusable("id-0", content_hash)
        assert reusable is not None
        own = GalleryImage(
            image_id="id-0", content_hash=content_hash, width=10, height=10, caption="new"
        )
        generation.put([own], [reusable])
        other = own.model_copy(update={"content_hash": "0" * 64})
        generation.put([other], [np.ones(tiny.embedding_dim, np.float32)])
        with pytest.raises(GalleryError, match="another build"):
            generation.put([own], [reusable])
    finally:
        writer.close()


def test_a_gallery_of_schema_version_1_is_read_and_reused_and_the_next_says_2(
    files: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    images = [
        ImageRow(str(number), str(path), attributes={"colour": ["red", "blue"][: 1 + number % 2]})
        for number, path in enumerate(files)
    ]
    build(images, tiny, settings)
    facet = {"name": "colour", "kind": "keyword", "values": ["red", "blue"], "context": False}
    version_1 = {
        "schema_version": 1, "encoder_fingerprint": tiny.fingerprint,
        "embedding_dim": tiny.embedding_dim, "facets": [{**facet, "several": True}],
        "noun_facet": None, "preset": "demo", "rerank_px": 448, "thumbnail_px": 256,
        "built_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    name = in_service(settings)
    assert name is not None
    with client_of(settings) as client:
        stored = client.get_collection(name).config.metadata
        assert stored is not None
        assert stored["schema_version"] == 2
        assert stored["facets"] == [{**facet, "multi_valued": True}]
        client.update_collection(name, metadata=version_1)

    reader = open_reader(settings.gallery)
    info = reader.current()
    assert (info.spec.schema_version, info.spec.facets[0].multi_valued) == (1, True)
    found = reader.search(info, tiny.encode_images(pictures(1)), 20, where={"colour": "blue"})
    assert {hit.image.image_id for hit in found} == {str(n) for n in range(1, PICTURES, 2)}
    reader.close()

    assert build(images, tiny, settings).embedded == 0
    with client_of(settings) as client:
        stored = client.get_collection(settings.gallery.alias).config.metadata
    assert stored is not None
    assert stored["schema_version"] == 2


def test_a_build_leaves_another_encoders_unfinished_build_alone(
    files: list[Path], tiny: ImageTextEncoder, other: ImageTextEncoder, tmp_path: Path
) -> None:
    """A nightly rebuild while the move to another encoder is half done; then the move ends."""
    settings = indexer_settings(tmp_path)
    images = rows(files, range(PICTURES))
    build(images, tiny, settings)
    cut_short(images, other, settings)
    (moving,) = collections_on(settings) - {in_service(settings)}
    build(images, tiny, settings)
    assert collections_on(settings) == {in_service(settings), moving}
    assert build(images, other, settings).embedded == 0, "its work was thrown away"
    assert in_service(settings) == moving
    assert collections_on(settings) == {moving}, (
        "what was in service is removed, whichever encoder made it"
    )


def test_generations_are_counted_beyond_four_digits(
    files: list[Path], tiny: ImageTextEncoder, tmp_path: Path
) -> None:
    settings = indexer_settings(tmp_path)
    qdrant, images = settings.gallery, rows(files, range(3))
    names = [
        collection_name(qdrant.alias, tiny.fingerprint, number) for number in range(9_999, 10_002)
    ]
    with client_of(settings) as client:
        collections.create(client, names[0], spec_of(tiny), qdrant)
        alias = models.CreateAlias(collection_name=names[0], alias_name=qdrant.alias)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    for old, new in pairwise(names):
        cut_short(images, tiny, settings)
        assert collections_on(settings) == {old, new}
        build(images, tiny, settings)
        assert in_service(settings) == new
        assert collections_on(settings) == {new}
