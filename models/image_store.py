"""The folder of prepared copies that indexer (writes), API and worker (read) share.

Addressed by the source file's content hash: a copy never changes, may be cached for ever, and two
builds can write at once. It knows paths and bytes, not what images are.
"""

import os
import tempfile
from pathlib import Path
from typing import Literal

Copy = Literal["thumbnail", "rerank"]


class ImageStore:
    """Thumbnails and re-rank-sized copies under one root folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, content_hash: str, copy: Copy) -> Path:
        """Where a copy lies, or would lie.

        Raises:
            ValueError: `content_hash` is not a hash; nothing outside the root can be named.
        """
        if not (content_hash.isalnum() and content_hash.isascii()):
            raise ValueError(f"not a content hash: {content_hash!r}")
        return self._root / content_hash[:2] / f"{content_hash}.{copy}.jpg"

    def has(self, content_hash: str) -> bool:
        """Whether both copies are there."""
        return all(self.path_of(content_hash, copy).exists() for copy in ("thumbnail", "rerank"))

    def put(self, content_hash: str, copy: Copy, data: bytes) -> None:
        """Write a copy atomically: readers see all of it or nothing."""
        path = self.path_of(content_hash, copy)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(partial, 0o644)  # mkstemp makes files that only their owner can read
        os.replace(partial, path)
