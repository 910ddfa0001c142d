"""The attributes benchmark on real photographs with a CSV, start to end, by the command line."""

import csv
import json
from pathlib import Path

import pytest

from app.api.main import create_app
from app.api.settings import ApiSettings
from indexer.cli import main
from indexer.gallery.settings import GallerySettings
from tests.app.api.stub_worker import serving
from tests.indexer.evaluation.benchmarks.published import at_hand
from tests.indexer.evaluation.conftest import wait_until_serving

FACETS = ("department", "coarse", "fine")


def write_csv(photos: Path, path: Path, count: int) -> Path:
    """Groceries as a shop would list them."""
    rows = [json.loads(line) for line in (photos / "manifest.jsonl").read_text().splitlines()]
    groceries = [row for row in rows if row["dataset"] == "grocery"][:count]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "image_id", *(f"attributes.{name}" for name in FACETS)])
        for row in groceries:
            values = [row["attributes"][name] for name in FACETS]
            writer.writerow([str(photos / row["file"]), row["id"], *values])
    return path


def test_a_csv_of_photographs_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo encoder knows nothing of photographs; that it is measured is the point."""
    manifest = write_csv(at_hand("photos"), tmp_path / "shop.csv", 240)
    monkeypatch.setenv("CIR_INDEXER__GALLERY__PATH", str(tmp_path / "qdrant"))
    monkeypatch.setenv("CIR_INDEXER__IMAGE_STORE", str(tmp_path / "images"))
    monkeypatch.setenv("CIR_INDEXER__NOUN_FACET", "coarse")
    report = ["--report", str(tmp_path / "build.json")]
    assert main(["build", "--manifest", str(manifest), *report]) == 0
    settings = ApiSettings(
        gallery=GallerySettings(path=tmp_path / "qdrant"), image_store=tmp_path / "images"
    )
    with serving(create_app(settings)) as address:
        wait_until_serving(address)
        command = ["evaluate", "--benchmark", "attributes", "--queries", "60", "--api", address]
        ways = ["--compositions", "image", "facets", "--rerank", "0"]
        assert main([*command, *ways, "--out", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["benchmark"]["queries"] == 60 + 30  # and half as many typed texts
    for row in metrics["configurations"]:
        assert row["degraded"]["answers"] == 0
        assert 0 <= row["measures"]["mAP@10"]["mean"] <= 1
        assert set(row["headline_by_kind"]) >= {"change fine", "not this fine"}
