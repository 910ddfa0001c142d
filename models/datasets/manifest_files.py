"""Manifest files → records: a CSV's or JSONL's bytes, columns and lines, and what is wrong there.

What a manifest says is for `models.datasets.manifest`; here it is only taken apart. All
problems are collected, so that a file is mended in one go.
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.datasets.schema import Cell, guessed, number_of, words
from models.errors import InputError

KNOWN_COLUMNS = ("image", "image_id", "caption", "attributes")
_ATTRIBUTE = "attributes."
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_MAX_SHOWN = 20
_MAX_NESTING = 16  # protocol buffers, in which Qdrant is spoken to, end at 100 messages
_SHOWN_CHARS = 60


class ManifestError(InputError):
    """The images cannot be listed; the message names file, line and what would be right."""


class Problems:
    """What is wrong with one manifest: the first problems in words, and how many there are."""

    def __init__(self, path: Path) -> None:
        self._path, self._count = path, 0
        self._shown: list[tuple[int, str]] = []

    def add(self, line: int, sentence: str) -> None:
        """One more, in this line (from 1; 0: in none)."""
        self._count += 1
        if self._count <= _MAX_SHOWN:
            self._shown.append((line, sentence))

    def raise_if_any(self) -> None:
        """Say them all.

        Raises:
            ManifestError: There are some.
        """
        if not self._count:
            return
        in_order = sorted(self._shown, key=lambda problem: problem[0])
        said = [f"line {line}: {sentence}" if line else sentence for line, sentence in in_order]
        if self._count == 1:
            joint = ", " if self._shown[0][0] else ": "
            raise ManifestError(f"{self._path}{joint}{said[0]}")
        more = [f"… and {self._count - len(said)} more"] if self._count > len(said) else []
        raise ManifestError(
            "\n  ".join([f"{self._path} has {self._count} problems:", *said, *more])
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
    """

    line: int
    columns: dict[str, Any]
    attributes: dict[str, Any] | None


@dataclass(frozen=True)
class ManifestFile:
    """A manifest taken apart.

    Attributes:
        records: Its rows.
        cell: A value of a record → the attribute's cell; None: it is blank. Raises a `TypeError`
            where no attribute can have it.
        has_images: Whether its columns say where images are (CSV's are known from its header).
    """

    records: list[Record]
    cell: Callable[[Any], Cell | None]
    has_images: bool = True


def read_file(path: Path, problems: Problems) -> ManifestFile:
    """Take a manifest apart; what is wrong with it goes to `problems`.

    Raises:
        ManifestError: It is missing, or neither CSV nor JSONL.
    """
    if not path.is_file():
        raise ManifestError(f"there is no manifest at {path}")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".jsonl", ".ndjson"):
        raise ManifestError(f"{path.name}: a manifest ends in .jsonl or .csv")
    text = _text(path.read_bytes(), problems)
    if text is None:
        return ManifestFile([], guessed, has_images=False)
    if suffix == ".csv":
        return _csv_file(text, problems)
    return ManifestFile(list(_json_records(text, problems)), json_cell)


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


