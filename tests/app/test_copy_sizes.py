"""One size for all: the gallery says how large its copies are, and no process knows better."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.api.main import create_app
from app.api.settings import ApiSettings, WorkerSettings
from models.datasets.manifest import read_folder
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset
from tests.app.api.stub_worker import stub_worker
from tests.conftest import build, indexer_settings, wait_until_ready
from tests.damage import rewrite_metadata
from tests.indexer.pipeline.test_build import noise
from tests.models.encoder.test_encoder import tiny_model

RERANK_PX, THUMBNAIL_PX = 96, 48


def longer_side(jpeg: bytes) -> int:
    with Image.open(io.BytesIO(jpeg)) as image:
        return max(image.size)


def get(client: TestClient, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture
def settings(tmp_path: Path) -> ApiSettings:
    """Of an API on a gallery with small copies, built with a preset of its own."""
    encoder = tiny_model(tmp_path / "tiny")
    own = tmp_path / "own.json"
    preset = load_preset("demo").model_copy(update={"rerank_px": RERANK_PX})
    own.write_text(preset.model_dump_json(), "utf-8")
    building = indexer_settings(
        tmp_path, preset=str(own), encoder=encoder, thumbnail_px=THUMBNAIL_PX
    )
    (tmp_path / "in").mkdir()
    for number in range(3):
        noise(number, (200, 100)).save(tmp_path / "in" / f"{number}.png")
    build(read_folder(tmp_path / "in"), ImageTextEncoder(encoder), building)
    return ApiSettings(
        preset="demo",
        encoder=encoder,
        gallery=building.gallery,
        image_store=building.image_store,
        timeout_ms=20_000,
        compose_timeout_ms=10_000,
    )


def test_all_pictures_are_as_large_as_the_gallery_says_and_another_preset_is_mentioned(
    settings: ApiSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    upload = io.BytesIO()
    noise(9, (300, 400)).save(upload, "PNG")
    with stub_worker() as (worker, url):
        scored = settings.model_copy(update={"worker": WorkerSettings(urls=(url,))})
        with TestClient(create_app(scored)) as client:
            wait_until_ready(client)
            small, large = get(client, "/thumbnails/1.png"), get(client, "/images/1.png")
            for reference in (
                {"base64": base64.b64encode(upload.getvalue()).decode()},
                {"image_id": "0.png"},
            ):
                body = {"reference_image": reference, "modification_text": "blue"}
                answer = client.post("/search", json=body)
                assert answer.json()["coverage"]["reranked"] > 0, answer.text
    assert longer_side(small.content) == THUMBNAIL_PX
    assert longer_side(large.content) == RERANK_PX
    assert small.headers["etag"] != large.headers["etag"]
    for asked in worker.reranked:
        assert longer_side(asked.reference_image) == RERANK_PX
        assert {candidate.rerank_px for candidate in asked.candidates} == {RERANK_PX}
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if "the preset" in line]
    assert "preset own.json, but this service runs demo" in sentence
    assert "set CIR_API__PRESET to own.json" in sentence


@pytest.mark.parametrize("lost", ["preset", "rerank_px", "thumbnail_px"])
def test_a_gallery_that_does_not_say_is_of_another_version(
    settings: ApiSettings, lost: str
) -> None:
    rewrite_metadata(settings.gallery, **{lost: None})
    with TestClient(create_app(settings), raise_server_exceptions=False) as api:
        reasons = api.get("/readyz").json()["reasons"]
    assert f"does not store ({lost}: " in reasons[0]
    assert "build it again" in reasons[0]
