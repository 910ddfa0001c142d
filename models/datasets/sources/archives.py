"""WebDataset: tar archives of images with their captions and columns → records.

    000001.jpg  000001.txt  000001.json   ← one sample: files of one name, side by side

Nothing is unpacked: a record knows where in its archive the image lies, and the bytes are read
from there when they are needed. So no name in an archive ever becomes a path.
"""

import glob
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from models.datasets.records import ManifestError, Problems, Record, RecordFile, json_cell, shown
from models.datasets.remote import is_url, matching, opened_in_place
from models.datasets.sources.text_files import parse_json

_MAX_TEXT_BYTES = 1_000_000  # of a caption, or of a sample's columns
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def read_archives(pattern: str, image_suffixes: frozenset[str], problems: Problems) -> RecordFile:
    """The records of tar archives; what is wrong with them goes to `problems`.

    Args:
        pattern: A tar, a folder of them, a pattern (`*.tar`, `{000..127}.tar`), or a URL of these.
        image_suffixes: What the names of images end in, in small letters.
        problems: Where problems go.

    Raises:
        ManifestError: There are no such archives, or they cannot be read.
    """
    return RecordFile(_records(_archives(pattern), image_suffixes, problems), json_cell)


def _archives(pattern: str) -> list[str]:
    """The archives that a pattern names, in order."""
    try:
        found = [archive for name in _expanded(pattern) for archive in _matching(name)]
    except OSError as error:
        raise ManifestError(f"{pattern} cannot be read: {error}") from error
    if not found:
        raise ManifestError(f"there are no archives at {pattern}; one is called NAME.tar")
    if odd := next((name for name in found if not name.endswith(".tar")), None):
        raise ManifestError(f"{odd}: an archive ends in .tar, and is not compressed")
    return found


def _matching(name: str) -> list[str]:
    """The archives of a name without `{000..127}`, in order."""
    if is_url(name):
        return matching(name) if "*" in name else [name]
    folder = Path(name)
    inside = folder.glob("*.tar") if folder.is_dir() else map(Path, glob.glob(name))
    return sorted(str(path.resolve()) for path in inside)


def _expanded(pattern: str) -> list[str]:
    """A pattern with `{000..127}` as many without."""
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = match[1], match[2]
    return [
        expanded
        for number in range(int(first), int(last) + 1)
        for expanded in _expanded(
            f"{pattern[: match.start()]}{number:0{len(first)}}{pattern[match.end() :]}"
        )
    ]


def _records(
    archives: list[str], image_suffixes: frozenset[str], problems: Problems
) -> Iterator[Record]:
    line = 0
    for archive in archives:
        try:
            with opened_in_place(archive) as file:
                try:
                    with tarfile.open(fileobj=file, mode="r:") as tar:
                        for sample in _samples(tar, image_suffixes, problems):
                            line += 1
                            yield sample.record(archive, line, problems)
                except (tarfile.TarError, EOFError) as error:
                    broken = f"{archive} is no tar archive, or damaged after this row ({error})"
                    problems.add(line, broken)
        except OSError as error:
            raise ManifestError(f"{archive} cannot be read: {error}") from error


class _Sample:
    """The files of one name."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.span: tuple[int, int] | None = None
        self.caption: str | None = None
        self.columns: bytes = b"{}"

    def record(self, archive: str, line: int, problems: Problems) -> Record:
        """What they say together."""
        try:
            values: Any = parse_json(self.columns.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            problems.add(line, f"{self.key}.json in {archive} is not JSON ({error})")
            values = {}
        if not isinstance(values, dict):
            problems.add(line, f"{self.key}.json in {archive} is no object but {shown(values)}")
            values = {}
        values["image"] = archive
        if values.get("image_id") is None:
            values["image_id"] = self.key
        if values.get("caption") is None and self.caption:
            values["caption"] = self.caption
        attributes = values.pop("attributes", None) or {}
        known = attributes if isinstance(attributes, dict) else None
        return Record(line, values, known, span=self.span)


def _samples(
    tar: tarfile.TarFile, image_suffixes: frozenset[str], problems: Problems
) -> Iterator[_Sample]:
    """The samples of an archive that have an image."""
    sample: _Sample | None = None
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # it would grow with the archive
        if not member.isfile():
            continue
        path = PurePosixPath(member.name)
        stem, _, ending = path.name.partition(".")
        key = (path.parent / stem).as_posix()
        if sample is None or sample.key != key:
            if sample is not None and sample.span is not None:
                yield sample
            sample = _Sample(key)
        suffix = f".{ending.lower()}"
        if suffix in image_suffixes:
            sample.span = (member.offset_data, member.size)
        elif suffix in (".txt", ".json"):
            if member.size > _MAX_TEXT_BYTES:
                problems.add(0, f"{member.name} has more than {_MAX_TEXT_BYTES:,} bytes")
                continue
            file = tar.extractfile(member)
            data = file.read() if file is not None else b""
            if suffix == ".txt":
                sample.caption = data.decode("utf-8", "replace").strip()
            else:
                sample.columns = data
    if sample is not None and sample.span is not None:
        yield sample
