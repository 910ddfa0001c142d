"""A build: what it makes of odd files, of interruptions, of repetition, and of failure."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import GalleryError
from indexer.gallery.image_store import ImageStore
from indexer.gallery.settings import GalleryWriterSettings
from indexer.pipeline.build import build_gallery
from indexer.pipeline.prepare import SkippedRow
from indexer.settings import IndexerSettings
from models.contracts.gallery import GallerySpec
from models.datasets.manifest import ImageRow, read_folder, read_manifest
from models.datasets.schema import SchemaError
from models.encoder.encoder import ImageTextEncoder
from models.errors import JobError
from tests.conftest import BuiltGallery, build, environment_of, indexer_settings
from tests.damage import contents
from tests.full_disk import room_for
from tests.models.encoder.test_encoder import tiny_model
from tests.paths import SHARED_DATA
from tests.qdrant_shim import qdrant_shim
from tests.web_server import Quiet, web_server


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ImageTextEncoder:
    return ImageTextEncoder(tiny_model(tmp_path_factory.mktemp("tiny")))


def noise(seed: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8))


def save_all(folder: Path, count: int, start: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(start, start + count):
        noise(number).save(folder / f"{number:03d}.png")


def gallery_ids(settings: IndexerSettings) -> list[str]:
    return sorted(image.image_id for image in contents(settings.gallery)[1])


def test_odd_files_are_used_or_reported_and_never_fatal(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    noise(1).save(folder / "good.png")
    noise(2).convert("CMYK").save(folder / "cmyk.jpg")
    noise(3).save(folder / "anim.gif", save_all=True, append_images=[noise(4)])
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(5, (60, 30)).save(folder / "rotated.jpg", exif=exif)
    noise(6).save(folder / "png-inside.jpg", "PNG")
    shutil.copy(folder / "good.png", folder / "twin.png")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not an image")
    noise(7, (4, 90)).save(folder / "sliver.png")
    noise(8, (400, 400)).save(folder / "huge.png")
    whole = io.BytesIO()
    noise(9, (200, 200)).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:4000])
    (folder / "dangling.jpg").symlink_to(folder / "gone.jpg")

    settings = indexer_settings(tmp_path, max_image_pixels=100_000, max_failed_share=0.9)
    report = build(read_folder(folder), tiny, settings)

    assert gallery_ids(settings) == [
        "anim.gif",
        "cmyk.jpg",
        "good.png",
        "png-inside.jpg",
        "rotated.jpg",
    ]
    assert {skip.image_id: skip.reason for skip in report.skipped} == {
        "twin.png": "duplicate",
        "empty.jpg": "empty",
        "text.jpg": "not_an_image",
        "sliver.png": "too_small",
        "huge.png": "too_many_pixels",
        "cut.jpg": "damaged",
        "dangling.jpg": "unreadable",
    }
    assert report.rows == report.indexed + len(report.skipped)
    sentence = next(s.detail for s in report.skipped if s.reason == "duplicate")
    assert sentence == "the same bytes as good.png"


class Files(Quiet, BaseHTTPRequestHandler):
    """Images by number; `refused` and `cut` are what servers do, everything else is not there."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        if name == "refused":
            self.send_error(403)
        elif name == "cut" or name.isdecimal():
            picture = io.BytesIO()
            noise(int(name) if name.isdecimal() else 0).save(picture, "PNG")
            self.send_response(200)
            self.send_header("Content-Length", str(len(picture.getvalue())))
            self.end_headers()
            self.wfile.write(picture.getvalue()[: 100 if name == "cut" else None])
        else:
            self.send_error(404)


