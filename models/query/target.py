"""What may be shown, by the attributes of a gallery.

Per thing and facet it is a set of allowed values: "the same but blue" allows blue alone, "not red"
all but red; a facet that is not there is open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from math import prod

from models.contracts.gallery import AttributeValue

Values = tuple[str, ...]
_MAX_ALTERNATIVES = 64


@dataclass
class TargetItem:
    """A thing that is to be shown.

    Attributes:
        allowed: Facet → the values it may have, in the gallery's order; a missing facet is open.
        known: Facet → the value it has in the reference; empty for a thing that is not there.
        changed: Whether the text is about it.
    """

    allowed: dict[str, Values]
    known: Mapping[str, str] = field(default_factory=dict)
    changed: bool = False


@dataclass
class Target:
    """What may be shown.

    Attributes:
        items: One or two things, from left to right where that matters.
        noun: The facet that names a thing.
        describing: The facets that describe it, in the schema's order.
        context: Context facet → allowed values; a missing one is open.
        desired: Values that the text asks for.
        forbidden: Values that it rules out or replaces.
        ordered: Whether the order of the things was asked for.
    """

    items: list[TargetItem]
    noun: str
    describing: Sequence[str]
    context: dict[str, Values] = field(default_factory=dict)
    desired: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    ordered: bool = False

    def is_contradicted_by(self, attributes: Mapping[str, AttributeValue]) -> bool:
        """Whether an image's own attributes say that it is none of what is allowed.

        What is missing contradicts nothing.
        """
        return any(
            (here := words_of(attributes.get(facet))) and not set(here) & set(allowed)
            for facet, allowed in self.context.items()
        ) or self._shows_other_things(attributes)

    def differs_from(self, reading: Sequence[Mapping[str, str]]) -> bool:
        """Whether it asks for anything but what the reference shows.

        Args:
            reading: The reference's things: facet → value.
        """
        facets = (*self.describing, self.noun)
        kept = [{f: (one[f],) for f in facets if f in one} for one in reading]
        return bool(self.context) or self.ordered or [i.allowed for i in self.items] != kept

    def _shows_other_things(self, attributes: Mapping[str, AttributeValue]) -> bool:
        count = len(words_of(attributes.get(self.noun)))
        if count != len(self.items):
            return count > 0
        columns = {f: _per_thing(attributes, f, count) for f in (*self.describing, self.noun)}
        return not any(
            all(
                _allows(item, facet, column[place])
                for facet, column in columns.items()
                for item, place in zip(self.items, order, strict=True)
            )
            for order in permutations(range(count))
        )


def alternatives(
    target: Target,
) -> list[tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]]:
    """What may be shown, in words, at most 64: per thing its values, the noun last; and the
    context's. Nothing is said of a facet of which all values are refused.

    Args:
        target: What may be shown.
    """
    columns = [
        [list(item.allowed.get(facet) or ("",)) for facet in (*target.describing, target.noun)]
        for item in target.items
    ]
    places = [list(values or ("",)) for values in target.context.values()]
    flat = [column for item in columns for column in item] + places
    while prod(map(len, flat)) > _MAX_ALTERNATIVES:  # leave the widest choice open
        max(flat, key=len)[:] = [""]
    things = [[tuple(filter(None, words)) for words in product(*item)] for item in columns]
    return [
        (shown, tuple(filter(None, where)))
        for shown, where in product(product(*things), product(*places))
    ]


def words_of(value: AttributeValue | None) -> list[str]:
    """The words of an attribute's value, in order; numbers and flags have none."""
    values = value if isinstance(value, list) else [value]
    return [word for word in values if isinstance(word, str)]


def _per_thing(
    attributes: Mapping[str, AttributeValue], facet: str, things: int
) -> list[tuple[str, ...]]:
    """Per thing the values that it may have; empty: it does not say."""
    values = words_of(attributes.get(facet))
    if len(values) == things:
        return [(value,) for value in values]
    return [tuple(values)] * things


def _allows(item: TargetItem, facet: str, values: tuple[str, ...]) -> bool:
    allowed = item.allowed.get(facet)
    return allowed is None or not values or bool(set(values) & set(allowed))
