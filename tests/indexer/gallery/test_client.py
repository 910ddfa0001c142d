"""A damaged folder is one error with a sentence, whatever the engine raises."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qdrant_client.models import Distance, PointStruct, VectorParams

from indexer.gallery.server.client import (
    FolderDamaged,
    QdrantUnavailable,
    connect,
    translate_errors,
)
from indexer.gallery.settings import GallerySettings
from models.contracts.gallery import ALIAS
from tests.damage import database, rewrite, truncate

DAMAGES: dict[str, Callable[[Path], object]] = {
    "settings truncated": lambda folder: truncate(folder / "meta.json"),
    "settings of bytes": lambda folder: (folder / "meta.json").write_bytes(bytes(range(256))),
    "settings of another kind": lambda folder: (folder / "meta.json").write_text("[1, 2]"),
    "settings of nothing": lambda folder: (folder / "meta.json").write_text("{}"),
    "endless settings": lambda folder: (folder / "meta.json").write_text("[" * 100_000),
    "an alias of nothing": lambda folder: rewrite(folder, aliases={ALIAS: "gone"}),
    "database truncated": lambda folder: truncate(database(folder)),
    "database of garbage": lambda folder: database(folder).write_bytes(b"garbage " * 4096),
    "points of garbage": lambda folder: _execute(folder, "UPDATE points SET point = x'00ff'"),
}


def test_every_damage_is_a_sentence(tmp_path: Path) -> None:
    sound = GallerySettings(path=tmp_path / "sound")
    client = connect(sound)
    client.create_collection("one", VectorParams(size=2, distance=Distance.COSINE))
    client.upsert("one", [PointStruct(id=i, vector=[1, 0], payload={}) for i in range(500)])
    client.close()
    rewrite(sound.path, aliases={ALIAS: "one"})
    for name, damage in DAMAGES.items():
        folder = tmp_path / name
        shutil.copytree(sound.path, folder, ignore=shutil.ignore_patterns(".lock"))
        damage(folder)
        with pytest.raises(FolderDamaged) as error:
            connect(GallerySettings(path=folder))
        assert f"the embedded gallery in {folder} is damaged (" in str(error.value), name
        assert str(error.value).endswith("move that folder away and build it again"), name
    connect(sound).close()  # as it was, it can be opened


def test_a_folder_that_cannot_be_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(QdrantUnavailable, match="the embedded gallery cannot be opened: .*file"):
        connect(GallerySettings(path=tmp_path / "file"))


def test_a_database_that_breaks_later_is_said(tmp_path: Path) -> None:
    where = f"the embedded gallery in {tmp_path} cannot be read or written: disk I/O error"
    with (
        pytest.raises(QdrantUnavailable, match=where),
        translate_errors(GallerySettings(path=tmp_path)),
    ):
        raise sqlite3.OperationalError("disk I/O error")


def _execute(folder: Path, statement: str) -> None:
    opened: Any = sqlite3.connect(database(folder))
    with opened:
        opened.execute(statement)
    opened.close()
