"""Rows: the images that a gallery is to hold, as a source lists them. Decodes nothing.

However many there are, they lie in a temporary file: a source is read once, its rows are iterated
as often as needed, and memory does not grow with their number.
"""

import pickle
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from models.contracts.gallery import AttributeValue
from models.datasets.disk_map import DiskMap
from models.datasets.images import ImageLimits, InvalidImage
from models.datasets.remote import READ_TIMEOUT_S, is_url, read_range
from models.datasets.schema import AttributeCounter, Cell
from models.datasets.stored_embeddings import EmbeddingPlace


@dataclass(frozen=True)
class ImageRow:
    """One image to index, not yet looked at.

    Attributes:
        image_id: Unique in the gallery.
        location: Path, or a URL that fsspec can open.
        caption: If the manifest has one.
        attributes: Facet → value(s), of one kind in all rows.
        payload: The row's other columns, passed through.
        embedding: Where its embedding lies, if it has one already.
        span: Its first byte in the file, and how many there are; None: the whole file.
    """

    image_id: str
    location: str
    caption: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    payload: dict[str, Any] = field(default_factory=dict)
    embedding: EmbeddingPlace | None = None
    span: tuple[int, int] | None = None

    @property
    def host(self) -> str | None:
        """Who is asked for the file; None: it is on disk."""
        return urlsplit(self.location).netloc if is_url(self.location) else None

    def read_bytes(
        self, timeout_s: float = READ_TIMEOUT_S, max_bytes: int = ImageLimits.max_bytes
    ) -> bytes:
        """The file's bytes, from disk or wherever its URL points; a larger file is not read whole.

        Args:
            timeout_s: Longest wait for all of what a URL points to, in seconds.
            max_bytes: The most bytes that the file may have.

        Raises:
            InvalidImage: The file is larger (`too_many_bytes`).
            TimeoutError: That took longer; an `OSError` too.
            HostUnreachable: Its host takes no connection; an `OSError` too.
            OSError: It cannot be read.
        """
        start, size = self.span or (0, max_bytes + 1)
        data = read_range(self.location, start, min(size, max_bytes + 1), timeout_s)
        if len(data) > max_bytes:
            raise InvalidImage(
                "too_many_bytes", f"the image has more bytes than the limit of {max_bytes:,}"
            )
        return data


class ImageRows(Collection[ImageRow]):
    """The rows of a source, kept on disk, with what is known of all of them.

    Attributes:
        attributes: The attributes of all rows.
    """

    def __init__(self) -> None:
        self.attributes = AttributeCounter()
        self._columns = _Columns()
        self._stored = DiskMap()

    def add(self, row: ImageRow, cells: Mapping[str, Cell], line: int) -> int:
        """Append a row, whose attributes are these.

        Args:
            row: The row, without attributes.
            cells: Its attributes, as they were written.
            line: Where it stands in its source.

        Returns:
            The line of the first row of this id: another than this row's, if the row was refused
            for it.
        """
        stored = pickle.dumps(
            (line, row.location, row.caption, dict(cells), row.payload, row.embedding, row.span)
        )
        first = self._stored.setdefault(row.image_id, stored)
        if first is not stored:
            first_line: int = pickle.loads(first)[0]
            return first_line
        self.attributes.add_cells(cells)
        self._columns.add(row.payload)
        return line

    @property
    def passed_through(self) -> list[str]:
        """The columns that are neither ours nor attributes, and could all be attributes."""
        return self._columns.could_be_attributes

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[ImageRow]:
        for image_id, stored in self._stored.entries():
            _, location, caption, cells, *rest = pickle.loads(stored)
            yield ImageRow(image_id, location, caption, self.attributes.typed(cells), *rest)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, ImageRow) and row.image_id in self._stored


def attributes_of(rows: Iterable[ImageRow]) -> AttributeCounter:
    """The attributes of all these rows."""
    if isinstance(rows, ImageRows):
        return rows.attributes
    counter = AttributeCounter()
    for row in rows:
        counter.add(row.attributes)
    return counter


def passed_through(rows: Iterable[ImageRow]) -> list[str]:
    """The columns that are neither ours nor attributes, and could all be attributes."""
    if isinstance(rows, ImageRows):
        return rows.passed_through
    columns = _Columns()
    for row in rows:
        columns.add(row.payload)
    return columns.could_be_attributes


class _Columns:
    """Which columns of payload hold nothing but what attributes can have."""

    def __init__(self) -> None:
        self._fit: dict[str, bool] = {}

    def add(self, payload: Mapping[str, Any]) -> None:
        for name, value in payload.items():
            texts = isinstance(value, list) and all(isinstance(part, str) for part in value)
            fits = texts or value is None or isinstance(value, str | int | float)
            self._fit[name] = self._fit.get(name, True) and fits

    @property
    def could_be_attributes(self) -> list[str]:
        return [name for name, fits in self._fit.items() if fits]
