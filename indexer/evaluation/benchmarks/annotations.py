"""Reads published annotation files; says what is missing or malformed, and where it is from."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.evaluation.types import BenchmarkError

_MAX_SHOWN = 60  # characters of a wrong value


@dataclass(frozen=True)
class Source:
    """Where a benchmark comes from, as error messages say it.

    Attributes:
        annotations: The upstream repository.
        images: Who has the images.
    """

    annotations: str
    images: str


@dataclass(frozen=True)
class Record:
    """An object of an annotation file; a field is checked when it is asked for.

    Every method raises BenchmarkError if the field is missing or something else.

    Attributes:
        values: As in the file.
        where: File and entry, as messages say it.
        source: Where the file is from.
    """

    values: Mapping[str, Any]
    where: str
    source: Source

    def text(self, key: str, *, may_be_blank: bool = False) -> str:
        """A text."""
        value: str = self._get(
            key,
            "text",
            lambda v: isinstance(v, str) and (may_be_blank or bool(v.strip())),
        )
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts, some of which may be empty."""
        value: list[str] = self._get(
            key, "a list of texts", lambda v: _is_list_of(v, lambda item: isinstance(item, str))
        )
        return value

    def identifier(self, key: str) -> str:
        """Text or a whole number, as text."""
        return str(self._get(key, "text or a whole number", _is_identifier))

    def identifiers(self, key: str) -> tuple[str, ...]:
        """A list of them that is not empty."""
        values = self._get(key, "a list of ids", lambda v: _is_list_of(v, _is_identifier))
        return tuple(str(value) for value in values)

    def record(self, key: str) -> "Record":
        """An object in the object."""
        values = self._get(key, "an object", lambda v: isinstance(v, dict))
        return Record(values, f"{self.where}, `{key}`", self.source)

    def records(self, key: str) -> list["Record"]:
        """A list of objects that is not empty."""
        values = self._get(
            key, "a list of objects", lambda v: _is_list_of(v, lambda item: isinstance(item, dict))
        )
        return [Record(value, f"{self.where}, `{key}`", self.source) for value in values]

    def _get(self, key: str, expected: str, is_right: Callable[[Any], bool]) -> Any:
        if key not in self.values:
            raise _malformed(self.where, f"`{key}` is missing", self.source)
        value = self.values[key]
        if not is_right(value):
            shown = repr(value)[:_MAX_SHOWN]
            problem = f"`{key}` must be {expected}, found {shown}"
            raise _malformed(self.where, problem, self.source)
        return value


def check_split(name: str, split: str, splits: Sequence[str]) -> None:
    """Refuses a split that the benchmark does not have.

    Raises:
        BenchmarkError: With the splits that there are.
    """
    if split not in splits:
        raise BenchmarkError(f"{name} has no split {split!r}; there are: {', '.join(splits)}")


def read_records(path: Path, source: Source) -> list[Record]:
    """The entries of a file that holds a list of objects.

    Raises:
        BenchmarkError: The file is missing or holds something else.
    """
    entries = _read(path, source)
    if not _is_list_of(entries, lambda item: isinstance(item, dict)):
        raise _malformed(str(path), "expected a list of objects", source)
    return [Record(entry, f"{path}, entry {i}", source) for i, entry in enumerate(entries)]


def read_names(path: Path, source: Source) -> list[str]:
    """A file that holds a list of image names.

    Raises:
        BenchmarkError: The file is missing or holds something else.
    """
    names = _read(path, source)
    if not _is_list_of(names, lambda item: isinstance(item, str)):
        raise _malformed(str(path), "expected a list of image names", source)
    return list(names)


def read_paths(path: Path, source: Source) -> dict[str, str]:
    """A file that holds an object, image name → relative path.

    Raises:
        BenchmarkError: The file is missing or holds something else.
    """
    paths = _read(path, source)
    if not isinstance(paths, dict) or not all(isinstance(p, str) for p in paths.values()):
        raise _malformed(str(path), "expected an object, image name → path", source)
    return dict(paths)


def _read(path: Path, source: Source) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError:
        raise BenchmarkError(f"{path} cannot be read; it is from {source.annotations}") from None
    except ValueError as error:
        raise _malformed(str(path), f"not JSON ({error})", source) from None


def _malformed(where: str, problem: str, source: Source) -> BenchmarkError:
    return BenchmarkError(f"{where}: {problem}; the published file is from {source.annotations}")


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_list_of(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_right, value))


def manifest_rows(files: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Image id → file as manifest rows, in the same order.

    Paths become absolute: the indexer reads relative ones from the manifest's folder.
    """
    return [
        {"image": str(file.absolute()), "image_id": image_id} for image_id, file in files.items()
    ]


def check_present(files: Collection[Path], source: Source) -> None:
    """Refuses a gallery that lacks images which the annotations name.

    Raises:
        BenchmarkError: How many of how many are missing, the first, and where they are from.
    """
    if missing := [file for file in files if not file.is_file()]:
        raise BenchmarkError(
            f"{len(missing)} of {len(files)} images are missing, first {missing[0]}; "
            f"they are from {source.images}"
        )


def coco_file(images: Path, image_id: str) -> Path:
    """Where COCO keeps an image, such as `000000001584.jpg`."""
    return images / f"{image_id.zfill(12)}.jpg"
