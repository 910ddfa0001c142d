"""From published annotations to the servers' files: gallery, build, search, submission.

The pictures are stand-ins under the benchmarks' names; annotations, index and API are real.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.api.main import create_app
from app.api.settings import ApiSettings
from indexer.cli import main
from models.datasets.manifest import read_manifest
from models.encoder.encoder import ImageTextEncoder
from tests.app.api.stub_worker import serving
from tests.conftest import build, indexer_settings
from tests.indexer.evaluation.benchmarks.published import MEMBERS, write_circo, write_cirr
from tests.indexer.evaluation.conftest import wait_until_serving

CIRR_FILES = [f"test1/{name}.png" for name in (*MEMBERS, *(f"test1-{i}" for i in range(54)))]
CIRCO_FILES = [f"{number:012d}.jpg" for number in range(1, 61)]


def stand_ins(folder: Path, files: list[str], catalogue: Path) -> Path:
    pictures = sorted((catalogue.parent / "images").iterdir())
    for file, picture in zip(files, islice(pictures, len(files)), strict=True):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.open(picture).save(folder / file)
    return folder


@contextmanager
def gallery_of(manifest: Path, encoder: ImageTextEncoder, root: Path) -> Iterator[str]:
    settings = indexer_settings(root)
    report = build(read_manifest(manifest), encoder, settings)
    assert report.indexed == 60
    api = create_app(ApiSettings(gallery=settings.gallery, image_store=settings.image_store))
    with serving(api) as address:
        wait_until_serving(address)
        yield address


def submitted(
    name: str, split: str, source: Path, images: Path, encoder: ImageTextEncoder, root: Path
) -> dict[str, dict[str, Any]]:
    """File name → content of the submission."""
    about = ["evaluate", "--benchmark", name, "--split", split, "--source", str(source)]
    manifest = root / "manifest.jsonl"
    assert main([*about, "--gallery", str(images), str(manifest)]) == 0
    with gallery_of(manifest, encoder, root) as address:
        ways = ["--compositions", "union", "--rerank", "0", "--api", address]
        assert main([*about, *ways, "--out", str(root / "out")]) == 0
    files = (root / "out" / "submission" / "union-0").iterdir()
    return {file.name: json.loads(file.read_text()) for file in files}


def test_cirr(catalogue: Path, encoder: ImageTextEncoder, tmp_path: Path) -> None:
    source = write_cirr(tmp_path / "annotations")
    images = stand_ins(tmp_path / "nlvr2", CIRR_FILES, catalogue)
    files = submitted("cirr", "test1", source, images, encoder, tmp_path)
    assert set(files) == {"test1_pred_ranks_recall.json", "test1_pred_ranks_recall_subset.json"}
    whole, subset = (files[f"test1_pred_ranks_{kind}.json"] for kind in ("recall", "recall_subset"))
    assert (whole.pop("version"), whole.pop("metric")) == ("rc2", "recall")
    assert (subset.pop("version"), subset.pop("metric")) == ("rc2", "recall_subset")
    assert set(whole) == set(subset) == {"12060", "12062"}
    for pair, reference in (("12060", "dev-4"), ("12062", "dev-0")):
        assert len(set(whole[pair])) == len(whole[pair]) == 50
        assert len(set(subset[pair])) == 3
        assert set(subset[pair]) <= set(MEMBERS)
        assert reference not in {*whole[pair], *subset[pair]}
        # asked apart, ranked alike: the subset is the whole ranking without all others
        assert [i for i in whole[pair] if i in MEMBERS][:3] == subset[pair]


def test_circo(catalogue: Path, encoder: ImageTextEncoder, tmp_path: Path) -> None:
    source = write_circo(tmp_path / "annotations")
    images = stand_ins(tmp_path / "unlabeled2017", CIRCO_FILES, catalogue)
    (content,) = submitted("circo", "test", source, images, encoder, tmp_path).values()
    assert set(content) == {"0", "1"}
    for ids in content.values():
        assert len(set(ids)) == len(ids) == 50
        assert set(ids) <= set(range(1, 61))


def test_a_gallery_without_the_images_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_cirr(tmp_path / "annotations")
    about = ["evaluate", "--benchmark", "cirr", "--split", "test1", "--source", str(source)]
    assert main([*about, "--gallery", str(tmp_path), str(tmp_path / "m.jsonl")]) == 2
    assert "NLVR2" in capsys.readouterr().err
