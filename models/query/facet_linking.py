"""Finds a gallery's own words in a text, by their stems: in captions and phrases.

What a modification text means by other words, and what it does with them, is read in `text`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.contracts.gallery import Facet
from models.query.text.tokens import stem

_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Mention:
    """A facet value that a text names.

    Attributes:
        facet: The facet's name.
        value: The gallery's own spelling of the value.
        position: Index of its first word.
    """

    facet: str
    value: str
    position: int


def link_facets(text: str, facets: Sequence[Facet]) -> list[Mention]:
    """All facet values a text names, in order; of overlapping ones the longest."""
    stems = _stems(text)
    found: list[Mention] = []
    taken: set[int] = set()
    values = [(facet.name, value, _stems(value)) for facet in facets for value in facet.values]
    for name, value, pattern in sorted(values, key=lambda entry: -len(entry[2])):
        for start in range(len(stems) - len(pattern) + 1):
            span = set(range(start, start + len(pattern)))
            if pattern and stems[start : start + len(pattern)] == pattern and not span & taken:
                taken |= span
                found.append(Mention(name, value, start))
    return sorted(found, key=lambda mention: mention.position)


def _stems(text: str) -> list[str]:
    return [stem(word) for word in _WORD.findall(text.lower())]
