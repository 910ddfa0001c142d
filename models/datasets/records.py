"""Records: rows of a file that lists images, whatever its format, and what is wrong with them.

What a record says is for `models.datasets.manifest`; the formats are in `models.datasets.sources`.
All problems are collected, so that a file is mended in one go.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.datasets.schema import Cell, number_of, words
from models.datasets.stored_embeddings import EmbeddingPlace
from models.errors import InputError

ATTRIBUTE_PREFIX = "attributes."
KNOWN_COLUMNS = ("image", "image_id", "caption", "attributes")
Columns = Mapping[str, str]  # what a column means → what it is called in a file
_MAX_SHOWN = 20
_SHOWN_CHARS = 60


class ManifestError(InputError):
    """The images cannot be listed; the message names file, line and what would be right."""


class Problems:
    """What is wrong with one source: the first problems in words, and how many there are.

    Attributes:
        unit: What its rows are counted in, `line` or `row`.
    """

    def __init__(self, source: Path | str, unit: str = "line") -> None:
        self._source, self.unit, self._count = source, unit, 0
        self._shown: list[tuple[int, str]] = []

    def add(self, line: int, sentence: str) -> None:
        """One more, in this line (from 1; 0: in none)."""
        self._count += 1
        if self._count <= _MAX_SHOWN:
            self._shown.append((line, sentence))

    def __bool__(self) -> bool:
        return self._count > 0

    def raise_if_any(self) -> None:
        """Say them all.

        Raises:
            ManifestError: There are some.
        """
        if not self._count:
            return
        in_order = sorted(self._shown, key=lambda problem: problem[0])
        said = [
            f"{self.unit} {line}: {sentence}" if line else sentence for line, sentence in in_order
        ]
        if self._count == 1:
            joint = ", " if self._shown[0][0] else ": "
            raise ManifestError(f"{self._source}{joint}{said[0]}")
        more = [f"… and {self._count - len(said)} more"] if self._count > len(said) else []
        raise ManifestError(
            "\n  ".join([f"{self._source} has {self._count} problems:", *said, *more])
        )


class NumberText(str):
    """A number of a JSON file, as it was written there."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a manifest.

    Attributes:
        line: Where it begins, from 1.
        columns: Column → value; blank ones are left out. JSON's numbers are `NumberText`.
        attributes: The same, of what is marked as an attribute; None if that makes no sense.
        embedding: Where the image's embedding lies, if there is one already.
        span: The image's first byte in its file, and how many there are; None: the whole file.
    """

    line: int
    columns: dict[str, Any]
    attributes: dict[str, Any] | None
    embedding: EmbeddingPlace | None = None
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class RecordFile:
    """A file taken apart.

    Attributes:
        records: Its rows, read as they are taken.
        cell: A value of a record → the attribute's cell; None: it is blank. Raises a `TypeError`
            where no attribute can have it.
    """

    records: Iterator[Record]
    cell: Callable[[Any], Cell | None]


def json_cell(value: Any) -> Cell | None:
    """The cell of a JSON value, which says itself what it is: "38" is a word, 38 a number."""
    if isinstance(value, NumberText):
        return Cell((str(value),), "keyword" if number_of(value) is None else "number")
    if isinstance(value, bool):
        return Cell((str(value).lower(),), "flag")
    if isinstance(value, str):
        return words([value])
    if isinstance(value, list) and all(type(part) is str for part in value):
        return words(value)
    if value is None:
        return None
    raise TypeError("an attribute is text, a number, true/false or a list of texts")


def plain(value: Any) -> Any:
    """A record's value as other code has it: texts of numbers become the numbers they are."""
    if isinstance(value, NumberText):
        number = number_of(value)
        return str(value) if number is None else number
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    text = repr(plain(value))
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def misspelt(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Column names that are nearly ones we know → what they should be."""
    for name in names:
        head, dot, facet = name.strip().partition(".")
        right = f"attributes.{facet.strip()}" if dot else head.lower()
        known = head.lower() == "attributes" if dot else right in KNOWN_COLUMNS
        if known and right not in names:
            yield name, right


def renamed(names: Iterable[str], columns: Columns) -> list[str]:
    """Column names, those that `columns` speaks of by what they mean."""
    right = {theirs: ours for ours, theirs in columns.items()}
    return [right.get(name, name) for name in names]


def missing(names: Collection[str], columns: Columns) -> Iterator[str]:
    """What is wrong where `columns` speaks of columns that a file does not have."""
    there_are = ", ".join(f"`{name}`" for name in names)
    for ours, theirs in columns.items():
        if theirs not in names:
            yield f"no column `{theirs}` to be `{ours}`; there are: {there_are}"


def named_twice(names: Iterable[str]) -> Iterator[str]:
    """What is wrong where several columns have one name."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(names, start=1):
        places[name].append(column)
    for name, columns in places.items():
        if name and len(columns) > 1:
            yield f"columns {', '.join(map(str, columns))} are all called `{name}`"
