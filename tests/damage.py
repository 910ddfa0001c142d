"""Damage to an embedded gallery's folder, as disks, copies and other versions do it."""

import json
from pathlib import Path
from typing import Any


def truncate(path: Path) -> None:
    """Half of it is lost."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def database(folder: Path) -> Path:
    """The file that holds the points of the only collection."""
    (path,) = folder.rglob("*.sqlite")
    return path


def rewrite(folder: Path, **changes: Any) -> None:
    """Other values in what the engine keeps of all collections."""
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | changes))


def rewrite_metadata(folder: Path, **changes: Any) -> None:
    """Other values in the metadata of the only collection."""
    collections = json.loads((folder / "meta.json").read_text())["collections"]
    (collection,) = collections.values()
    collection["metadata"] |= changes
    rewrite(folder, collections=collections)
