"""Finds a gallery's own words in a modification text, and what the text does with each.

English only, by small tables of cues; words it does not know are left to the text's embedding.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import snowballstemmer

from models.contracts.gallery import Facet

Use = Literal["include", "exclude", "add"]

_STEMMER = snowballstemmer.stemmer("english")  # works on a word inside itself: one thread at a time
_STEMMING = threading.Lock()
_TOKEN = re.compile(r"[a-z0-9]+")

# A cue holds until the next cue or the end of the clause. "instead of red": red is excluded.
_CUES: tuple[tuple[tuple[str, ...], Use], ...] = (
    (("instead", "of"), "exclude"),
    (("rather", "than"), "exclude"),
    (("get", "rid", "of"), "exclude"),
    (("take", "away"), "exclude"),
    (("take", "out"), "exclude"),
    (("leave", "out"), "exclude"),
    (("no", "longer"), "exclude"),
    (("but", "not"), "exclude"),
    (("without",), "exclude"),
    (("remove",), "exclude"),
    (("drop",), "exclude"),
    (("lose",), "exclude"),
    (("no",), "exclude"),
    (("not",), "exclude"),
    (("replace",), "exclude"),
    (("swap",), "exclude"),
    (("exchange",), "exclude"),
    (("take",), "exclude"),
    (("next", "to"), "add"),
    (("add",), "add"),
    (("also", "show"), "add"),
    (("together", "with"), "add"),
    (("beside",), "add"),
    (("plus",), "add"),
    (("there", "should", "be"), "add"),
    (("put", "a"), "add"),
    (("put", "an"), "add"),
    (("with", "a"), "add"),
    (("with", "an"), "add"),
    # these end whatever came before: "replace the sofa with a chair", "swap red for blue"
    (("with",), "include"),
    (("for",), "include"),
    (("by",), "include"),
    (("but",), "include"),
    (("to",), "include"),
    (("into",), "include"),
    (("instead",), "include"),
    (("should", "be"), "include"),
)
_PREPOSITIONS = {"in", "on", "at", "under", "by", "inside", "near", "against", "over"}
_DEFINITE = {"the", "this", "that", "its", "their", "these", "those"}
_REPLACING = {("replace",), ("swap",), ("exchange",)}
_EXCLUSIVE = {"only", "just"}
# what may stand beside "only the sofa" and ask for no change: "I only want to see the sofa please"
_CHANGES_NOTHING = {
    "only", "just", "keep", "leave", "show", "see", "have", "give", "want", "need", "like", "would",
    "i", "d", "me", "us", "we", "you", "can", "could", "to", "please", "a", "an", "the", "photo",
    "picture", "image", "with", "of", "in", "and", "nothing", "else",
}  # fmt: skip
_NEW_CLAUSE = re.compile(
    rf"[.,;:!?]|(?=\bbut\b)|(?=\band\b(?! (?:{'|'.join(sorted(_DEFINITE))})\b))"
)


@dataclass(frozen=True)
class Mention:
    """A facet value that a text names.

    Attributes:
        facet: The facet's name.
        value: The gallery's own spelling of the value.
        use: What the text does with it.
        position: Index of its first word, for putting mentions in order.
        definite: "the sofa" speaks of a sofa that is there; "a sofa" of one that is not.
    """

    facet: str
    value: str
    use: Use
    position: int
    definite: bool


def link_facets(text: str, facets: Sequence[Facet]) -> list[Mention]:
    """All facet values a text names, in order; of overlapping ones the longest."""
    words = _TOKEN.findall(text.lower())
    stems = _stems(" ".join(words))
    uses = _uses(words)
    found: list[Mention] = []
    taken: set[int] = set()
    values = [(facet.name, value, _stems(value)) for facet in facets for value in facet.values]
    for name, value, pattern in sorted(values, key=lambda entry: -len(entry[2])):
        for start in range(len(stems) - len(pattern) + 1):
            span = set(range(start, start + len(pattern)))
            if pattern and stems[start : start + len(pattern)] == pattern and not span & taken:
                taken |= span
                definite = start > 0 and words[start - 1] in _DEFINITE
                found.append(Mention(name, value, uses[start], start, definite))
    return sorted(found, key=lambda mention: mention.position)


def _uses(words: list[str]) -> list[Use]:
    """What the text does at every word: the last cue before it decides."""
    uses: list[Use] = []
    current: Use = "include"
    replacing = False
    skip = 0
    for index in range(len(words)):
        if skip:
            skip -= 1
        else:
            cue = next((c for c in _CUES if tuple(words[index : index + len(c[0])]) == c[0]), None)
            if cue is not None:
                # "replace the sofa with a chair": the chair is included, not added to the sofa
                current = "include" if replacing and cue[1] == "add" else cue[1]
                replacing = cue[0] in _REPLACING
                skip = len(cue[0]) - 1
        uses.append(current)
    return uses


def place_phrase(text: str, mention: Mention) -> str:
    """The words around a context value as the text has them: "on a city street", not "street"."""
    words = _TOKEN.findall(text.lower())
    start = _place_start(words, mention)
    return mention.value if start is None else " ".join(words[start : mention.position + 1])


def _place_start(words: Sequence[str], mention: Mention) -> int | None:
    """Index of the preposition that a place's phrase begins with, if there is one."""
    before = range(mention.position, max(-1, mention.position - 5), -1)
    return next((index for index in before if words[index] in _PREPOSITIONS), None)


def kept_alone(text: str, things: Sequence[Mention], places: Sequence[Mention]) -> set[str]:
    """Which things a text wants without the others: the lamp in "just the lamp, please".

    "Only" and "just" say so in a clause that says nothing but what is to be there, and where. In
    "just make the hat yellow" they go with the change, and take nothing away.

    Args:
        text: The modification text.
        things: Mentions of things that are there, "the" directly before them.
        places: Mentions of context values.
    """
    words = _TOKEN.findall(text.lower())
    named = {index for thing in things for index in _span(thing, thing.position - 1)}
    for place in places:
        start = _place_start(words, place)
        named.update(_span(place, place.position if start is None else start))
    alone: set[str] = set()
    end = 0
    for clause in _NEW_CLAUSE.split(text.lower()):
        start, end = end, end + len(_TOKEN.findall(clause))
        said = words[start:end]
        beside = [word for index, word in enumerate(said, start) if index not in named]
        if not _EXCLUSIVE.isdisjoint(said) and _CHANGES_NOTHING.issuperset(beside):
            alone.update(thing.value for thing in things if start <= thing.position < end)
    return alone


def _span(mention: Mention, start: int) -> range:
    """The words of a mention's phrase, from `start` on."""
    return range(start, mention.position + len(_stems(mention.value)))


def has_word(text: str, *words: str) -> bool:
    """Whether any of the words stands in the text."""
    return not set(_TOKEN.findall(text.lower())).isdisjoint(words)


@lru_cache(maxsize=4096)
def _stems(text: str) -> tuple[str, ...]:
    with _STEMMING:
        return tuple(_STEMMER.stemWords(_TOKEN.findall(text.lower())))
