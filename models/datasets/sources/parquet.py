"""Parquet → records, a batch of rows at a time; a value's type says what it is, as in JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, Any

from models.datasets.records import (
    ATTRIBUTE_PREFIX,
    Columns,
    ManifestError,
    NumberText,
    Problems,
    Record,
    RecordFile,
    json_cell,
    missing,
    misspelt,
    named_twice,
    renamed,
)

_BATCH_ROWS = 1_000


def read_parquet(file: IO[bytes], problems: Problems, columns: Columns) -> RecordFile:
    """The records of a Parquet file; what is wrong with it goes to `problems`.

    Attributes are columns called `attributes.NAME`, or one struct called `attributes`.

    Raises:
        ManifestError: It is not Parquet, or pyarrow is not installed.
    """
    return RecordFile(_records(file, problems, columns), json_cell)


def _records(file: IO[bytes], problems: Problems, columns: Columns) -> Iterator[Record]:
    try:
        import pyarrow  # noqa: PLC0415  # heavy, and needed for Parquet alone
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise ManifestError(
            "Parquet files need pyarrow: pip install 'composed-image-retrieval[parquet]'"
        ) from error
    line = 0
    try:
        table = pyarrow.parquet.ParquetFile(file)
        names = renamed(table.schema_arrow.names, columns)
        for sentence in (*missing(table.schema_arrow.names, columns), *named_twice(names)):
            problems.add(0, sentence)
        for wrong, right in misspelt(names):
            problems.add(0, f"the column `{wrong}` should be `{right}`")
        for batch in table.iter_batches(_BATCH_ROWS, use_threads=False):
            for row in batch.rename_columns(names).to_pylist():
                line += 1
                yield _record(line, row)
    except (pyarrow.ArrowException, OSError) as error:
        problems.add(line, f"not Parquet, or damaged ({error})")


def _record(line: int, row: dict[str, Any]) -> Record:
    columns: dict[str, Any] = {}
    attributes: dict[str, Any] | None = {}
    for name, cell in row.items():
        value = _as_json(cell)
        if value is None or value == "":
            continue
        if name == "attributes":
            attributes = value if isinstance(value, dict) else None
        elif name.startswith(ATTRIBUTE_PREFIX) and attributes is not None:
            attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = value
        else:
            columns[name] = value
    return Record(line, columns, attributes)


def _as_json(value: Any) -> Any:
    """A value of Arrow's as JSON has it, numbers as they would be written there."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | Decimal):
        return NumberText(value)
    if isinstance(value, float):
        return NumberText(json.dumps(value)) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _as_json(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_as_json(part) for part in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return f"({type(value).__name__})" if isinstance(value, bytes) else str(value)
