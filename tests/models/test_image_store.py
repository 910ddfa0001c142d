"""The image store: whole copies or none, and nothing outside its root."""

from pathlib import Path

import pytest

from models.image_store import ImageStore

HASH = "0f" * 32


def test_copies_are_there_when_both_are_written(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.put(HASH, 256, b"small")
    assert not store.has(HASH, (256, 448))
    store.put(HASH, 448, b"large")
    assert store.has(HASH, (256, 448))
    assert store.path_of(HASH, 448).read_bytes() == b"large"


def test_writing_leaves_no_partial_files(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.put(HASH, 256, b"one")
    store.put(HASH, 256, b"two")
    assert [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()] == [b"two"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "..", "\u0660" * 64])
def test_nothing_outside_the_root_can_be_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a content hash"):
        ImageStore(tmp_path).path_of(name, 256)