def _misspelt(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Column names that are nearly ones we know → what they should be."""
    for name in names:
        head, dot, facet = name.strip().partition(".")
        right = f"attributes.{facet.strip()}" if dot else head.lower()
        known = head.lower() == "attributes" if dot else right in KNOWN_COLUMNS
        if known and right not in names:
            yield name, right


def _text(data: bytes, problems: Problems) -> str | None:
    """The file's text; lines that are not UTF-8 are problems. None: it is no such text at all."""
    if b"\0" in data[:4096] or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        problems.add(0, "not UTF-8 but UTF-16, or no text at all; save it as text in UTF-8")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    for line, raw in enumerate(data.splitlines(), start=1):
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError as error:
            place = len(raw[: error.start].decode("utf-8"))
            latin = raw.decode("latin-1")
            start = len(raw[: error.start].decode("latin-1"))
            problems.add(
                line,
                f"not UTF-8 at character {place + 1} (in Latin-1 it would be "
                f"{latin[max(0, start - 12) : start + 12]!r}); save the file as UTF-8",
            )
    return data.decode("utf-8-sig", "replace")


def _json_records(text: str, problems: Problems) -> Iterator[Record]:
    misspelt: set[str] = set()
    for line, row in enumerate(io.StringIO(text, newline=None), start=1):
        if not row.strip():
            continue
        try:
            values = _json(row)
        except (ValueError, RecursionError) as error:
            problems.add(line, f"not JSON ({error})")
            continue
        if not isinstance(values, dict):
            problems.add(line, f"expected an object, found {shown(values)}")
            continue
        for name, right in _misspelt([name for name in values if "." not in name]):
            if name not in misspelt:
                misspelt.add(name)
                problems.add(line, f"`{name}` should be `{right}`")
            values[right] = values.pop(name)
        attributes = values.pop("attributes", None) or {}
        yield Record(line, values, attributes if isinstance(attributes, dict) else None)


def _json(row: str) -> Any:
    def no_number(name: str) -> None:
        raise ValueError(f"it has no {name}; a missing value is null")

    values = json.loads(row, parse_int=NumberText, parse_float=NumberText, parse_constant=no_number)
    if "\\ud" in row.lower():
        json.dumps(values, ensure_ascii=False).encode()  # raises a ValueError for half a pair
    if row.count("[") + row.count("{") > _MAX_NESTING and _depth(values) > _MAX_NESTING:
        raise ValueError(f"that could be stored: nested more than {_MAX_NESTING} levels deep")
    return values


def _depth(value: Any) -> int:
    depth, layer = 0, [value]
    while layer := [part for whole in layer for part in _parts(whole)]:
        depth += 1
    return depth


def _parts(whole: Any) -> Iterable[Any]:
    return whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ()


def _csv_file(text: str, problems: Problems) -> ManifestFile:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    records = []
    for line, cells in _csv_lines(reader, problems):
        if names is None:
            names = _header(line, cells, problems)
            if "image" not in names:
                return ManifestFile([], guessed, has_images=False)
            continue
        records.append(_csv_record(line, cells, names, problems))
    return ManifestFile(records, guessed)


def _csv_lines(reader: Any, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of the line where it begins."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                problems.add(line, "a double quote is opened and never closed")
            else:
                problems.add(line, f"not CSV ({error}); quotes in quoted values are doubled")
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _header(line: int, cells: list[str], problems: Problems) -> list[str]:
    """The columns' names, misspelt ones as they should be."""
    names = list(cells)
    if len(names) == 1 and (other := next((c for c in _SEPARATORS if c in names[0]), None)):
        problems.add(
            line,
            f"the columns are separated by {_SEPARATORS[other]}; save the file with commas between "
            "them (values with commas in double quotes)",
        )
        return []
    for wrong, right in _misspelt(names):
        column = names.index(wrong)
        problems.add(line, f"column {column + 1}: `{wrong}` should be `{right}`")
        names[column] = right
    places: defaultdict[str, list[int]] = defaultdict(list)
    for column, name in enumerate(names, start=1):
        places[name].append(column)
        if name in ("attributes", _ATTRIBUTE):
            problems.add(line, f"column {column}: `{name}` should name one: `attributes.colour`")
    for name, columns in places.items():
        if name and len(columns) > 1:
            problems.add(line, f"columns {', '.join(map(str, columns))} are all called `{name}`")
    if "image" not in names:
        there_are = ", ".join(f"`{name}`" for name in names)
        problems.add(line, f"no column is called `image` (path or URL); there are: {there_are}")
    return names


def _csv_record(line: int, cells: list[str], names: list[str], problems: Problems) -> Record:
    columns: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        if not cell.strip():
            continue
        name = names[number] if number < len(names) else ""
        if not name:
            problems.add(
                line,
                f"column {number + 1}: {shown(cell)} stands below no name of a column; values with "
                "commas belong in double quotes",
            )
        elif name.startswith(_ATTRIBUTE):
            attributes[name.removeprefix(_ATTRIBUTE)] = cell
        else:
            columns[name] = cell
    return Record(line, columns, attributes)
