"""CSV and JSONL → records, line by line; a line is all that is held of a file."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from models.datasets.records import (
    ATTRIBUTE_PREFIX,
    Columns,
    NumberText,
    Problems,
    Record,
    RecordFile,
    json_cell,
    missing,
    misspelt,
    named_twice,
    renamed,
    shown,
)
from models.datasets.schema import guessed

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_MAX_NESTING = 16  # protocol buffers, in which Qdrant is spoken to, end at 100 messages


def read_jsonl(file: IO[bytes], problems: Problems, columns: Columns) -> RecordFile:
    """The records of a JSONL file; what is wrong with it goes to `problems`."""
    return RecordFile(_json_records(_lines(file, None, problems), problems, columns), json_cell)


def read_csv(file: IO[bytes], problems: Problems, columns: Columns) -> RecordFile:
    """The records of a CSV file; what is wrong with it goes to `problems`."""
    return RecordFile(_csv_records(_lines(file, "", problems), problems, columns), guessed)


def _lines(file: IO[bytes], newline: str | None, problems: Problems) -> Iterator[str]:
    """A file's lines of text; those that are not UTF-8 are problems, as is no text at all."""
    start = file.read(4096)
    if b"\0" in start or start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        problems.add(0, "not UTF-8 but UTF-16, or no text at all; save it as text in UTF-8")
        return
    file.seek(0)
    # bytes that are not UTF-8 become half surrogates, which UTF-8 itself never has
    with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline) as text:
        for number, line in enumerate(text, start=1):
            if line.isascii() or not any("\udc80" <= part <= "\udcff" for part in line):
                yield line
                continue
            raw = line.encode("utf-8", "surrogateescape")
            problems.add(number, _not_utf_8(raw))
            yield raw.decode("utf-8", "replace")


def _not_utf_8(raw: bytes) -> str:
    """What is wrong with a line that is not UTF-8, and how it might have been meant."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place, start = len(raw[: error.start].decode("utf-8")), error.start
    latin = raw.decode("latin-1").rstrip("\r\n")
    return (
        f"not UTF-8 at character {place + 1} (in Latin-1 it would be "
        f"{latin[max(0, start - 12) : start + 12]!r}); save the file as UTF-8"
    )


def _json_records(lines: Iterable[str], problems: Problems, columns: Columns) -> Iterator[Record]:
    known_misspelt: set[str] = set()
    there: dict[str, None] = {}  # names, in order of appearance
    for line, row in enumerate(lines, start=1):
        if not row.strip():
            continue
        try:
            values = parse_json(row)
        except (ValueError, RecursionError) as error:
            problems.add(line, f"not JSON ({error})")
            continue
        if not isinstance(values, dict):
            problems.add(line, f"expected an object, found {shown(values)}")
            continue
        if columns:
            there |= dict.fromkeys(values)
            names = renamed(values, columns)
            for sentence in named_twice(names):
                problems.add(line, sentence)
            values = dict(zip(names, values.values(), strict=True))
        for name, right in misspelt([name for name in values if "." not in name]):
            if name not in known_misspelt:
                known_misspelt.add(name)
                problems.add(line, f"`{name}` should be `{right}`")
            values[right] = values.pop(name)
        attributes = values.pop("attributes", None) or {}
        yield Record(line, values, attributes if isinstance(attributes, dict) else None)
    for sentence in missing(there, columns):
        problems.add(0, sentence)


def parse_json(row: str) -> Any:
    """A JSON value, its numbers as `NumberText`.

    Raises:
        ValueError: It is not JSON, or nothing that could be stored.
        RecursionError: It is nested beyond all measure.
    """

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


def _csv_records(lines: Iterable[str], problems: Problems, columns: Columns) -> Iterator[Record]:
    reader = csv.reader(lines, strict=True)
    names: list[str] | None = None
    for line, cells in _csv_lines(reader, problems):
        if names is None:
            for sentence in missing(cells, columns):
                problems.add(0, sentence)
            names = _header(line, renamed(cells, columns), problems)
            if "image" not in names:
                return
            continue
        yield _csv_record(line, cells, names, problems)


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
    for wrong, right in misspelt(names):
        column = names.index(wrong)
        problems.add(line, f"column {column + 1}: `{wrong}` should be `{right}`")
        names[column] = right
    for column, name in enumerate(names, start=1):
        if name in ("attributes", ATTRIBUTE_PREFIX):
            problems.add(line, f"column {column}: `{name}` should name one: `attributes.colour`")
    for sentence in named_twice(names):
        problems.add(line, sentence)
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
        elif name.startswith(ATTRIBUTE_PREFIX):
            attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = cell
        else:
            columns[name] = cell
    return Record(line, columns, attributes)
