"""One row → everything a build needs of its file: bytes read, hashed, decoded, copies made.

Runs in several threads at once, in front of the encoder. It knows no engine and no batches; what
is wrong with a file becomes a `SkippedRow` that says so, never an exception.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Generic, TypeVar

from PIL import Image

from indexer.gallery.image_store import ImageStore
from indexer.gallery.ports import ReusableEmbedding
from indexer.pipeline.hosts import Hosts
from models.contracts.gallery import GalleryImage
from models.datasets.images import ImageLimits, InvalidImage, decode_with_size, to_jpeg
from models.datasets.rows import ImageRow
from models.datasets.stored_embeddings import InvalidEmbedding
from models.encoder.types import Embedding

T = TypeVar("T")


@dataclass(frozen=True)
class IndexRecord(Generic[T]):
    """An image that is ready for the gallery but for its embedding.

    Attributes:
        image: What the gallery will say of it.
        source: The encoder's input, the embedding that came with the row, or where it is stored
            already.
    """

    image: GalleryImage
    source: T | Embedding | ReusableEmbedding


@dataclass(frozen=True)
class SkippedRow:
    """A row that is not indexed.

    Attributes:
        image_id: Its image's id.
        location: Its file or URL; empty for duplicates.
        reason: One word for counting: `unreadable`, `duplicate`, `bad_embedding`, `undescribed`,
            or an `InvalidImage.reason`.
        detail: What is wrong, as a sentence.
    """

    image_id: str
    location: str
    reason: str
    detail: str


def _no_embedding(_: ImageRow) -> ReusableEmbedding | None:
    return None


class ImagePreparer(Generic[T]):
    """Prepares rows; safe to call from many threads.

    Attributes:
        embedded: Row → its stored embedding, if its file need not be looked at any more; called
            from all threads. Unless it is set, all files are.
    """

    embedded: Callable[[ImageRow], ReusableEmbedding | None]

    def __init__(
        self,
        store: ImageStore,
        limits: ImageLimits,
        preprocess: Callable[[Image.Image], T],
        sides_px: Collection[int],
        reusable: Callable[[str, str], ReusableEmbedding | None],
        read_timeout_s: float,
        make_copies: bool = True,
        decode_workers: int = 4,
        reads_per_host: int = 16,
    ) -> None:
        """Say where copies go and how they are made.

        Args:
            store: Where copies are written.
            limits: What is refused.
            preprocess: RGB image → the encoder's input.
            sides_px: Longer sides of the copies, in pixels.
            reusable: Image id and content hash → the stored embedding, if there is one; called
                from all threads.
            read_timeout_s: Longest wait for an image at a URL.
            make_copies: Whether images are read although their embeddings came with their rows.
            decode_workers: How many threads decode at once, however many read.
            reads_per_host: How many threads read from one host at once.
        """
        self.embedded = _no_embedding
        self._make_copies = make_copies
        self._hosts, self._decoding = Hosts(reads_per_host), BoundedSemaphore(decode_workers)
        self._read_timeout_s = read_timeout_s
        self._store, self._limits, self._preprocess = store, limits, preprocess
        self._sides_px, self._reusable = sides_px, reusable

    def prepare(self, row: ImageRow) -> IndexRecord[T] | SkippedRow:
        """Read, check and decode one file, and write its copies into the image store.

        Raises:
            StoreUnwritable: A copy cannot be written.
        """
        if (stored := self.embedded(row)) is not None:
            image = _image(row, stored.content_hash, stored.width, stored.height)
            return IndexRecord(image, stored)
        try:
            given = row.embedding.read() if row.embedding is not None else None
            if given is not None and not self._make_copies:
                return IndexRecord(_described(row), given)
            data = self._read(row)
            with self._decoding:
                return self._prepare(row, data, given)
        except OSError as error:
            return SkippedRow(row.image_id, row.location, "unreadable", str(error))
        except InvalidEmbedding as error:
            return SkippedRow(row.image_id, row.location, "bad_embedding", str(error))
        except _Undescribed as error:
            return SkippedRow(row.image_id, row.location, "undescribed", str(error))
        except InvalidImage as error:
            return SkippedRow(row.image_id, row.location, error.reason, str(error))

    def _prepare(self, row: ImageRow, data: bytes, given: Embedding | None) -> IndexRecord[T]:
        """The record of a file's bytes; raises `InvalidImage`."""
        content_hash = hashlib.sha256(data).hexdigest()
        reusable = self._reusable(row.image_id, content_hash) if given is None else None
        if reusable is not None and self._store.has(content_hash, self._sides_px):
            size = (reusable.width, reusable.height)
            return IndexRecord(_image(row, content_hash, *size), reusable)
        decoded, size = decode_with_size(data, self._limits, max(self._sides_px))
        for side_px in self._sides_px:
            self._store.put(content_hash, side_px, to_jpeg(decoded, side_px))
        source = given if given is not None else reusable
        return IndexRecord(
            _image(row, content_hash, *size),
            source if source is not None else self._preprocess(decoded),
        )

    def _read(self, row: ImageRow) -> bytes:
        """The file's bytes.

        Raises:
            OSError: It cannot be read, or its host has been silent for too long.
            InvalidImage: It has more bytes than the limit.
        """
        with self._hosts.turn(row.host):
            return row.read_bytes(self._read_timeout_s, self._limits.max_bytes)


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


class _Undescribed(ValueError):
    """A row does not say what only its file would say otherwise."""


def _described(row: ImageRow) -> GalleryImage:
    """The image as its row's columns describe it; raises `_Undescribed`."""
    said = row.payload
    width, height = (said.get(f"original_{side}", said.get(side)) for side in ("width", "height"))
    try:
        return _image(row, str(said.get("sha256")), int(str(width)), int(str(height)))
    except ValueError as error:
        raise _Undescribed(
            "without copies, a row must say `sha256`, `width` and `height` of its image"
        ) from error
