"""What a build leaves behind, on both engines: each image's own embedding, and no generations but
those needed.

`cut_short` stands for a kill: it ends a build after its last write and before its end, and what is
left is what SIGKILL leaves.
"""

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer.gallery import open_reader, open_writer
from indexer.gallery.edge.folder import Folder
from indexer.gallery.errors import GalleryError
from indexer.gallery.ports import StoredImage
from indexer.gallery.server.client import connect
from indexer.gallery.settings import GalleryWriterSettings
from indexer.settings import IndexerSettings
from models.contracts.gallery import GalleryImage, GallerySpec
from models.datasets.manifest import ImageRow
from models.encoder.encoder import ImageTextEncoder
from tests.conftest import build, indexer_settings
from tests.damage import contents, rewrite_metadata
from tests.models.encoder.test_encoder import pictures, tiny_model
from tests.qdrant_shim import qdrant_shim

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


@pytest.fixture(params=["edge", "server"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexerSettings]:
    """A place on either engine; the server is that of `QDRANT_URL`, or who speaks its protocol."""
    if request.param == "edge":
        gallery = GalleryWriterSettings(path=tmp_path / "qdrant", swap_grace_s=0.1)
        yield indexer_settings(tmp_path, gallery=gallery)
    elif "QDRANT_URL" in os.environ:
        yield indexer_settings(tmp_path)
    else:
        with qdrant_shim() as shim:
            gallery = GalleryWriterSettings(url=shim.url, grpc_port=shim.port, swap_grace_s=0.1)
            yield indexer_settings(tmp_path, gallery=gallery)


def generations_of(settings: IndexerSettings) -> set[str]:
    """All that the engine keeps under this test's alias."""
    if settings.gallery.url is None:
        return set(Folder(settings.gallery).generations())
    client = connect(settings.gallery)
    names = {collection.name for collection in client.get_collections().collections}
    client.close()
    return {name for name in names if name.startswith(f"{settings.gallery.alias}__")}


def stored(settings: IndexerSettings) -> list[StoredImage]:
    """Images and embeddings of the generation in service."""
    reader = open_reader(settings.gallery)
    info = reader.current()
    found = reader.fetch(info, [each.image_id for each in reader.scroll(info, 1000).images])
    reader.close()
    return found


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
    seed: int, files: list[Path], tiny: ImageTextEncoder, settings: IndexerSettings
) -> None:
    """Ids exchange pictures between the gallery in service, a killed build and its resumption."""
    own = embeddings_by_hash(files, tiny)
    order = random.Random(seed)
    everything = list(range(PICTURES))
    if seed % 2:
        build(rows(files, order.sample(everything, PICTURES - 2)), tiny, settings)
    for kills in range(1 + seed % 3):
        cut_short(rows(files, order.sample(everything, PICTURES - kills)), tiny, settings)
    last = order.sample(everything, PICTURES)
    build(rows(files, last), tiny, settings)
    found = stored(settings)
    assert len(found) == PICTURES
    for each in found:
        image = each.image
        assert image.content_hash == list(own)[last[int(image.image_id.removeprefix("id-"))]]
        assert np.dot(each.embedding, own[image.content_hash]) > 0.99999


def test_an_embedding_is_not_copied_from_a_point_that_holds_other_bytes_by_now(
    files: list[Path], tiny: ImageTextEncoder, settings: IndexerSettings
) -> None:
    """Even if another process writes into this build, what is copied is of the same bytes."""
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
    files: list[Path], tiny: ImageTextEncoder, settings: IndexerSettings
) -> None:
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
    spec, _ = contents(settings.gallery)
    written = spec.model_dump(mode="json")
    assert (written["schema_version"], written["facets"][0]["multi_valued"]) == (2, True)
    rewrite_metadata(settings.gallery, **version_1)

    reader = open_reader(settings.gallery)
    info = reader.current()
    assert (info.spec.schema_version, info.spec.facets[0].multi_valued) == (1, True)
    found = reader.search(info, tiny.encode_images(pictures(1)), 20, where={"colour": "blue"})
    assert {hit.image.image_id for hit in found} == {str(n) for n in range(1, PICTURES, 2)}
    reader.close()

    assert build(images, tiny, settings).embedded == 0
    assert contents(settings.gallery)[0].schema_version == 2


def test_a_build_leaves_another_encoders_unfinished_build_alone(
    files: list[Path], tiny: ImageTextEncoder, other: ImageTextEncoder, settings: IndexerSettings
) -> None:
    """A nightly rebuild while the move to another encoder is half done; then the move ends."""
    images = rows(files, range(PICTURES))
    build(images, tiny, settings)
    cut_short(images, other, settings)
    (moving,) = generations_of(settings) - {in_service(settings)}
    build(images, tiny, settings)
    assert generations_of(settings) == {in_service(settings), moving}
    assert build(images, other, settings).embedded == 0, "its work was thrown away"
    assert in_service(settings) == moving
    assert generations_of(settings) == {moving}, (
        "what was in service is removed, whichever encoder made it"
    )
