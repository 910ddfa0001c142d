"""What could be seen in a picture instead of what a phrase names.

"Teapot" has the gallery's other kinds of thing for rivals, "red" its other colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.composition.words import find_mentions
from models.contracts.gallery import Facet

_UNSPECIFIC = ("a photo", "a background", "something else")  # rivals where no facet gives any


@dataclass(frozen=True)
class Rivals:
    """What could be seen instead of a phrase.

    Attributes:
        phrases: Each of them something else.
        facet: The facet the phrase speaks of; None: a gallery without nouns, a phrase in none of
            its words.
    """

    phrases: list[str]
    facet: str | None


def rivals(phrase: str, facets: Sequence[Facet], noun_facet: str | None) -> Rivals:
    """What could be seen instead of a phrase.

    The other values of the facet the phrase speaks of: that of its noun, if it names one, else of
    the first value it names. Phrases in none of the gallery's words are compared with its nouns.
    """
    words = [facet for facet in facets if facet.kind == "keyword" and facet.values]
    named = find_mentions(phrase, words)
    facet_names = [mention.facet for mention in named]
    spoken_of = noun_facet if noun_facet in facet_names or not named else facet_names[0]
    there = {mention.value for mention in named}
    values = next((facet.values for facet in words if facet.name == spoken_of), ())
    return Rivals([value for value in values if value not in there] or list(_UNSPECIFIC), spoken_of)
