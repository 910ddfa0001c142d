"""What narrows a search or a page, checked against a gallery: filters, `among`, where to begin.

A filter on what the gallery does not have would find nothing, silently; here it is an error that
says what there is. It knows no engine: each one translates `CheckedCondition` for itself.
"""

import uuid
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from indexer.gallery.errors import InvalidFilter, InvalidRequest
from models.contracts.filter import Condition, Filter, NumberRange
from models.contracts.gallery import Facet

_EXPECTED = {"keyword": "text", "number": "a number or a range", "flag": "true or false"}


@dataclass(frozen=True)
class AnyOf:
    """The attribute is, or has among its values, one of these words."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class IsFlag:
    """The attribute is true, or is false."""

    name: str
    value: bool


@dataclass(frozen=True)
class InRange:
    """The attribute is a number within these bounds."""

    name: str
    bounds: NumberRange


CheckedCondition = AnyOf | IsFlag | InRange


def check_filter(where: Filter, facets: Sequence[Facet]) -> list[CheckedCondition]:
    """The conditions that have to hold of an image, all of them.

    Args:
        where: Attribute → condition, as the client wrote it.
        facets: The gallery's.

    Raises:
        InvalidFilter: An attribute, a value or its kind does not fit the gallery.
    """
    by_name = {facet.name: facet for facet in facets if not facet.made}  # images have no others
    return [_checked(name, condition, by_name) for name, condition in where.items()]


def parse_offset(offset: str | None) -> str | None:
    """The point id that a page begins with, in canonical spelling; None: the first.

    Raises:
        InvalidRequest: It is no point id.
    """
    try:
        return None if offset is None else str(uuid.UUID(offset))
    except ValueError:
        raise InvalidRequest(f"offset {offset!r} is not a page's next_offset") from None


def require_all(by_point: Mapping[str, str], present: Container[str]) -> None:
    """Check that no image to search among is missing.

    Args:
        by_point: Point id → image id of all of them.
        present: Point ids that the gallery has.

    Raises:
        InvalidFilter: One is missing.
    """
    missing = [image_id for point, image_id in by_point.items() if point not in present]
    if missing:
        raise InvalidFilter(
            f"the gallery has no image with the id {missing[0]!r}"
            + (f", nor {len(missing) - 1} others of `among`" if len(missing) > 1 else "")
        )


def _fits(value: object, kind: str) -> bool:
    """Whether a value is of a facet's kind; true and false are no numbers here."""
    if kind == "keyword":
        return isinstance(value, str)
    return isinstance(value, bool) if kind == "flag" else type(value) in (int, float)


def _checked(name: str, condition: Condition, facets: Mapping[str, Facet]) -> CheckedCondition:
    """One attribute's condition, checked against the gallery's schema."""
    if name not in facets:
        known = ", ".join(facets) or "none"
        raise InvalidFilter(f"the gallery has no attribute `{name}`; there are: {known}")
    kind = facets[name].kind
    if isinstance(condition, NumberRange):
        if kind != "number":
            raise InvalidFilter(f"`{name}` holds no numbers, so it cannot be filtered by a range")
        return InRange(name, condition)
    values = condition if isinstance(condition, list) else [condition]
    _check_values(values, facets[name])
    if kind == "keyword":
        return AnyOf(name, tuple(dict.fromkeys(str(value) for value in values)))
    if len(values) != 1:
        raise InvalidFilter(f"`{name}` takes one value or a range, found {len(values)} values")
    if kind == "flag":
        return IsFlag(name, bool(values[0]))
    return InRange(name, NumberRange(gte=values[0], lte=values[0]))


def _check_values(values: Sequence[object], facet: Facet) -> None:
    """Check that values are of the facet's kind and that some image has them."""
    if not values:
        raise InvalidFilter(f"the list for `{facet.name}` is empty; nothing could match")
    known = frozenset(facet.values)
    for value in values:
        if not _fits(value, facet.kind):
            raise InvalidFilter(f"`{facet.name}` expects {_EXPECTED[facet.kind]}, found {value!r}")
        if facet.kind == "keyword" and known and value not in known:
            available = ", ".join(facet.values[:20])
            raise InvalidFilter(f"no image has `{facet.name}` = {value!r}; values are: {available}")
