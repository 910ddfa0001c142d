"""Filters, as clients write them: attribute → value, list of values, or range.

Knows no gallery; `indexer.gallery.filters` checks a filter against one.
"""

import math
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