def test_what_cannot_be_read_is_skipped_with_its_reason(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    with socket.socket() as closing:
        closing.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{closing.getsockname()[1]}/1"
    settings = indexer_settings(tmp_path, max_failed_share=1)
    with web_server(Files) as at:
        urls = [f"{at}/{name}" for name in ("1", "2", "none", "refused", "cut")]
        urls += [closed, "tape://1", "s3://bucket/1.png", "https://", str(tmp_path / "a\0b.png")]
        report = build([ImageRow(url, url) for url in urls], tiny, settings)
    assert gallery_ids(settings) == urls[:2]
    assert {skip.reason for skip in report.skipped} == {"unreadable"}
    said = {skip.image_id: skip.detail for skip in report.skipped}
    assert list(said) == urls[2:]
    assert all(said.values())
    assert "403" in said[f"{at}/refused"]
    assert said["tape://1"] == "Protocol not known: tape"
    assert "pip install s3fs" in said["s3://bucket/1.png"]


def test_a_host_that_hangs_is_left_alone_after_a_while(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    save_all(tmp_path / "in", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        rows = [ImageRow(f"{n}", f"http://{host}/{n}") for n in range(40)]
        rows += read_folder(tmp_path / "in")
        settings = indexer_settings(
            tmp_path, read_timeout_s=0.2, max_failed_share=1, decode_workers=2
        )
        report = build(rows, tiny, settings)
    assert report.indexed == 2
    sentences = Counter(skip.detail for skip in report.skipped)
    assert sentences[f"{host} did not answer 5 times in a row and was not asked again"] >= 34
    assert sentences[f"no answer from {host} within 0.2 s"] >= 5


def test_copies_are_made_upright_at_their_sizes(tmp_path: Path, tiny: ImageTextEncoder) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(5, (2400, 1800)).save(folder / "phone.jpg", exif=exif)  # decoded at half its size
    settings = indexer_settings(tmp_path)
    build(read_folder(folder), tiny, settings)
    _, (image,) = contents(settings.gallery)
    assert (image.width, image.height) == (1800, 2400)
    store = ImageStore(settings.image_store)
    for side_px, size in ((256, (192, 256)), (448, (336, 448))):
        with Image.open(store.path_of(image.content_hash, side_px)) as copy:
            assert copy.size == size


def test_a_build_at_another_size_makes_its_copies_beside_those_in_service(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    """Until the swap, services of the old gallery find its copies as they were."""
    save_all(tmp_path / "in", 3)
    rows = read_folder(tmp_path / "in")
    small = indexer_settings(tmp_path, rerank_px=32, thumbnail_px=16)
    build(rows, tiny, small)
    before = {path: path.read_bytes() for path in small.image_store.rglob("*.jpg")}
    assert len(before) == 6
    large = small.model_copy(update={"rerank_px": 40, "thumbnail_px": 20, "preset": "fast"})
    report = build(rows, tiny, large)
    assert (report.embedded, report.unused_copies) == (0, 6)
    spec, images = contents(large.gallery)
    assert (spec.preset, spec.rerank_px, spec.thumbnail_px) == ("fast", 40, 20)
    store = ImageStore(large.image_store)
    for each in images:
        for side_px in (40, 20):
            with Image.open(store.path_of(each.content_hash, side_px)) as image:
                assert image.size == (side_px, side_px)
    assert {path: path.read_bytes() for path in before} == before


def test_a_repeated_build_embeds_nothing_again(tmp_path: Path, tiny: ImageTextEncoder) -> None:
    save_all(tmp_path / "in", 20)
    settings = indexer_settings(tmp_path)
    assert build(read_folder(tmp_path / "in"), tiny, settings).embedded == 20
    save_all(tmp_path / "in", 3, start=20)
    (tmp_path / "in" / "000.png").unlink()
    again = build(read_folder(tmp_path / "in"), tiny, settings)
    assert (again.embedded, again.reused, again.indexed) == (3, 19, 22)
    assert again.as_dict()["unused_copies"] == 2  # of the image that is gone
    assert "2 copies in the image store" in "\n".join(again.lines())
    assert gallery_ids(settings) == sorted(p.name for p in (tmp_path / "in").iterdir())


class ThreadsOf:
    """Passes everything on to a writer or a generation; remembers which threads asked for what."""

    def __init__(self, real: Any, threads: dict[str, set[int]]) -> None:
        self._real, self._threads = real, threads

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)

        def recorded(*args: Any) -> Any:
            self._threads.setdefault(name, set()).add(threading.get_ident())
            made = found(*args)
            return ThreadsOf(made, self._threads) if name == "open_generation" else made

        return recorded


def test_while_a_build_runs_one_thread_asks_the_engine(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    """Computed, copied and unchanged embeddings alike; an engine need not be made for threads."""
    save_all(tmp_path / "in", 80)
    settings = indexer_settings(tmp_path)
    build(read_folder(tmp_path / "in"), tiny, settings)
    save_all(tmp_path / "in", 40, start=80)
    threads: dict[str, set[int]] = {}
    writer = open_writer(settings.gallery)
    rows = read_folder(tmp_path / "in")
    report = build_gallery(rows, tiny, ThreadsOf(writer, threads), settings)
    writer.close()
    assert (report.embedded, report.reused, report.indexed) == (40, 80, 120)
    assert set(threads) == {"open_generation", "reusable", "put", "embeddings_of", "publish"}
    here = {threading.get_ident()}
    assert threads["open_generation"] == threads["embeddings_of"] == threads["publish"] == here
    assert len(threads["put"]) == 1


def test_changed_attributes_reach_the_gallery_without_embedding(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    save_all(tmp_path / "in", 3)
    settings = indexer_settings(tmp_path)
    for colour in ("red", "blue"):
        rows = [
            ImageRow(row.image_id, row.location, attributes={"colour": colour})
            for row in read_folder(tmp_path / "in")
        ]
        report = build(rows, tiny, settings)
    assert report.embedded == 0
    spec, images = contents(settings.gallery)
    assert {image.attributes["colour"] for image in images} == {"blue"}
    assert spec.facets[0].values == ("blue",)


def test_the_gallery_says_what_is_in_it(tmp_path: Path, tiny: ImageTextEncoder) -> None:
    """Values that only skipped images have are not offered: a filter would find nothing."""
    folder = tmp_path / "in"
    save_all(folder, 3)
    shutil.copy(folder / "000.png", folder / "twin.png")
    (folder / "bad.png").write_bytes(b"no picture")
    manifest = folder / "m.csv"
    manifest.write_text(
        "image,attributes.category,attributes.size,attributes.price,attributes.stock,attributes.kind\n"
        "000.png, sofa,36,007,1,\n001.png,mug,M,,2,\n002.png,mug |sofa, ,5,3,\n"
        "bad.png,hat,38|40,1,4,top\ntwin.png,sofa|bag,36,2,5,\n"
    )
    rows = read_manifest(manifest)
    settings = indexer_settings(tmp_path)
    build(rows, tiny, settings)
    spec, _ = contents(settings.gallery)
    facets = {facet.name: facet for facet in spec.facets}
    assert set(facets["category"].values) == {"sofa", "mug"}
    assert set(facets["size"].values) == {"36", "M"}
    assert set(facets["price"].values) == {"007", "5"}
    assert (facets["category"].multi_valued, facets["size"].multi_valued) == (True, False)
    reader = open_reader(settings.gallery)
    info = reader.current()
    for facet in spec.facets:
        for value in facet.values:
            assert reader.scroll(info, 1, where={facet.name: value}).images
    reader.close()

    for noun, refusal, sentence in (
        (
            "stock",
            SchemaError,
            "stock cannot name .*: it holds numbers; these have words: category",
        ),
        ("kind", GalleryError, "of the images that could be used, no image has the attribute kind"),
    ):
        with pytest.raises(refusal, match=sentence):
            build(rows, tiny, settings.model_copy(update={"noun_facet": noun}))
    assert gallery_ids(settings) == ["000.png", "001.png", "002.png"]


def test_another_encoder_embeds_everything_anew(tmp_path: Path, tiny: ImageTextEncoder) -> None:
    save_all(tmp_path / "in", 6)
    settings = indexer_settings(tmp_path)
    build(read_folder(tmp_path / "in"), tiny, settings)
    other = ImageTextEncoder(tiny_model(tmp_path / "other", seed=1))
    assert build(read_folder(tmp_path / "in"), other, settings).embedded == 6


def test_a_failed_build_leaves_the_good_gallery_in_service(
    tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    save_all(tmp_path / "in", 8)
    settings = indexer_settings(tmp_path)
    build(read_folder(tmp_path / "in"), tiny, settings)
    before = gallery_ids(settings)
    for number in range(6):
        (tmp_path / "in" / f"{number:03d}.png").write_bytes(b"gone bad")
    with pytest.raises(GalleryError, match="6 of 8 images could not be used"):
        build(read_folder(tmp_path / "in"), tiny, settings)
    assert gallery_ids(settings) == before


def test_points_that_got_lost_are_noticed(tmp_path: Path, tiny: ImageTextEncoder) -> None:
    """`publish` counts: a build that lost an image on the way must not go into service."""
    save_all(tmp_path / "in", 4)
    settings = indexer_settings(tmp_path)
    build(read_folder(tmp_path / "in"), tiny, settings)
    writer = open_writer(settings.gallery)
    spec = GallerySpec(
        encoder_fingerprint=tiny.fingerprint,
        embedding_dim=16,
        preset="demo",
        rerank_px=448,
        thumbnail_px=256,
        built_at="2026-01-01T00:00:00",
    )
    generation = writer.open_generation(spec)
    with pytest.raises(GalleryError, match="holds 0 images where 1 were written"):
        generation.publish(["never-written"], spec)
    writer.close()
    assert len(gallery_ids(settings)) == 4


@pytest.mark.parametrize("full", ["images", "qdrant"])
def test_a_full_disk_ends_a_build_with_a_sentence_and_the_next_one_goes_on(
    full: str, tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    """Of the copies, with the gallery on a server; and of an embedded gallery."""
    with qdrant_shim() as shim:
        server = GalleryWriterSettings(
            url=shim.url, grpc_port=shim.port, timeout_s=5, swap_grace_s=0.1
        )
        embedded = GalleryWriterSettings(path=tmp_path / "qdrant")
        check_full_disk(full, tmp_path, tiny, server if full == "images" else embedded)


def check_full_disk(
    full: str, tmp_path: Path, tiny: ImageTextEncoder, gallery: GalleryWriterSettings
) -> None:
    (tmp_path / "in").mkdir()
    noise(1, (40, 40)).save(tmp_path / "in" / "small.png")
    noise(2, (600, 600)).save(tmp_path / "in" / "large.png")
    text = "x" * (200_000 if full == "qdrant" else 1)
    rows = [
        ImageRow(row.image_id, row.location, payload={"text": text})
        for row in read_folder(tmp_path / "in")
    ]
    settings = indexer_settings(
        tmp_path, gallery=gallery, rerank_px=600 if full == "images" else 40
    )
    with room_for(100_000), pytest.raises(JobError, match="run the build again") as ended:
        build(rows, tiny, settings)
    assert str(tmp_path / full) in str(ended.value)
    assert not list(tmp_path.rglob("*.partial"))
    assert build(rows, tiny, settings).indexed == 2


def test_killed_at_any_moment_and_run_again_nothing_is_lost_or_doubled(
    catalogue: Path, tmp_path: Path
) -> None:
    """SIGKILL the real command at several depths, each time into the unfinished build before it."""
    settings = indexer_settings(tmp_path)
    environment = {
        **os.environ,
        **environment_of(settings.gallery),
        "CIR_INDEXER__IMAGE_STORE": str(settings.image_store),
        "CIR_INDEXER__ENCODER__BATCH_SIZE": "16",
    }
    report = tmp_path / "report.json"
    command = [
        sys.executable, "-m", "indexer", "build", "--manifest", str(catalogue),
        "--report", str(report),
    ]  # fmt: skip
    total = len(read_manifest(catalogue))
    killed_with: list[int] = []
    for target in (1, 60, 200):
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while (
            process.poll() is None and len(list(settings.image_store.rglob("*.jpg"))) < 2 * target
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_with.append(len(list(settings.image_store.rglob("*.448.jpg"))))
        assert not report.exists(), "the build ended before it could be killed"
    assert killed_with[0] < total
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    done = json.loads(report.read_text())
    assert done["reused"] > 0, "the killed builds' work was thrown away"
    ids = gallery_ids(settings)
    duplicates = {skip["image_id"] for skip in done["skipped"]}
    assert not list(settings.image_store.rglob("*.partial"))
    assert len(set(ids)) == len(ids)
    assert set(ids) | duplicates == {row.image_id for row in read_manifest(catalogue)}


def test_the_report_adds_up(built_gallery: BuiltGallery) -> None:
    report = built_gallery.report
    assert report.indexed == report.embedded == report.rows - len(report.skipped)
    stages = [report.seconds[k] for k in ("start", "images", "encode", "write", "facets", "finish")]
    assert sum(stages) == pytest.approx(report.seconds["total"], rel=0.2)
    assert "images/s" in "\n".join(report.lines())
    assert all(isinstance(skip, SkippedRow) for skip in report.skipped)


def test_real_photographs(tiny: ImageTextEncoder, tmp_path: Path) -> None:
    """All kinds of real JPEGs, if this checkout has them at hand."""
    photos = SHARED_DATA / "photos"
    if not (photos / "manifest.jsonl").exists():
        pytest.skip("the photographs are not part of this repository")
    rows = [
        json.loads(line) for line in (photos / "manifest.jsonl").read_text("utf-8").splitlines()
    ]
    hashes = [row["sha256"] for row in rows]
    settings = indexer_settings(tmp_path, decode_workers=2)
    images = [ImageRow(row["file"], str(photos / row["file"])) for row in rows]
    images += [ImageRow(f"again/{row.image_id}", row.location) for row in images[:5]]
    report = build(images, tiny, settings)
    assert report.failed == 0
    assert report.indexed == len(set(hashes))
    assert report.made == []  # an encoder of random weights sees nothing
    assert len(report.skipped) == len(images) - len(set(hashes))
    assert {skip.reason for skip in report.skipped} == {"duplicate"}
