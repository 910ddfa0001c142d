"""Finds a gallery's images: a folder, or a manifest → rows. Decodes nothing.

What is wrong with a manifest is said all at once, with its lines. Rows stream: a source is read
once, from its beginning to its end, into `ImageRows`.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from urllib.parse import urlsplit

from models.contracts.gallery import (
    ATTRIBUTE_NAME_RULE,
    IMAGE_ID_RULE,
    is_attribute_name,
    is_image_id,
)
from models.datasets.records import (
    KNOWN_COLUMNS,
    Columns,
    ManifestError,
    NumberText,
    Problems,
    Record,
    RecordFile,
    plain,
    shown,
)
from models.datasets.remote import is_url, opened, resolved
from models.datasets.rows import ImageRow, ImageRows
from models.datasets.schema import Cell
from models.datasets.sources.archives import read_archives
from models.datasets.sources.embeddings import read_embeddings
from models.datasets.sources.parquet import read_parquet
from models.datasets.sources.text_files import read_csv, read_jsonl

__all__ = ["ImageRow", "ManifestError", "read_folder", "read_manifest"]

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
}  # fmt: skip

AsAttributes = tuple[str, ...] | Literal["all"]


def read_folder(folder: Path) -> list[ImageRow]:
    """As `open_folder`, in memory."""
    return list(open_folder(folder))


def read_manifest(path: Path, as_attributes: AsAttributes = ()) -> list[ImageRow]:
    """As `open_manifest`, in memory."""
    return list(open_manifest(path, as_attributes))


def open_folder(folder: Path) -> ImageRows:
    """Every image file below a folder, in a stable order; ids are paths relative to it.

    Raises:
        ManifestError: The folder is missing or holds no image files.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder} is not a folder")
    rows = ImageRows()
    for number, path in enumerate(_image_files(folder), start=1):
        image_id = path.relative_to(folder).as_posix()
        if not is_image_id(image_id):
            raise ManifestError(
                f"{folder}: rename {ascii(image_id)}: an image's id {IMAGE_ID_RULE}"
            )
        rows.add(ImageRow(image_id, str(path)), {}, number)
    if not rows:
        raise ManifestError(
            f"{folder} holds no files ending in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return rows


def open_manifest(
    manifest: Path | str, as_attributes: AsAttributes = (), columns: Columns | None = None
) -> ImageRows:
    """The rows of a JSONL, CSV or Parquet manifest, on disk or at a URL.

    JSONL: an object per line with `image` (path relative to the manifest, or URL) and optionally
    `image_id`, `caption` and `attributes`; other keys are payload. CSV: the same columns, where
    `attributes.NAME` columns are attributes and `a|b` is two values. Parquet: columns as in CSV, or
    `attributes` as a struct; values of the types they have.

    An attribute has one kind in the whole manifest. It is a number or true/false if every value
    is (in CSV: is written as one, see `number_of`); else its values are the texts that were
    written, so `36` beside `M` is a word. Blank values are no values.

    Args:
        manifest: Its path, or a URL that fsspec can open. At a URL, it can name only images that
            are on a network, and with relative paths only those in its folder.
        as_attributes: Other columns that are attributes too.
        columns: What a column means → what it is called in this manifest.

    Raises:
        ManifestError: The file is missing, or something is wrong with it; says all that is.
    """
    if isinstance(manifest, str) and not is_url(manifest):
        manifest = Path(manifest)
    if isinstance(manifest, Path) and not manifest.is_file():
        raise ManifestError(f"there is no manifest at {manifest}")
    name = manifest.name if isinstance(manifest, Path) else urlsplit(manifest).path
    reader = _READERS.get(PurePosixPath(name).suffix.lower())
    if reader is None:
        raise ManifestError(f"{name}: a manifest ends in .jsonl or .csv or .parquet")
    problems = Problems(manifest, "row" if reader is read_parquet else "line")
    base = manifest.parent if isinstance(manifest, Path) else manifest.rpartition("/")[0]
    try:
        with opened(manifest) as file:
            records = reader(file, problems, columns or {})
            rows = _intake(records, as_attributes, base, problems)
    except OSError as error:
        raise ManifestError(f"{manifest} cannot be read: {error}") from error
    problems.raise_if_any()
    return rows


def open_archives(pattern: str, as_attributes: AsAttributes = ()) -> ImageRows:
    """The rows of tar archives, see `models.datasets.sources.archives`.

    Args:
        pattern: A tar, a folder of them, a pattern, or a URL of these.
        as_attributes: Columns of the samples' JSON that are attributes too.

    Raises:
        ManifestError: Something is wrong with them; says all that is.
    """
    problems = Problems(pattern, "row")
    records = read_archives(pattern, frozenset(IMAGE_SUFFIXES), problems)
    rows = _intake(records, as_attributes, Path(), problems)
    problems.raise_if_any()
    return rows


def open_embeddings(
    folder: Path,
    images: Path | None = None,
    as_attributes: AsAttributes = (),
    columns: Columns | None = None,
) -> ImageRows:
    """The rows of a folder of embeddings that exist already, see `models.datasets.sources`.

    Args:
        folder: The folder.
        images: What paths of images are relative to; None: the folder.
        as_attributes: Other columns that are attributes too.
        columns: What a column means → what it is called in these files.

    Raises:
        ManifestError: Something is wrong with it; says all that is.
    """
    problems = Problems(folder, "row")
    records = read_embeddings(folder, problems, columns or {})
    rows = _intake(records, as_attributes, images or folder, problems)
    problems.raise_if_any()
    return rows


_READERS: Mapping[str, Callable[[IO[bytes], Problems, Columns], RecordFile]] = {
    ".csv": read_csv, ".jsonl": read_jsonl, ".ndjson": read_jsonl, ".parquet": read_parquet,
}  # fmt: skip


def _image_files(folder: Path) -> Iterator[Path]:
    """The image files below a folder, in the order of their paths' parts."""
    with os.scandir(folder) as entries:
        in_order = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in in_order:
        path = folder / name
        if is_folder:
            yield from _image_files(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def _intake(
    file: RecordFile, as_attributes: AsAttributes, base: Path | str, problems: Problems
) -> ImageRows:
    """All records as rows; what is wrong with them goes to `problems`."""
    rows, columns = ImageRows(), _ColumnNames()
    for record in file.records:
        columns.add(record)
        cells = _cells(_with_columns(record, as_attributes), file, problems)
        row = _row(record, as_attributes, base, problems)
        first = rows.add(row, cells, record.line) if row.image_id else record.line
        if first != record.line:
            problems.add(
                record.line,
                f"an image id that occurs more than once: {row.image_id} (first in "
                f"{problems.unit} {first})",
            )
    if columns.there:
        columns.check(as_attributes, problems)
    elif not problems:
        problems.add(0, "holds no rows")
    return rows


def _is_attribute(column: str, as_attributes: AsAttributes) -> bool:
    return column not in KNOWN_COLUMNS and (as_attributes == "all" or column in as_attributes)


class _ColumnNames:
    """The names of all records' columns, and of what is marked as an attribute."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self._marked: set[str] = set()

    def add(self, record: Record) -> None:
        self.there.update(record.columns)
        self._marked.update(record.attributes or ())

    def check(self, as_attributes: AsAttributes, problems: Problems) -> None:
        """Columns that are to be attributes exist, and no attribute has two columns."""
        if as_attributes != "all":
            for name in as_attributes:
                if not _is_attribute(name, as_attributes) or name not in self.there:
                    others = ", ".join(sorted(self.there - set(KNOWN_COLUMNS))) or "none"
                    problems.add(
                        0, f"no column `{name}` to make an attribute of; there are: {others}"
                    )
        for name in sorted(self._marked & self.there):
            if _is_attribute(name, as_attributes):
                problems.add(0, f"there are two columns for the attribute `{name}`; drop one")


def _with_columns(record: Record, as_attributes: AsAttributes) -> Record:
    """The record with those of its columns among its attributes that are to be."""
    if record.attributes is None or not as_attributes:
        return record
    more = {k: v for k, v in record.columns.items() if _is_attribute(k, as_attributes)}
    return replace(record, attributes=record.attributes | more)


def _cells(record: Record, file: RecordFile, problems: Problems) -> dict[str, Cell]:
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


def _row(
    record: Record, as_attributes: AsAttributes, base: Path | str, problems: Problems
) -> ImageRow:
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
    try:
        location = resolved(image, base)
    except ValueError as error:
        problems.add(record.line, f"`image` {error}, found {shown(image)}")
        location = ""
    return ImageRow(
        image_id=str(image_id),
        embedding=record.embedding,
        span=record.span,
        location=location,
        caption=caption,
        payload={
            name: plain(value)
            for name, value in columns.items()
            if name not in KNOWN_COLUMNS and not _is_attribute(name, as_attributes)
        },
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, NumberText)
