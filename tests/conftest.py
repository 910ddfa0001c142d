"""Shared fixtures: a rendered catalogue, the shipped encoder, a built gallery, a running API.

All real: the doubles in this suite are fakes of our own ports (`tests/fakes.py`) and endpoints that
speak somebody's protocol (`stub_worker.py`, `qdrant_shim.py`). With `QDRANT_URL` (and
`QDRANT_GRPC_PORT`, `QDRANT_API_KEY`) the same tests run against that server, under aliases of their
own; without, against the embedded engine.
"""

import logging
import os
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import settings

from app.api.main import create_app
from app.api.settings import ApiSettings
from indexer.demo.catalogue import write_catalogue
from indexer.gallery import open_writer
from indexer.gallery.server.client import connect
from indexer.gallery.settings import GalleryWriterSettings
from indexer.pipeline.build import build_gallery
from indexer.pipeline.report import BuildReport
from indexer.settings import IndexerSettings
from models.datasets.manifest import ImageRow, read_manifest
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset
from models.settings import EncoderSettings

CATALOGUE_IMAGES = 360

_ALIASES = f"test-{uuid.uuid4().hex[:8]}"  # of this session

# the same examples in every run, and no timing: machines that run tests are busy
settings.register_profile("suite", derandomize=True, deadline=None)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine leaks into a test."""
    for name in os.environ:
        if name.startswith("CIR_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def fresh_log_levels() -> None:
    """What an application of an earlier test was told to log says nothing about this test."""
    for name in ("app", "models", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test-split demo catalogue; the path of its manifest."""
    out = tmp_path_factory.mktemp("catalogue")
    return write_catalogue(
        out, CATALOGUE_IMAGES, seed=11, split="test", size_px=128, queries=240, typed_queries=84
    )


@pytest.fixture(scope="session")
def encoder() -> ImageTextEncoder:
    """The shipped demo encoder."""
    return ImageTextEncoder(load_preset("demo").encoder)


@dataclass(frozen=True)
class BuiltGallery:
    """Where a gallery was built, and what the build said."""

    gallery: GalleryWriterSettings
    image_store: Path
    report: BuildReport


def qdrant_settings(root: Path) -> GalleryWriterSettings:
    """A place for one test's gallery: on the server of `QDRANT_URL`, or else embedded in `root`."""
    if "QDRANT_URL" not in os.environ:
        return GalleryWriterSettings(path=root / "qdrant")
    return GalleryWriterSettings(
        url=os.environ["QDRANT_URL"],
        grpc_port=int(os.environ.get("QDRANT_GRPC_PORT", "6334")),
        api_key=os.environ.get("QDRANT_API_KEY"),
        alias=f"{_ALIASES}-{uuid.uuid4().hex[:12]}",  # tests side by side on one server
        swap_grace_s=0.1,
    )


@pytest.fixture(scope="session", autouse=True)
def clean_server() -> Iterator[None]:
    """Leave nothing of this session on the server."""
    yield
    if "QDRANT_URL" in os.environ:
        server = connect(qdrant_settings(Path()))
        for collection in server.get_collections().collections:
            if collection.name.startswith(f"{_ALIASES}-"):
                server.delete_collection(collection.name)
        server.close()


@pytest.fixture(scope="session")
def built_gallery(
    catalogue: Path, encoder: ImageTextEncoder, tmp_path_factory: pytest.TempPathFactory
) -> BuiltGallery:
    """The catalogue, embedded and in service in Qdrant."""
    root = tmp_path_factory.mktemp("gallery")
    build_settings = indexer_settings(root)
    report = build(read_manifest(catalogue), encoder, build_settings)
    return BuiltGallery(build_settings.gallery, build_settings.image_store, report)


@pytest.fixture(scope="session")
def client(built_gallery: BuiltGallery) -> Iterator[TestClient]:
    """The API on the built gallery, ready."""
    api_settings = ApiSettings(
        gallery=built_gallery.gallery,
        image_store=built_gallery.image_store,
        timeout_ms=20_000,  # machines that run tests are busy
        max_upload_bytes=2_000_000,
        max_pixels=4_000_000,
    )
    with TestClient(create_app(api_settings), raise_server_exceptions=False) as running:
        wait_until_ready(running)
        yield running


def indexer_settings(root: Path, **changes: object) -> IndexerSettings:
    """Settings of a build that keeps everything below `root`."""
    values: dict[str, object] = {
        "gallery": qdrant_settings(root),
        "image_store": root / "images",
        "encoder": EncoderSettings(batch_size=32),
    }
    return IndexerSettings(**(values | changes))  # type: ignore[arg-type]


def build(
    rows: Collection[ImageRow], encoder: ImageTextEncoder, settings: IndexerSettings
) -> BuildReport:
    """Embed these images and put them in service, as the settings say."""
    writer = open_writer(settings.gallery)
    try:
        return build_gallery(rows, encoder, writer, settings)
    finally:
        writer.close()


def environment_of(qdrant: GalleryWriterSettings) -> dict[str, str]:
    """The variables that give a build in another process these settings."""
    values = qdrant.model_dump(exclude_defaults=True)
    if qdrant.api_key is not None:
        values["api_key"] = qdrant.api_key.get_secret_value()
    return {f"CIR_INDEXER__GALLERY__{name.upper()}": str(value) for name, value in values.items()}


def wait_until_ready(client: TestClient, timeout_s: float = 60) -> None:
    """Poll readiness, as a load balancer would."""
    give_up = time.monotonic() + timeout_s
    while (answer := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < give_up, answer.text
        time.sleep(0.05)
