"""The image store: whole copies or none, and nothing outside its root."""

import threading
from pathlib import Path

import pytest

from indexer.gallery.image_store import ImageStore, StoreUnwritable
from tests.fakes import as_jpeg
from tests.full_disk import room_for

HASH = "0f" * 32


def test_copies_are_there_when_both_are_written(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.put(HASH, 256, as_jpeg("small"))
    assert not store.has(HASH, (256, 448))
    store.put(HASH, 448, as_jpeg("large"))
    assert store.has(HASH, (256, 448))
    assert store.path_of(HASH, 448).read_bytes() == as_jpeg("large")


@pytest.mark.parametrize(
    "found", [b"", b"x", b"garbage " * 99, as_jpeg("cut short")[:-2], b"\xff\xd8\xff", b"\xff\xd9"]
)
def test_what_is_no_whole_jpeg_is_not_there(found: bytes, tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    assert store.state(HASH, 448) == "absent"
    store.put(HASH, 448, as_jpeg("sound"))
    assert store.state(HASH, 448) == "whole"
    store.path_of(HASH, 448).write_bytes(found)
    assert store.state(HASH, 448) == "damaged"
    assert not store.has(HASH, (448,))


def test_writing_leaves_no_partial_files(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    store.put(HASH, 256, b"one")
    store.put(HASH, 256, b"two")
    assert [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()] == [b"two"]


def test_a_copy_for_which_there_is_no_room_leaves_nothing_and_the_error_says_where(
    tmp_path: Path,
) -> None:
    store = ImageStore(tmp_path)
    store.put(HASH, 256, b"small")
    with room_for(1000), pytest.raises(StoreUnwritable) as refused:
        store.put(HASH, 448, b"large" * 1000)
    assert str(store.path_of(HASH, 448)) in str(refused.value)
    assert "make room" in str(refused.value)
    assert [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()] == [b"small"]


def test_what_killed_builds_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    store.remove_partials()  # there is no folder yet
    store.put(HASH, 256, b"small")
    (store.path_of(HASH, 256).parent / "tmp123.partial").write_bytes(b"sma")
    store.remove_partials()
    assert [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()] == [b"small"]


def test_two_builds_may_write_and_clean_at_once(tmp_path: Path) -> None:
    store, done = ImageStore(tmp_path), threading.Event()

    def clean() -> None:
        while not done.is_set():
            store.remove_partials()

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    try:
        for number in range(300):
            store.put(f"{number:064x}", 256, b"a copy")
    finally:
        done.set()
        cleaner.join()
    assert sum(path.read_bytes() == b"a copy" for path in tmp_path.rglob("*.jpg")) == 300


def test_copies_that_a_gallery_does_not_use_are_counted(tmp_path: Path) -> None:
    store, other = ImageStore(tmp_path), "a1" * 32
    for content_hash, side_px in ((HASH, 256), (HASH, 448), (HASH, 96), (other, 448)):
        store.put(content_hash, side_px, b"a copy")
    assert store.count_others({HASH}, {256, 448}) == 2
    assert store.count_others({HASH, other}, {256, 448, 96}) == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "..", "\u0660" * 64])
def test_nothing_outside_the_root_can_be_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a content hash"):
        ImageStore(tmp_path).path_of(name, 256)
