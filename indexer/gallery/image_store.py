"""The folder of prepared copies: the indexer writes it, API and worker read it.

A copy is named by the source file's content hash and by its own longer side: it never changes, may
be cached without end, and two builds can write at once, also at different sizes. Which sizes a
gallery has is in its spec. It knows paths and bytes, and how a JPEG begins and ends, not what
images are.
"""

import os
import tempfile
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from models.errors import JobError

_PARTIAL = ".partial"
_TRIES = 10
_BEGINS, _ENDS = b"\xff\xd8\xff", b"\xff\xd9"


class StoreUnwritable(JobError):
    """A copy cannot be written, for lack of room or of rights; the message says what to do."""


class ImageStore:
    """Thumbnails and re-rank-sized copies under one root folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, content_hash: str, side_px: int) -> Path:
        """Where a copy lies, or would lie.

        Args:
            content_hash: SHA-256 of the source file, hex.
            side_px: The copy's longer side at most, in pixels.

        Raises:
            ValueError: `content_hash` is not a hash; nothing outside the root can be named.
        """
        if not (content_hash.isalnum() and content_hash.isascii()):
            raise ValueError(f"not a content hash: {content_hash!r}")
        return self._root / content_hash[:2] / f"{content_hash}.{side_px}.jpg"

    def has(self, content_hash: str, sides_px: Iterable[int]) -> bool:
        """Whether the copies at these longer sides, in pixels, are all there, and whole."""
        return all(self.state(content_hash, side_px) == "whole" for side_px in sides_px)

    def state(self, content_hash: str, side_px: int) -> Literal["whole", "absent", "damaged"]:
        """What a copy is, by its first and last bytes: cut short or overwritten is `damaged`."""
        try:
            with self.path_of(content_hash, side_px).open("rb") as file:
                begins = file.read(len(_BEGINS))
                file.seek(-len(_ENDS), os.SEEK_END)
                return "whole" if (begins, file.read()) == (_BEGINS, _ENDS) else "damaged"
        except FileNotFoundError:
            return "absent"
        except OSError:  # nothing to seek in, or not to be read
            return "damaged"

    def put(self, content_hash: str, side_px: int, data: bytes) -> None:
        """Write a copy atomically: readers see all of it or nothing.

        Raises:
            StoreUnwritable: It cannot be written; nothing is left of it.
        """
        path = self.path_of(content_hash, side_px)
        try:
            for _ in range(_TRIES - 1):
                with suppress(FileNotFoundError):  # a build that was started meanwhile removed it
                    _write(path, data)
                    return
            _write(path, data)
        except OSError as error:
            raise StoreUnwritable(
                f"{path} cannot be written: {error.strerror}; make room there, or mend the rights, "
                "and run the build again: it goes on where it was"
            ) from error

    def remove_partials(self) -> None:
        """Remove what killed builds left half written; others may write meanwhile."""
        for partial in self._root.glob(f"*/*{_PARTIAL}"):
            partial.unlink(missing_ok=True)

    def copies(self) -> Iterator[Path]:
        """Every copy; its file's stem is the content hash, a dot, and the longer side in pixels."""
        return self._root.glob("*/*.jpg")

    def count_others(self, content_hashes: Container[str], sides_px: Iterable[int]) -> int:
        """How many copies there are of other images than these, or at other sizes.

        Args:
            content_hashes: Of the images whose copies do not count.
            sides_px: Longer sides of those copies, in pixels.
        """
        endings = tuple(f".{side_px}.jpg" for side_px in sides_px)
        return sum(
            not (path.name.endswith(endings) and path.name.partition(".")[0] in content_hashes)
            for path in self.copies()
        )


def _write(path: Path, data: bytes) -> None:
    """All of a file, or an `OSError` and nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, suffix=_PARTIAL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
