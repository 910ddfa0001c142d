"""Filters of the public interface → Qdrant's, checked against the gallery's schema first.

A filter on what the gallery does not have would find nothing, silently; here it is an error that
says what there is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import models

from app.api.schemas import Condition, Filter, NumberRange
from app.errors import InvalidFilter
from models.contracts.gallery import Facet, attribute_key

_EXPECTED = {"keyword": "text", "number": "a number or a range", "flag": "true or false"}


def qdrant_filter(filters: Filter, facets: Sequence[Facet]) -> models.Filter:
    """All conditions together.

    Raises:
        InvalidFilter: An attribute, a value or its kind does not fit the gallery.
    """
    by_name = {facet.name: facet for facet in facets}
    return models.Filter(must=[_condition(name, filters[name], by_name) for name in filters])


def _fits(value: object, kind: str) -> bool:
    """Whether a value is of a facet's kind; true and false are no numbers here."""
    if kind == "keyword":
        return isinstance(value, str)
    return isinstance(value, bool) if kind == "flag" else type(value) in (int, float)


def _condition(name: str, wanted: Condition, facets: Mapping[str, Facet]) -> models.FieldCondition:
    """One attribute's condition, checked against the gallery's schema."""
    if name not in facets:
        known = ", ".join(facets) or "none"
        raise InvalidFilter(f"the gallery has no attribute `{name}`; there are: {known}")
    kind, key = facets[name].kind, attribute_key(name)
    if isinstance(wanted, NumberRange):
        if kind != "number":
            raise InvalidFilter(f"`{name}` holds no numbers, so it cannot be filtered by a range")
        bounds = wanted.model_dump(exclude_none=True)
        return models.FieldCondition(key=key, range=models.Range(**bounds))
    values = _checked(wanted if isinstance(wanted, list) else [wanted], facets[name])
    if kind == "keyword":
        return models.FieldCondition(key=key, match=models.MatchAny(any=values))
    if len(values) != 1:
        raise InvalidFilter(f"`{name}` takes one value or a range, found {len(values)} values")
    if kind == "flag":
        return models.FieldCondition(key=key, match=models.MatchValue(value=values[0]))
    return models.FieldCondition(key=key, range=models.Range(gte=values[0], lte=values[0]))


def _checked(values: list[Any], facet: Facet) -> list[Any]:
    """The values, if they are of the facet's kind and some image has them."""
    if not values:
        raise InvalidFilter(f"the list for `{facet.name}` is empty; nothing could match")
    for value in values:
        if not _fits(value, facet.kind):
            raise InvalidFilter(f"`{facet.name}` expects {_EXPECTED[facet.kind]}, found {value!r}")
        if facet.kind == "keyword" and facet.values and value not in facet.values:
            there_are = ", ".join(facet.values[:20])
            raise InvalidFilter(f"no image has `{facet.name}` = {value!r}; values are: {there_are}")
    return values
