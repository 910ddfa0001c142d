"""What a generation holds of each image, apart from the embedding: a SQLite file beside the shard.

It answers "is there an embedding of these bytes?" by image and by content hash with bounded memory.
A record is written after the shard was flushed and removed before its image is written again, so
what a record says is in the shard whenever a process was killed. It also is all that a resumed
build trusts.
"""

import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from models.contracts.gallery import GalleryImage

_CACHE_KIB = 32_768
_SCHEMA = """
BEGIN;
CREATE TABLE IF NOT EXISTS images
    (image_id TEXT PRIMARY KEY, content_hash BLOB, width INTEGER, height INTEGER, digest BLOB);
CREATE INDEX IF NOT EXISTS by_hash ON images (content_hash);
COMMIT;
"""
_ASKED = 500  # images in one statement
_COLUMNS = "image_id, content_hash, width, height, digest"


@dataclass(frozen=True)
class Record:
    """One image.

    Attributes:
        image_id: Its id.
        content_hash: SHA-256 of its bytes, hex.
        width: Of the upright image, in pixels.
        height: Of the upright image, in pixels.
        digest: SHA-256 of its payload.
    """

    image_id: str
    content_hash: str
    width: int
    height: int
    digest: bytes


class Records:
    """The records of one generation. Any thread may ask; one at a time may change."""

    def __init__(self, path: Path, *, sealed: bool = False, read_only: bool = False) -> None:
        """Open, or make, the file; raises `sqlite3.Error`.

        Args:
            path: The file.
            sealed: It is never changed again: no lock is taken and nothing is written.
            read_only: Another process may be changing it: nothing is written.
        """
        mode = "immutable=1" if sealed else "mode=ro" if read_only else "mode=rwc"
        uri = f"{path.absolute().as_uri()}?{mode}"
        self._lock = threading.Lock()
        self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        try:
            self._execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            if not (sealed or read_only):
                self._database.executescript(_SCHEMA).close()
            self._execute("SELECT 1 FROM images LIMIT 1")
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    def of_image(self, image_id: str) -> Record | None:
        """The record of an image."""
        return self._one("image_id = ?", image_id)

    def of_bytes(self, content_hash: str) -> Record | None:
        """A record of some image with these bytes."""
        return self._one("content_hash = ?", bytes.fromhex(content_hash))

    def digests(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        """The payloads' digests of those of some images that have a record."""
        found: dict[str, bytes] = {}
        for start in range(0, len(image_ids), _ASKED):
            some = image_ids[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            statement = f"SELECT image_id, digest FROM images WHERE image_id IN ({marks})"
            with self._lock, closing(self._database.execute(statement, some)) as cursor:
                found.update(cursor)
        return found

    def count(self) -> int:
        """How many records there are."""
        with self._lock, closing(self._database.execute("SELECT count(*) FROM images")) as cursor:
            return int(cursor.fetchone()[0])

    def add(self, records: Iterable[Record]) -> None:
        """Write records, for good."""
        rows = [
            (each.image_id, bytes.fromhex(each.content_hash), each.width, each.height, each.digest)
            for each in records
        ]
        with self._lock, self._database:
            self._database.executemany("INSERT OR REPLACE INTO images VALUES (?,?,?,?,?)", rows)

    def remove(self, image_ids: Sequence[str]) -> None:
        """Remove records, for good."""
        with self._lock, self._database:
            self._database.executemany(
                "DELETE FROM images WHERE image_id = ?", [(image_id,) for image_id in image_ids]
            )

    def _one(self, condition: str, value: object) -> Record | None:
        statement = f"SELECT {_COLUMNS} FROM images WHERE {condition} LIMIT 1"
        with self._lock, closing(self._database.execute(statement, (value,))) as cursor:
            row = cursor.fetchone()
        return None if row is None else Record(row[0], row[1].hex(), *row[2:])

    def _execute(self, statement: str) -> None:
        self._database.execute(statement).close()


def digest_of(image: GalleryImage) -> bytes:
    """SHA-256 of an image's payload."""
    return hashlib.sha256(image.model_dump_json().encode()).digest()
