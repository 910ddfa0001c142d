"""A mapping on disk: as many entries as there is disk, in memory that does not grow with them."""

import sqlite3
import weakref
from collections.abc import Iterator, Mapping

_CACHE_KIB = 8_000
_FETCHED = 1_000  # entries read at a time


class DiskMap(Mapping[str, bytes]):
    """Text → bytes, in order of insertion, in a temporary file that nobody else sees.

    It goes when the object does, and with a killed process. Several threads may read at once; one
    writes.
    """

    def __init__(self) -> None:
        # an empty name is SQLite's private temporary database: in memory first, then on disk
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "CREATE TABLE entries (number INTEGER PRIMARY KEY, key TEXT UNIQUE, value BLOB)",
        ):
            self._database.execute(statement).close()
        self._count = 0

    def setdefault(self, key: str, value: bytes) -> bytes:
        """What is stored for a key: this value, if there was none."""
        added = self._database.execute(
            "INSERT INTO entries (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value)
        ).rowcount
        if added:
            self._count += 1
            return value
        return self[key]

    def __getitem__(self, key: str) -> bytes:
        found = self._database.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        value: bytes = found[0]
        return value

    def __contains__(self, key: object) -> bool:
        return (
            self._database.execute("SELECT 1 FROM entries WHERE key = ?", (key,)).fetchone()
            is not None
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for key, _ in self._in_order():
            yield key

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Keys and values, in order of insertion; without a look-up for each."""
        return self._in_order()

    def _in_order(self) -> Iterator[tuple[str, bytes]]:
        last = 0
        while page := self._database.execute(
            "SELECT number, key, value FROM entries WHERE number > ? ORDER BY number LIMIT ?",
            (last, _FETCHED),
        ).fetchall():
            for last, key, value in page:  # noqa: B007  # the last number begins the next page
                yield key, value
