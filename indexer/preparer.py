"""One row → everything a build needs of its file: bytes read, hashed, decoded, copies made.

Runs in several threads at once, in front of the encoder. It knows no Qdrant and no batches; what
is wrong with a file becomes a `Skipped` with a sentence, never an exception.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from PIL import Image

from models.contracts.gallery import GalleryImage
from models.image_store import ImageStore
from models.images import ImageLimits, InvalidImage, decode_with_size, to_jpeg
from models.manifest import ImageRow

T = TypeVar("T")


@dataclass(frozen=True)
class KnownImage:
    """A picture that an earlier build embedded: its size, and where its embedding is."""

    content_hash: str
    width: int
    height: int
    collection: str
    point_id: str


@dataclass(frozen=True)
class Prepared(Generic[T]):
    """An image ready to be embedded, or (`known`) one whose embedding can be copied."""

    image: GalleryImage
    model_input: T | None
    known: KnownImage | None = None


@dataclass(frozen=True)
class Skipped:
    """A row that is not indexed, and why."""

    image_id: str
    location: str
    reason: str
    sentence: str


class Preparer(Generic[T]):
    """Prepares rows; safe to call from many threads."""

    def __init__(
        self,
        store: ImageStore,
        limits: ImageLimits,
        preprocess: Callable[[Image.Image], T],
        thumbnail_px: int,
        rerank_px: int,
        known: Callable[[str, str], KnownImage | None],
    ) -> None:
        """Say where copies go and how they are made.

        Args:
            store: Where copies are written.
            limits: What is refused.
            preprocess: RGB picture → the encoder's input.
            thumbnail_px: Longer side of thumbnails.
            rerank_px: Longer side of the copies for re-ranking.
            known: Image id and content hash → the picture, if it need not be embedded again.
        """
        self._store, self._limits, self._preprocess = store, limits, preprocess
        self._thumbnail_px, self._rerank_px, self._known = thumbnail_px, rerank_px, known

    def prepare(self, row: ImageRow) -> Prepared[T] | Skipped:
        """Read, check and decode one file, and write its copies into the image store."""
        try:
            data = row.read_bytes()
        except OSError as error:
            return Skipped(row.image_id, row.location, "unreadable", str(error))
        content_hash = hashlib.sha256(data).hexdigest()
        known = self._known(row.image_id, content_hash)
        if known is not None and self._store.has(content_hash):
            return Prepared(_image(row, content_hash, known.width, known.height), None, known)
        try:
            target_px = max(self._rerank_px, self._thumbnail_px)
            picture, size = decode_with_size(data, self._limits, target_px)
        except InvalidImage as error:
            return Skipped(row.image_id, row.location, error.reason, str(error))
        self._store.put(content_hash, "thumbnail", to_jpeg(picture, self._thumbnail_px))
        self._store.put(content_hash, "rerank", to_jpeg(picture, self._rerank_px))
        image = _image(row, content_hash, *size)
        if known is not None:
            return Prepared(image, None, known)
        return Prepared(image, self._preprocess(picture))


def _image(row: ImageRow, content_hash: str, width: int, height: int) -> GalleryImage:
    return GalleryImage(
        image_id=row.image_id,
        content_hash=content_hash,
        width=width,
        height=height,
        caption=row.caption,
        attributes=row.attributes,
        payload=row.payload,
    )
