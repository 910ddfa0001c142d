"""`status`, `verify` and `prune`: what they say, what they find, what they leave alone."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from indexer.cli import main
from indexer.gallery import open_writer
from indexer.settings import IndexerSettings
from models.contracts.gallery import GalleryImage
from tests.indexer.pipeline.test_build import gallery_ids, noise, save_all
from tests.indexer.test_cli import environment


@pytest.fixture
def gallery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> IndexerSettings:
    """A gallery of five, built by the command."""
    settings = environment(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    save_all(tmp_path / "in", 5)
    assert main(["build", "--images", str(tmp_path / "in")]) == 0
    capsys.readouterr()
    return settings


def begin_another(settings: IndexerSettings) -> str:
    """An unfinished generation of one image, which the gallery in service does not have."""
    writer = open_writer(settings.gallery)
    (in_service,) = writer.generations()
    generation = writer.open_generation(in_service.spec)
    image = GalleryImage(image_id="new", content_hash="a" * 64, width=9, height=9)
    generation.put([image], [np.eye(in_service.spec.embedding_dim, dtype=np.float32)[0]])
    writer.close()
    return generation.name


def test_status_says_what_is_kept(
    gallery: IndexerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    unfinished = begin_another(gallery)
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "\nin service: " in said
    assert "5 images" in said
    assert "(just now)" in said
    assert f"\nunfinished: {unfinished}\n  1 images" in said
    assert main(["status", "--json"]) == 0
    kept = {each["state"]: each for each in json.loads(capsys.readouterr().out)["generations"]}
    assert kept["in service"]["images"] == 5
    assert kept["unfinished"]["name"] == unfinished
    assert kept["in service"]["encoder"] == kept["unfinished"]["encoder"]


def test_status_and_verify_before_the_first_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment(tmp_path, monkeypatch)
    assert main(["status"]) == 0
    assert "none is in service" in capsys.readouterr().out
    assert main(["verify"]) == 1
    assert "there is no gallery to verify yet" in capsys.readouterr().err
    assert main(["prune"]) == 0
    assert "copies stay as they are" in capsys.readouterr().out


def test_a_sound_gallery_is_sound(
    gallery: IndexerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify"]) == 0
    said = capsys.readouterr().out
    assert "embeddings computed again: 5" in said
    assert said.endswith("nothing is wrong\n")


def test_copies_that_are_gone_or_damaged_are_found_and_sync_makes_them(
    gallery: IndexerSettings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    absent, damaged, *_ = sorted(gallery.image_store.rglob("*.jpg"))
    absent.unlink()
    damaged.write_bytes(b"not a copy")
    assert main(["verify", "--sample", "0"]) == 1
    said = capsys.readouterr()
    assert "px is absent" in said.out
    assert "px is damaged" in said.out
    assert "2 problems in " in said.err
    assert main(["sync", "--images", str(tmp_path / "in")]) == 0
    assert main(["verify"]) == 0


def test_an_embedding_of_another_picture_is_found(
    gallery: IndexerSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = open_writer(gallery.gallery)
    (kept,) = writer.generations()
    images = list(writer.images(kept.name))
    generation = writer.open_generation(kept.spec, copy_of=kept.name)
    changed = images[0].model_copy(update={"caption": "put again"})
    generation.put([changed], [-np.eye(kept.spec.embedding_dim, dtype=np.float32)[0]])
    generation.publish([image.image_id for image in images], kept.spec)
    writer.close()
    assert main(["verify"]) == 1
    assert f"{changed.image_id}: its embedding is not its picture's" in capsys.readouterr().out


def test_prune_removes_old_copies_that_nobody_uses_and_what_was_given_up(
    gallery: IndexerSettings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copies = sorted(gallery.image_store.rglob("*.jpg"))
    begin_another(gallery)
    old, fresh, another_builds = (
        gallery.image_store / (letter * 2) / f"{letter * 64}.256.jpg" for letter in "bca"
    )
    for path in (old, fresh, another_builds):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(1).save(path, "JPEG")
    for path in (*copies, old, another_builds):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)

    assert main(["prune", "--dry-run"]) == 0
    assert "would be removed: 1" in capsys.readouterr().out
    assert old.exists()
    assert main(["prune"]) == 0
    assert sorted(gallery.image_store.rglob("*.jpg")) == sorted([*copies, fresh, another_builds])

    assert main(["prune", "--unfinished", "--min-age-h", "0"]) == 0
    assert "unfinished: " in capsys.readouterr().out
    assert sorted(gallery.image_store.rglob("*.jpg")) == copies
    assert len(gallery_ids(gallery)) == 5
    writer = open_writer(gallery.gallery)
    assert [each.state for each in writer.generations()] == ["in service"]
    writer.close()
