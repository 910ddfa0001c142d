"""What a composed query asks of a picture's attributes, and which pictures satisfy it: yes, no, or
who knows. Only a sure no may teach a judge to say no.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import AttributeValue, Facet

Values = Mapping[
    str, frozenset[str]
]  # facet → the picture's values; facets not labelled are absent
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Wish:
    """What must be there, by facet, and what must not.

    Attributes:
        wanted: Facet → values the picture must have; several where it must show several things.
        unwanted: Facet → the value it must not have.
    """

    wanted: Values
    unwanted: Mapping[str, str] = field(default_factory=dict)

    @property
    def facets(self) -> frozenset[str]:
        """All facets that the wish is about."""
        return frozenset([*self.wanted, *self.unwanted])


@dataclass(frozen=True)
class Verdicts:
    """How N pictures stand to a wish.

    Attributes:
        fits: Every facet of the wish is labelled, has one value, and agrees.
        misses: Every facet of the wish is labelled, and one or more surely contradict it. Pictures
            in neither mask lack a label, or have several values of which nobody can tell to which
            thing they belong.
        wrong: Facet → where that facet surely contradicts the wish.
    """

    fits: Mask
    misses: Mask
    wrong: Mapping[str, Mask]


class Labels:
    """The attributes of N pictures, as columns, so that a wish is one pass over them."""

    def __init__(self, pictures: Sequence[Values]) -> None:
        self._pictures = pictures
        self._known = {
            facet: np.array([facet in values for values in pictures])
            for facet in {name for values in pictures for name in values}
        }
        self._single = {
            facet: np.array([len(values.get(facet, ())) == 1 for values in pictures])
            for facet in self._known
        }
        self._has: dict[tuple[str, str], Mask] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def single(self, picture: int) -> dict[str, str]:
        """The facets of which a picture has one value."""
        values = self._pictures[picture]
        return {facet: next(iter(words)) for facet, words in values.items() if len(words) == 1}

    def all_of(self, picture: int) -> Values:
        """Everything a picture is labelled with."""
        return self._pictures[picture]

    def verdicts(self, wish: Wish) -> Verdicts:
        """Hold a wish against all pictures."""
        nobody = np.zeros(len(self), bool)
        labelled, fits = ~nobody, ~nobody
        wrong: dict[str, Mask] = {}
        for facet in wish.facets:
            known, single = self._known.get(facet, nobody), self._single.get(facet, nobody)
            labelled &= known
            agrees, contradicts = self._against(wish, facet)
            fits &= agrees & single
            wrong[facet] = contradicts & known
        some = np.logical_or.reduce(list(wrong.values())) if wrong else nobody
        return Verdicts(fits, labelled & some, wrong)

    def _against(self, wish: Wish, facet: str) -> tuple[Mask, Mask]:
        """Where a facet has what is wanted and not what is unwanted; and where it surely fails."""
        agrees, contradicts = np.ones(len(self), bool), np.zeros(len(self), bool)
        for value in wish.wanted.get(facet, ()):
            agrees &= self._where(facet, value)
            contradicts |= ~self._where(facet, value)
        if facet in wish.unwanted:
            there = self._where(facet, wish.unwanted[facet])
            agrees &= ~there
            # of several things one may still be what is meant
            contradicts |= there & self._single.get(facet, np.zeros(len(self), bool))
        return agrees, contradicts

    def _where(self, facet: str, value: str) -> Mask:
        if (facet, value) not in self._has:
            self._has[facet, value] = np.array(
                [value in values.get(facet, ()) for values in self._pictures], dtype=bool
            )
        return self._has[facet, value]


def values_of(attributes: Mapping[str, AttributeValue], facets: Iterable[Facet]) -> Values:
    """The word-valued facets of one picture."""
    return {
        facet.name: _words(attributes[facet.name])
        for facet in facets
        if facet.kind == "keyword" and facet.values and facet.name in attributes
    }


def _words(value: AttributeValue) -> frozenset[str]:
    return frozenset(word.strip() for word in (value if isinstance(value, list) else [str(value)]))
