"""Parts of one source, embedded by several builds at once into one generation on a server."""

import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import GalleryNotFound
from indexer.gallery.ports import StoredImage
from indexer.gallery.settings import GalleryWriterSettings
from indexer.pipeline.build import build_gallery
from indexer.pipeline.command import run
from indexer.pipeline.options import BuildOptions
from indexer.pipeline.report import BuildReport
from indexer.pipeline.shards import Shard, shard_of
from indexer.settings import IndexerSettings
from models.datasets.manifest import open_manifest
from models.datasets.rows import ImageRow, ImageRows
from models.encoder.encoder import ImageTextEncoder
from models.errors import InputError
from tests.conftest import environment_of, indexer_settings, qdrant_settings
from tests.indexer.pipeline.test_build import save_all
from tests.models.encoder.test_encoder import tiny_model
from tests.qdrant_shim import qdrant_shim

SHARDS = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GalleryWriterSettings]:
    if "QDRANT_URL" in os.environ:
        yield qdrant_settings(tmp_path)
        return
    with qdrant_shim() as shim:
        yield GalleryWriterSettings(
            url=shim.url, grpc_port=shim.port, timeout_s=5, swap_grace_s=0.1
        )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageTextEncoder:
    return ImageTextEncoder(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def rows(tmp_path: Path) -> ImageRows:
    """Twenty images, one of them twice in other shards, and one that is none."""
    folder = tmp_path / "in"
    save_all(folder, 20)
    shutil.copy(folder / "004.png", folder / "020.png")
    (folder / "021.png").write_bytes(b"no picture")
    lines = [
        f'{{"image": "{n:03}.png", "attributes": {{"colour": "{"red" if n % 2 else "blue"}"}}}}'
        for n in range(22)
    ]
    (folder / "m.jsonl").write_text("\n".join(lines))
    return open_manifest(folder / "m.jsonl")


def build(
    rows: ImageRows,
    tiny: ImageTextEncoder,
    settings: IndexerSettings,
    shards: tuple[int, int] | str,
) -> BuildReport:
    writer = open_writer(settings.gallery)
    try:
        return build_gallery(rows, tiny, writer, settings, shards=shards)  # type: ignore[arg-type]
    finally:
        writer.close()


def held(settings: IndexerSettings) -> dict[str, StoredImage]:
    reader = open_reader(settings.gallery)
    generation = reader.current()
    page = reader.scroll(generation, 100)
    found = reader.fetch(generation, [image.image_id for image in page.images])
    reader.close()
    return {stored.image.image_id: stored for stored in found}


def test_shards_that_are_embedded_at_once_make_the_gallery_of_one_build(
    tmp_path: Path, rows: ImageRows, tiny: ImageTextEncoder, server: GalleryWriterSettings
) -> None:
    settings = indexer_settings(tmp_path, gallery=server)
    with ThreadPoolExecutor(SHARDS) as machines:
        parts = [(number, SHARDS) for number in range(1, SHARDS + 1)]
        reports = list(machines.map(lambda part: build(rows, tiny, settings, part), parts))
    assert sum(report.rows for report in reports) == 22
    reader = open_reader(server)
    with pytest.raises(GalleryNotFound):
        reader.current()
    reader.close()

    for path in (tmp_path / "in").glob("*.png"):  # who publishes looks at no embedded image's file
        if path.name != "021.png":
            path.unlink()
    published = build(rows, tiny, settings, "publish")
    assert (published.embedded, published.indexed) == (0, 20)
    assert {skip.image_id: skip.reason for skip in published.skipped} == {
        "020.png": "duplicate",
        "021.png": "not_an_image",
    }

    save_all(tmp_path / "in", 20)
    clean = indexer_settings(tmp_path / "clean")
    shutil.copy(tmp_path / "in" / "004.png", tmp_path / "in" / "020.png")
    build(rows, tiny, clean, "all")
    expected, found = held(clean), held(settings)
    assert found.keys() == expected.keys()
    for image_id, stored in expected.items():
        assert found[image_id].image == stored.image
        np.testing.assert_allclose(found[image_id].embedding, stored.embedding, atol=1e-5)


def test_what_a_lost_machine_did_not_embed_is_embedded_by_who_publishes(
    tmp_path: Path, rows: ImageRows, tiny: ImageTextEncoder, server: GalleryWriterSettings
) -> None:
    settings = indexer_settings(tmp_path, gallery=server)
    build(rows, tiny, settings, (1, SHARDS))
    report = build(rows, tiny, settings, "publish")
    assert (report.indexed, report.embedded) == (20, 20 - 7)  # rows 0, 3, …, 18, and not 21


def test_shards_are_disjoint_and_all(rows: ImageRows) -> None:
    parts = [Shard(rows, number, 5) for number in range(1, 6)]
    assert [len(part) for part in parts] == [len(list(part)) for part in parts]
    ids = [row.image_id for part in parts for row in part]
    assert sorted(ids) == [row.image_id for row in rows]
    assert ImageRow("x", "") not in parts[0]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/3/5", "-1/3", ""])
def test_a_shard_that_there_is_not_is_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match="should be like 3/8"):
        shard_of(text)


def test_a_folder_has_no_shards(tmp_path: Path) -> None:
    save_all(tmp_path, 1)
    with pytest.raises(InputError, match="--shards and --ray are for galleries on a server"):
        list(run(BuildOptions(images=tmp_path, shards="1/2")))


def test_a_cluster_embeds_the_shards_and_this_process_publishes(
    tmp_path: Path, rows: ImageRows, server: GalleryWriterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real cluster of one node, on this machine, where Ray is installed."""
    pytest.importorskip("ray")
    settings = indexer_settings(tmp_path, gallery=server)
    for name, value in environment_of(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CIR_INDEXER__IMAGE_STORE", str(settings.image_store))
    options = BuildOptions(
        manifest=str(tmp_path / "in" / "m.jsonl"), ray="local", report=tmp_path / "report.json"
    )
    said = list(run(options))
    assert said[0] == "4 shards on 1 nodes"
    assert sum(line.startswith("shard ") for line in said) == 4
    assert any(line.startswith("20 of 22 images in the gallery (0 embedded") for line in said)
    assert len(held(settings)) == 20


def test_without_ray_a_cluster_is_a_sentence(
    rows: ImageRows, tmp_path: Path, server: GalleryWriterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name, value in environment_of(server).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="--ray needs Ray: pip install"):
        list(run(BuildOptions(manifest=str(tmp_path / "in" / "m.jsonl"), ray="local")))
