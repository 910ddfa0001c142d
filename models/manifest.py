"""Finds a gallery's images: a folder, a JSONL or a CSV manifest → rows. Decodes nothing."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from models.contracts.gallery import (
    MAX_FACET_VALUE_CHARS,
    MAX_FACET_VALUES,
    AttributeValue,
    Facet,
)

IMAGE_SUFFIXES = {
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
}  # fmt: skip
_KNOWN_COLUMNS = {"image", "image_id", "caption", "attributes"}
_MAX_REPORTED = 10


class ManifestError(ValueError):
    """The images cannot be listed; the message names file, line and what would be right."""


@dataclass(frozen=True)
class ImageRow:
    """One image to index, not yet looked at.

    Attributes:
        image_id: Unique in the gallery.
        location: Path, or a URL that fsspec can open.
        caption: If the manifest has one.
        attributes: Facet → value(s).
        payload: The row's other columns, passed through.
    """

    image_id: str
    location: str
    caption: str | None = None
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    payload: dict[str, Any] = field(default_factory=dict)

    def read_bytes(self) -> bytes:
        """The file's bytes, from disk or wherever its URL points.

        Raises:
            OSError: It cannot be read.
        """
        if "://" in self.location:
            with fsspec.open(self.location, "rb") as file:
                data: bytes = file.read()
                return data
        return Path(self.location).read_bytes()


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
    return [ImageRow(path.relative_to(folder).as_posix(), str(path)) for path in paths]


def read_manifest(path: Path) -> list[ImageRow]:
    """The rows of a JSONL or CSV manifest.

    JSONL: an object per line with `image` (path relative to the manifest, or URL) and optionally
    `image_id`, `caption` and `attributes`; other keys are payload. CSV: the same columns, where
    `attributes.NAME` columns are attributes; `a|b` is two values, and numbers become numbers.

    Raises:
        ManifestError: The file is missing, malformed, empty, or repeats an id.
    """
    if not path.is_file():
        raise ManifestError(f"there is no manifest at {path}")
    if path.suffix.lower() == ".csv":
        raw = _csv_rows(path)
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        raw = _jsonl_rows(path)
    else:
        raise ManifestError(f"{path.name}: a manifest ends in .jsonl or .csv")
    rows = [_row(values, path, line) for line, values in raw]
    if not rows:
        raise ManifestError(f"{path} holds no rows")
    _check_unique(rows, path)
    return rows


def schema_of(
    rows: Sequence[ImageRow], context_facets: Iterable[str], noun_facet: str | None
) -> tuple[tuple[Facet, ...], str | None]:
    """The attribute schema of a gallery, read from its rows.

    Args:
        rows: All images.
        context_facets: Names of facets that are context, see `Facet`.
        noun_facet: The facet that names the thing; None takes `category` if there is one.

    Returns:
        The facets in order of appearance, and the noun facet (None: there is none, so no intents
        can be read from facets).

    Raises:
        ManifestError: A named facet is not among the attributes.
    """
    context = set(context_facets)
    names = list(dict.fromkeys(name for row in rows for name in row.attributes))
    wanted = context | ({noun_facet} if noun_facet else set())
    if missing := sorted(wanted - set(names)):
        raise ManifestError(
            f"no image has the attribute {', '.join(missing)}; "
            f"there are: {', '.join(names) or 'none'}"
        )
    facets = tuple(_facet(name, rows, name in context) for name in names)
    if noun_facet is None and any(f.name == "category" and f.values for f in facets):
        noun_facet = "category"
    return facets, noun_facet


def _facet(name: str, rows: Sequence[ImageRow], context: bool) -> Facet:
    values = [row.attributes[name] for row in rows if name in row.attributes]
    if all(isinstance(value, bool) for value in values):
        return Facet(name=name, kind="flag", context=context)
    if all(isinstance(value, int | float) for value in values):
        return Facet(name=name, kind="number", context=context)
    counts = Counter(
        str(word).strip()
        for value in values
        for word in (value if isinstance(value, list) else [value])
    )
    words = tuple(word for word, _ in counts.most_common())
    return Facet(
        name=name,
        kind="keyword",
        values=words if _are_facet_values(words) else (),
        context=context,
        several=any(isinstance(value, list) and len(value) > 1 for value in values),
    )


def _are_facet_values(words: Sequence[str]) -> bool:
    """Few and short enough to be a vocabulary; anything else is text about the image."""
    return len(words) <= MAX_FACET_VALUES and all(
        0 < len(word) <= MAX_FACET_VALUE_CHARS for word in words
    )


def _jsonl_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                values = json.loads(text)
            except json.JSONDecodeError as error:
                raise ManifestError(f"{path}, line {line}: not JSON ({error})") from None
            if not isinstance(values, dict):
                raise ManifestError(f"{path}, line {line}: expected an object, found {text[:40]!r}")
            rows.append((line, values))
    return rows


def _csv_rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows: list[tuple[int, dict[str, Any]]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, record in enumerate(csv.DictReader(file, restkey="", restval=""), start=2):
            if "" in record:
                raise ManifestError(f"{path}, line {number}: more columns than the header has")
            attributes = {
                name.removeprefix("attributes."): _csv_value(text)
                for name, text in record.items()
                if name.startswith("attributes.") and text
            }
            plain = {k: v for k, v in record.items() if not k.startswith("attributes.") and v}
            rows.append((number, {**plain, "attributes": attributes}))
    return rows


def _csv_value(text: str) -> AttributeValue:
    if "|" in text:
        return [part.strip() for part in text.split("|") if part.strip()]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _row(values: dict[str, Any], path: Path, line: int) -> ImageRow:
    image = values.get("image")
    if not isinstance(image, str) or not image:
        raise ManifestError(f"{path}, line {line}: `image` must be a path or URL, found {image!r}")
    image_id = values.get("image_id", image)
    if not isinstance(image_id, str | int) or not 1 <= len(str(image_id)) <= 512:
        raise ManifestError(f"{path}, line {line}: `image_id` must be text of 1 to 512 characters")
    caption = values.get("caption")
    if caption is not None and not isinstance(caption, str):
        raise ManifestError(f"{path}, line {line}: `caption` must be text, found {caption!r}")
    return ImageRow(
        image_id=str(image_id),
        location=image if "://" in image else str(path.parent / image),
        caption=caption,
        attributes=_attributes(values.get("attributes") or {}, path, line),
        payload={key: value for key, value in values.items() if key not in _KNOWN_COLUMNS},
    )


def _attributes(values: Any, path: Path, line: int) -> dict[str, AttributeValue]:
    if not isinstance(values, dict):
        raise ManifestError(f"{path}, line {line}: `attributes` must be an object of facets")
    attributes: dict[str, AttributeValue] = {}
    for name, value in values.items():
        if value is None or value == [] or value == "":
            continue
        is_words = isinstance(value, list) and all(isinstance(word, str) for word in value)
        if is_words or isinstance(value, str | bool | int | float):
            attributes[name] = value
        else:
            raise ManifestError(
                f"{path}, line {line}: attribute `{name}` must be text, a number, true/false or a "
                f"list of texts, found {value!r}"
            )
    return attributes


def _check_unique(rows: Sequence[ImageRow], path: Path) -> None:
    repeated = [name for name, count in Counter(r.image_id for r in rows).items() if count > 1]
    if repeated:
        shown = ", ".join(repeated[:_MAX_REPORTED])
        more = f" and {len(repeated) - _MAX_REPORTED} more" if len(repeated) > _MAX_REPORTED else ""
        raise ManifestError(f"{path}: these image ids occur more than once: {shown}{more}")
