"""Finds a gallery's images: a folder, a JSONL or a CSV manifest → rows. Decodes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem, sync

from models.contracts.gallery import (
    ATTRIBUTE_NAME_RULE,
    IMAGE_ID_RULE,
    AttributeValue,
    is_attribute_name,
    is_image_id,
)
from models.datasets.images import ImageLimits, InvalidImage
from models.datasets.manifest_files import (
    KNOWN_COLUMNS,
    ManifestError,
    ManifestFile,
    NumberText,
    Problems,
    Record,
    plain,
    read_file,
    shown,
)
from models.datasets.schema import Cell, typed

__all__ = ["ImageRow", "ManifestError", "passed_through", "read_folder", "read_manifest"]

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
}  # fmt: skip

_READ_TIMEOUT_S = 60.0
AsAttributes = tuple[str, ...] | Literal["all"]


@dataclass(frozen=True)
class ImageRow:
    """One image to index, not yet looked at.

    Attributes:
        image_id: Unique in the gallery.
        location: Path, or a URL that fsspec can open.
        caption: If the manifest has one.
        attributes: Facet → value(s), of one kind in all rows.
        payload: The row's other columns, passed through.
    """

    image_id: str
    location: str
    caption: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    payload: dict[str, Any] = field(default_factory=dict)

    @property
    def host(self) -> str | None:
        """Who is asked for the file; None: it is on disk."""
        return urlsplit(self.location).netloc if "://" in self.location else None

    def read_bytes(
        self, timeout_s: float = _READ_TIMEOUT_S, max_bytes: int = ImageLimits.max_bytes
    ) -> bytes:
        """The file's bytes, from disk or wherever its URL points; a larger file is not read whole.

        Args:
            timeout_s: Longest wait for all of what a URL points to, in seconds.
            max_bytes: The most bytes that the file may have.

        Raises:
            InvalidImage: The file is larger (`too_many_bytes`).
            TimeoutError: That took longer; an `OSError` too.
            OSError: It cannot be read.
        """
        data = self._first_bytes(max_bytes + 1, timeout_s)
        if len(data) > max_bytes:
            raise InvalidImage(
                "too_many_bytes", f"the image has more bytes than the limit of {max_bytes:,}"
            )
        return data

    def _first_bytes(self, count: int, timeout_s: float) -> bytes:
        if self.host is None:
            return _from_disk(self.location, count)
        try:
            return _from_url(self.location, count, timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"no answer from {self.host} within {timeout_s:g} s") from error
        except OSError:
            raise
        except Exception as error:  # every driver has errors of its own, or is not installed
            raise OSError(str(error) or type(error).__name__) from error


def _from_disk(path: str, count: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(count)
    except ValueError as error:  # characters that no path has
        raise OSError(f"{path!r} is no path: {error}") from error


def _from_url(url: str, count: int, timeout_s: float) -> bytes:
    """The first `count` bytes at a URL; only what is on a network knows the timeout."""
    filesystem, path = fsspec.url_to_fs(url)
    data: bytes
    if not isinstance(filesystem, AsyncFileSystem):
        with filesystem.open(path, "rb") as file:
            data = file.read(count)
    elif "http" in filesystem.protocol:  # of ranges, not every web server has heard
        data = sync(filesystem.loop, _streamed, filesystem, path, count, timeout=timeout_s)
    else:
        data = sync(
            filesystem.loop, filesystem._cat_file, path, start=0, end=count, timeout=timeout_s
        )
    return data


async def _streamed(filesystem: AsyncFileSystem, url: str, count: int) -> bytes:
    file = await filesystem.open_async(url, size=0)  # a size that is given is not asked for
    data = bytearray()
    try:
        while len(data) < count and (part := await file.read(count - len(data))):
            data += part
    finally:
        await file.close()
    return bytes(data)


def read_folder(folder: Path) -> list[ImageRow]:
    """Every image file below a folder, in a stable order; ids are paths relative to it.

    Raises:
        ManifestError: The folder is missing or holds no image files.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ManifestError(
            f"{folder} holds no files ending in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    rows = [ImageRow(path.relative_to(folder).as_posix(), str(path)) for path in paths]
    if odd := [row.image_id for row in rows if not is_image_id(row.image_id)]:
        raise ManifestError(f"{folder}: rename {ascii(odd[0])}: an image's id {IMAGE_ID_RULE}")
    return rows


def read_manifest(path: Path, as_attributes: AsAttributes = ()) -> list[ImageRow]:
    """The rows of a JSONL or CSV manifest.

    JSONL: an object per line with `image` (path relative to the manifest, or URL) and optionally
    `image_id`, `caption` and `attributes`; other keys are payload. CSV: the same columns, where
    `attributes.NAME` columns are attributes and `a|b` is two values.

    An attribute has one kind in the whole manifest. It is a number or true/false if every value
    is (in CSV: is written as one, see `number_of`); else its values are the texts that were
    written, so `36` beside `M` is a word. Blank values are no values.

    Args:
        path: The manifest.
        as_attributes: Other columns that are attributes too.

    Raises:
        ManifestError: The file is missing, or something is wrong with it; says all that is.
    """
    problems = Problems(path)
    file = read_file(path, problems)
    rows: list[ImageRow] = []
    cells: list[dict[str, Cell]] = []
    if file.has_images:
        _check_columns(file, as_attributes, problems)
        for record in file.records:
            cells.append(_cells(_with_columns(record, as_attributes), file, problems))
            rows.append(_row(record, as_attributes, path.parent, problems))
        _check_unique(rows, file, problems)
        if not rows:
            problems.add(0, "holds no rows")
    problems.raise_if_any()
    return [replace(row, attributes=a) for row, a in zip(rows, typed(cells), strict=True)]


def passed_through(rows: Iterable[ImageRow]) -> list[str]:
    """The columns that are neither ours nor attributes, and could all be attributes."""
    could_be: dict[str, bool] = {}
    for row in rows:
        for name, value in row.payload.items():
            texts = isinstance(value, list) and all(isinstance(part, str) for part in value)
            fits = texts or value is None or isinstance(value, str | int | float)
            could_be[name] = could_be.get(name, True) and fits
    return [name for name, fits in could_be.items() if fits]


def _is_attribute(column: str, as_attributes: AsAttributes) -> bool:
    return column not in KNOWN_COLUMNS and (as_attributes == "all" or column in as_attributes)


def _check_columns(file: ManifestFile, as_attributes: AsAttributes, problems: Problems) -> None:
    """Columns that are to be attributes exist, and no attribute has two columns."""
    there = {name for record in file.records for name in record.columns}
    marked = {name for record in file.records for name in record.attributes or {}}
    if as_attributes != "all":
        for name in as_attributes:
            if not _is_attribute(name, as_attributes) or name not in there:
                others = ", ".join(sorted(there - set(KNOWN_COLUMNS))) or "none"
                problems.add(0, f"no column `{name}` to make an attribute of; there are: {others}")
    for name in sorted(marked & there):
        if _is_attribute(name, as_attributes):
            problems.add(0, f"there are two columns for the attribute `{name}`; drop one")


def _with_columns(record: Record, as_attributes: AsAttributes) -> Record:
    """The record with those of its columns among its attributes that are to be."""
    if record.attributes is None or not as_attributes:
        return record
    more = {k: v for k, v in record.columns.items() if _is_attribute(k, as_attributes)}
    return replace(record, attributes=record.attributes | more)


def _cells(record: Record, file: ManifestFile, problems: Problems) -> dict[str, Cell]:
    if record.attributes is None:
        problems.add(record.line, "`attributes` must be an object of facets")
        return {}
    cells = {}
    for name, value in record.attributes.items():
        if not is_attribute_name(name):
            problems.add(record.line, f"an attribute's name {ATTRIBUTE_NAME_RULE}, found {name!r}")
            continue
        try:
            cell = file.cell(value)
        except TypeError:
            problems.add(
                record.line,
                f"attribute `{name}` must be text, a number, true/false or a list of texts, found "
                f"{shown(value)}",
            )
            continue
        if cell is not None:
            cells[name] = cell
    return cells


def _row(record: Record, as_attributes: AsAttributes, folder: Path, problems: Problems) -> ImageRow:
    """A record's row, without its attributes."""
    columns = record.columns
    image, caption = columns.get("image"), columns.get("caption")
    if not _is_text(image) or not image:
        problems.add(record.line, f"`image` must be a path or URL, found {shown(image)}")
        image = ""
    image_id = image if columns.get("image_id") is None else columns["image_id"]
    if not isinstance(image_id, str) or (image and not is_image_id(image_id)):
        problems.add(record.line, f"`image_id` {IMAGE_ID_RULE}, found {shown(image_id)}")
        image_id = ""
    if caption is not None and not _is_text(caption):
        problems.add(record.line, f"`caption` must be text, found {shown(caption)}")
    return ImageRow(
        image_id=str(image_id),
        location=image if "://" in image else str(folder / image),
        caption=caption,
        payload={
            name: plain(value)
            for name, value in columns.items()
            if name not in KNOWN_COLUMNS and not _is_attribute(name, as_attributes)
        },
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, NumberText)


def _check_unique(rows: Sequence[ImageRow], file: ManifestFile, problems: Problems) -> None:
    first_line: dict[str, int] = {}
    for row, record in zip(rows, file.records, strict=True):
        first = first_line.setdefault(row.image_id, record.line)
        if row.image_id and first != record.line:
            problems.add(
                record.line,
                f"an image id that occurs more than once: {row.image_id} (first in line {first})",
            )
