"""What the generation in service holds: read once, on disk as far as it grows with it."""

import hashlib
import json
from collections.abc import Iterator
from threading import Lock
from typing import Any

from indexer.gallery.errors import GalleryError
from indexer.gallery.ports import GalleryWriter, KeptGeneration, ReusableEmbedding
from models.contracts.gallery import GalleryImage
from models.datasets.disk_map import DiskMap


class ChangeRefused(GalleryError):
    """The change was not made; the gallery in service is as it was."""


class Held:
    """What the generation in service holds, on disk as far as it grows with it; for any thread.

    Attributes:
        generation: Its name.
        spec: Its metadata.
    """

    def __init__(self, writer: GalleryWriter, kept: KeptGeneration) -> None:
        """Read all of it once."""
        self.generation, self.spec = kept.name, kept.spec
        self._by_id, self._by_hash, self._lock = DiskMap(), DiskMap(), Lock()
        for image in writer.images(kept.name):
            said = [image.content_hash, image.width, image.height, _digest(image)]
            self._by_id.setdefault(image.image_id, json.dumps(said).encode())
            self._by_hash.setdefault(image.content_hash, image.image_id.encode())

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, image_id: str) -> bool:
        with self._lock:
            return image_id in self._by_id

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def reusable(self, image_id: str, content_hash: str) -> ReusableEmbedding | None:
        """What it has of an image, if that is of these bytes."""
        said = self._said(image_id)
        if said is None or said[0] != content_hash:
            return None
        return ReusableEmbedding(content_hash, said[1], said[2], self.generation, image_id)

    def holds(self, image: GalleryImage) -> bool:
        """Whether it holds an image with all that is said of it."""
        said = self._said(image.image_id)
        return said is not None and said[3] == _digest(image)

    def with_bytes(self, content_hash: str) -> str | None:
        """The image of these bytes."""
        with self._lock:
            found = self._by_hash.get(content_hash)
        return None if found is None else found.decode()

    def _said(self, image_id: str) -> Any:
        with self._lock:
            said = self._by_id.get(image_id)
        return None if said is None else json.loads(said)


def read_held(writer: GalleryWriter, encoder: str | None) -> Held:
    """What is in service, to be changed.

    Args:
        writer: Where it is.
        encoder: The fingerprint of the encoder that new images are embedded by; None: there are
            none.

    Raises:
        GalleryError: There is no gallery, or another encoder made it.
    """
    kept = next((each for each in writer.generations() if each.state == "in service"), None)
    if kept is None:
        raise GalleryError("there is no gallery to change yet; `build` makes one")
    if encoder not in (None, kept.spec.encoder_fingerprint):
        raise ChangeRefused(
            f"the gallery in service was embedded by {kept.spec.encoder_fingerprint}, the settings "
            f"name {encoder}; change them, or `build` the gallery anew"
        )
    return Held(writer, kept)


def _digest(image: GalleryImage) -> str:
    """SHA-256 of all that is said of an image, hex."""
    said = json.dumps(image.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()
