"""Filters, as clients write them: attribute → value, list of values, or range.

Knows no gallery; `indexer.gallery.filters` checks a filter against one.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_serializer,
    model_validator,
)

MAX_CONDITIONS = 32  # attributes of one filter
MAX_LIST_VALUES, MAX_FILTER_VALUES = 256, 512  # of one condition, of all together
MAX_VALUE_CHARS = 512


def _check_number(value: object) -> object:
    """Refuse numbers that no column can hold: they match nothing, or stop an engine."""
    whole = isinstance(value, int) and not -(2**63) <= value < 2**63
    if whole or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("a number must be finite, and a whole one within 64 bit")
    return value


Scalar = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS)] | bool | int | float,
    BeforeValidator(_check_number),
]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class NumberRange(BaseModel):
    """Bounds of a numeric attribute; all that are set must hold, and one is set."""

    model_config = ConfigDict(extra="forbid")

    gte: Bound | None = Field(None, description="at least")
    gt: Bound | None = Field(None, description="more than")
    lte: Bound | None = Field(None, description="at most")
    lt: Bound | None = Field(None, description="less than")

    @model_validator(mode="after")
    def _some_bound(self) -> "NumberRange":
        if not self.model_fields_set:
            raise ValueError("a range needs at least one of gte, gt, lte, lt")
        return self

    @model_serializer
    def _set_bounds(self) -> dict[str, float]:
        """Only the bounds that are set."""
        bounds = ((name, getattr(self, name)) for name in ("gte", "gt", "lte", "lt"))
        return {name: bound for name, bound in bounds if bound is not None}

    def holds(self, number: float) -> bool:
        """Whether a number lies within."""
        return (
            (self.gte is None or number >= self.gte)
            and (self.gt is None or number > self.gt)
            and (self.lte is None or number <= self.lte)
            and (self.lt is None or number < self.lt)
        )


def both(one: NumberRange, other: NumberRange) -> NumberRange:
    """The range of what lies within two."""

    def stricter(name: str, choose: Callable[[list[float]], float]) -> float | None:
        bounds = [bound for each in (one, other) if (bound := getattr(each, name)) is not None]
        return choose(bounds) if bounds else None

    return NumberRange(
        gte=stricter("gte", max), gt=stricter("gt", max),
        lte=stricter("lte", min), lt=stricter("lt", min),
    )  # fmt: skip


def _condition_kind(value: object) -> str:
    """Which kind of condition this is, so that errors speak of that kind only."""
    if isinstance(value, dict | NumberRange):
        return "range"
    return "list" if isinstance(value, list) else "value"


Condition = Annotated[
    Annotated[Scalar, Tag("value")]
    | Annotated[list[Scalar], Field(max_length=MAX_LIST_VALUES), Tag("list")]
    | Annotated[NumberRange, Tag("range")],
    Discriminator(_condition_kind),
]


def filter_values(conditions: dict[str, Condition]) -> int:
    """How many values a filter names, a range as one."""
    return sum(len(c) if isinstance(c, list) else 1 for c in conditions.values())


def _check_value_count(conditions: dict[str, Condition]) -> dict[str, Condition]:
    values = filter_values(conditions)
    if values > MAX_FILTER_VALUES:
        raise ValueError(f"a filter has at most {MAX_FILTER_VALUES} values in all, found {values}")
    return conditions


Filter = Annotated[
    dict[str, Condition],
    Field(max_length=MAX_CONDITIONS),
    AfterValidator(_check_value_count),
]


def narrowed(where: Filter | None, ranges: Mapping[str, NumberRange]) -> Filter | None:
    """A filter that also asks for these ranges; a condition that is no number stays as it is.

    Args:
        where: What a client asks for.
        ranges: Numeric attribute → what it must be.
    """
    if not ranges:
        return where
    found: Filter = dict(where or {})
    for name, wanted in ranges.items():
        there = found.get(name, wanted)
        if isinstance(there, int | float) and not isinstance(there, bool):
            there = NumberRange(gte=there, lte=there)
        found[name] = both(there, wanted) if isinstance(there, NumberRange) else there
    return found


def are_met(ranges: Mapping[str, NumberRange], attributes: Mapping[str, object]) -> bool:
    """Whether an image's numbers lie within ranges; what is missing does."""
    numbers = ((wanted, attributes.get(name)) for name, wanted in ranges.items())
    return all(wanted.holds(n) for wanted, n in numbers if isinstance(n, int | float))
