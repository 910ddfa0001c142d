"""The embedded gallery: damage is found and said, nobody is locked out, a copy is a backup."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from indexer.gallery import open_reader, open_writer
from indexer.gallery.edge.folder import Folder
from indexer.gallery.errors import GalleryError, GalleryNotFound, GalleryUnavailable
from indexer.gallery.settings import GalleryWriterSettings
from tests.damage import contents, spec_file, truncate
from tests.full_disk import room_for
from tests.indexer.gallery.test_server import build, embeddings, picture, spec
from tests.paths import ROOT

COUNT = 12
READER = """
import sys
from pathlib import Path
from indexer.gallery import open_reader
from indexer.gallery.settings import GallerySettings
from tests.indexer.gallery.test_server import embeddings, picture
reader = open_reader(GallerySettings(path=Path(sys.argv[1])))
query, wanted, held = embeddings(1), int(sys.argv[2]), 0
print("ready", flush=True)
while held != wanted:
    generation = reader.current()
    held = reader.count(generation)
    hits = reader.search(generation, query, 1000)
    assert {hit.image.image_id for hit in hits} == {f"image-{n}" for n in range(held)}, held
"""


@pytest.fixture
def gallery(tmp_path: Path) -> GalleryWriterSettings:
    """Twelve images in service."""
    settings = GalleryWriterSettings(path=tmp_path / "gallery", swap_grace_s=0.1)
    build(settings, COUNT)
    return settings


def checked(settings: GalleryWriterSettings) -> list[str]:
    """What the engine's own checks find of the gallery in service."""
    with closing(open_writer(settings)) as writer:
        name = writer.published()
        assert name is not None
        return writer.check(name)


def refusal(settings: GalleryWriterSettings) -> str:
    """What a reader says that cannot open the gallery."""
    with (
        closing(open_reader(settings)) as reader,
        pytest.raises((GalleryUnavailable, GalleryNotFound)) as refused,
    ):
        reader.current()
    return str(refused.value)


def sealed_files(settings: GalleryWriterSettings) -> list[Path]:
    """All files with anything in them that a sealed generation consists of."""
    folder = spec_file(settings.path).parent
    found = [folder / "images.sqlite", *(folder / "shard").rglob("*")]
    return [path for path in found if path.is_file() and path.stat().st_blocks]


def test_a_flipped_bit_in_any_file_is_found(gallery: GalleryWriterSettings) -> None:
    contents(gallery)  # a reader changes nothing
    assert checked(gallery) == []
    files = sealed_files(gallery)
    assert len(files) > 10
    for path in files:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            (byte,) = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 16]))
            file.flush()
            (problem,) = checked(gallery)
            assert f"{path.name} of " in problem
            assert problem.endswith("is damaged")
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte]))
    assert checked(gallery) == []


def test_a_file_that_is_gone_is_found(gallery: GalleryWriterSettings) -> None:
    path = sealed_files(gallery)[-1]
    path.unlink()
    (problem,) = checked(gallery)
    assert problem.endswith("is gone")


@pytest.mark.parametrize("name", ["spec.json", "segment.json", "edge_config.json"])
def test_a_truncated_file_is_said_to_be_damage(gallery: GalleryWriterSettings, name: str) -> None:
    (path,) = gallery.path.rglob(name)
    truncate(path)
    said = refusal(gallery)
    assert f"the embedded gallery in {gallery.path} is damaged (" in said
    assert "build it again" in said


def test_a_pointer_to_nothing_is_said_to_be_damage(gallery: GalleryWriterSettings) -> None:
    (gallery.path / gallery.alias / "current").write_text("gallery\n")
    assert "`current` names no generation" in refusal(gallery)


def test_another_version_is_said_and_the_next_build_mends_it(
    gallery: GalleryWriterSettings,
) -> None:
    path = spec_file(gallery.path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    assert "has format 99, and this version reads 2; build it again" in refusal(gallery)
    build(gallery, COUNT)
    assert len(contents(gallery)[1]) == COUNT


def test_a_gallery_of_the_local_mode_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"collections": {}, "aliases": {}}')
    said = refusal(GalleryWriterSettings(path=tmp_path))
    assert "was made by an earlier version; build it again" in said


@pytest.mark.parametrize("most_bytes", [100, 1 << 16, 2 << 20])
def test_a_full_disk_costs_the_build_alone(gallery: GalleryWriterSettings, most_bytes: int) -> None:
    with room_for(most_bytes), pytest.raises(GalleryError, match="make room there"):
        build(gallery, COUNT + 1)
    assert len(contents(gallery)[1]) == COUNT
    build(gallery, COUNT + 1)
    assert len(contents(gallery)[1]) == COUNT + 1
    assert len(Folder(gallery).generations()) == 1


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Nobody may write below a folder, and this process is not root meanwhile."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_read_only_folder_is_said_to_readers_and_builds(
    gallery: GalleryWriterSettings,
) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        settings = gallery.model_copy(update={"path": Path(open_to_all) / "gallery"})
        shutil.copytree(gallery.path, settings.path)
        with without_rights(settings.path):
            said = refusal(settings)
            assert "cannot be opened: the engine needs to write there, too" in said
            with pytest.raises(GalleryError, match="mend the rights"):
                build(settings, COUNT)
        assert len(contents(settings)[1]) == COUNT


def test_who_looks_into_a_gallery_is_not_in_the_way_of_a_build_nor_it_in_theirs(
    gallery: GalleryWriterSettings,
) -> None:
    with closing(open_writer(gallery)) as builder, closing(open_writer(gallery)) as other:
        begun = builder.open_generation(spec())
        begun.put([picture(COUNT)], list(embeddings(1)))
        kept = {each.state: each for each in other.generations()}
        assert kept["in service"].images == COUNT
        assert kept["unfinished"].name == begun.name
        assert other.check(kept["in service"].name) == []
        assert len(list(other.images(kept["in service"].name))) == COUNT
        for change in (
            lambda: other.open_generation(spec()),
            lambda: other.drop(begun.name),
        ):
            with pytest.raises(GalleryError, match="another process is writing"):
                change()


def test_two_processes_read_while_a_third_writes(gallery: GalleryWriterSettings) -> None:
    """Every answer is of one whole generation, and both follow to the last."""
    last = COUNT + 3
    command = [sys.executable, "-c", READER, str(gallery.path), str(last)]
    readers = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        for count in range(COUNT + 1, last + 1):
            build(gallery, count)
        assert [reader.wait(timeout=60) for reader in readers] == [0, 0]
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def test_a_copy_of_the_folder_is_a_backup(gallery: GalleryWriterSettings, tmp_path: Path) -> None:
    before = contents(gallery)
    shutil.copytree(gallery.path, tmp_path / "backup")
    build(gallery, COUNT + 5)
    shutil.rmtree(gallery.path)
    shutil.copytree(tmp_path / "backup", gallery.path)
    assert contents(gallery) == before
    assert checked(gallery) == []
    build(gallery, COUNT + 1)
    assert len(contents(gallery)[1]) == COUNT + 1
