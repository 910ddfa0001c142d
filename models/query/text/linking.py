"""Words of a text → values of a gallery's facets, whatever the gallery.

A value is found, in this order, by a word that the catalogue has for it, by its own words, by a
synonym, by a slip in its spelling, by the name of a colour that is a shade of it, and by a meaning
that is near to its own.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import DamerauLevenshtein

from models.contracts.gallery import Facet
from models.query.text.colours import colour_names, nearest_colour
from models.query.text.lexicon import Lexicon
from models.query.text.sentence_encoder import EncodeSentences
from models.query.text.tokens import PhraseTable, Token, normalize, stem

How = Literal["word", "synonym", "spelling", "colour", "meaning"]

_FOLDER = Path(__file__).parent
_NEIGHBOURS, _BACKGROUND = 10, 1500  # of CSLS, which lowers what is near to everything
_LEAST_MEANING = 0.2  # CSLS, −2 to 2: below, a phrase means none of the values
_MAX_SPAN = 3  # words
_MAX_MEANINGS = 64  # spans of a text that are looked up by meaning: 0.5 ms each
_MAX_DISTANCE = 30.0  # CIELAB: farther, a colour is none of the values
_COLOUR_SHARE = 0.6  # of a facet's values that are names of colours, for it to be about colours
_COLOUR_WORDS = frozenset(
    ["colour", "color", "colours", "colors", "shade", "hue", "farbe", "farben", "couleur"]
)
_PLACE_WORDS = frozenset(
    ["background", "setting", "place", "location", "surroundings", "hintergrund", "ort"]
)
PLACE_PREPOSITIONS = frozenset(
    [
        "in",
        "on",
        "at",
        "under",
        "by",
        "near",
        "im",
        "am",
        "auf",
        "bei",
        "dans",
        "sur",
        "à",
        "au",
        "en",
    ]
)
_NEVER_OF_COLOURS = frozenset(["at", "by", "under", "near"])


@dataclass(frozen=True)
class Link:
    """Some words that name a value.

    Attributes:
        facet: The facet's name.
        value: The gallery's own spelling.
        start: Index of its first token.
        end: Index behind its last token.
        how: By what it was found.
        score: How surely, 0 to 1.
    """

    facet: str
    value: str
    start: int
    end: int
    how: How
    score: float


class Linker:
    """Knows a gallery's values.

    Attributes:
        noun_facet: The facet that names the thing.
        context: Facets that say where something is shown.
        colour_facets: Facets whose values are colours.
    """

    def __init__(
        self,
        facets: Sequence[Facet],
        noun_facet: str,
        encode: EncodeSentences | None,
        without: frozenset[How] = frozenset(),
    ) -> None:
        """Prepare for a schema.

        Args:
            facets: The gallery's schema; facets of words count.
            noun_facet: The facet that names the thing.
            encode: Phrases → unit rows; None: nothing is linked by its meaning.
            without: Ways of finding values that are not tried, to measure what they are worth.
        """
        self._without = without
        self._facets = [f for f in facets if f.kind == "keyword" and f.values]
        self._values = [(f.name, value) for f in self._facets for value in f.values]
        self.noun_facet = noun_facet
        self.context = frozenset(f.name for f in self._facets if f.context)
        self.colour_facets = frozenset(f.name for f in self._facets if _is_about_colours(f))
        self._by_words = {normalize(value): i for i, (_, value) in enumerate(self._values)}
        self._by_stems = {_stems(words): i for words, i in self._by_words.items()}
        self._own = self._catalogue()
        self._synonyms = self._thesaurus()
        self._longest = max(len(words.split()) for words in [*self._by_words, *self._synonyms, ""])
        self._meanings = None if encode is None else _Meanings(encode, self._phrasings())

    def facet_of(self, word: str) -> str | None:
        """The facet whose name a word is: "pattern", "colours", "background"."""
        for facet in self._facets:
            if (
                stem(word) == stem(facet.name.replace("_", " ").lower())
                or (facet.name in self.colour_facets and word in _COLOUR_WORDS)
                or (facet.name in self.context and word in _PLACE_WORDS)
            ):
                return facet.name
        return None

    def named(self, tokens: Sequence[Token]) -> set[int]:
        """Indexes of the tokens that are values as they stand, letter by letter."""
        spans = _spans(tokens, self._longest, set())
        named = {
            at for start, end, words in spans if words in self._by_words for at in range(start, end)
        }
        return named.union(*(range(start, end) for _, start, end in self._own.find(tokens)))

    def mend(self, word: str, known: frozenset[str]) -> str:
        """The known word that a word is a slip of; itself where it is a word of its own."""
        if "spelling" in self._without:
            return word
        if len(word) < 5 or word in known or self._is_a_word(word) or self._slip(word) is not None:
            return word
        near = [k for k in known if len(k) > 3 and DamerauLevenshtein.distance(word, k) == 1]
        return min(near, default=word)

    def link(self, tokens: Sequence[Token], lexicon: Lexicon, cued: frozenset[int]) -> list[Link]:
        """All values that a text names, in order; no two of them overlap.

        Args:
            tokens: The text.
            lexicon: Of its language: its function words name nothing.
            cued: Indexes of tokens that are cues; they name values only as part of a longer name.
        """
        found = _Found(tokens, lexicon.function, cued)
        found.without = self._without
        self._by_catalogue(found)
        self._by_name(found)
        self._by_spelling(found)
        self._by_colour(found)
        if self._meanings is not None:
            self._by_meaning(found, self._meanings)
        return sorted(found.links, key=lambda link: link.start)

    def _by_catalogue(self, found: "_Found") -> None:
        for index, start, end in self._own.find(found.tokens):
            found.put(self._values[index], start, end, "synonym", 1.0)

    def _by_name(self, found: "_Found") -> None:
        for start, end, words in _spans(found.tokens, self._longest, found.taken):
            if not found.taken.isdisjoint(range(start, end)):
                continue
            index = self._by_stems.get(_stems(words))
            if index is not None:
                found.put(self._values[index], start, end, "word", 1.0)
            elif words in self._synonyms and not (end - start == 1 and start in found.cued):
                found.put(self._values[self._synonyms[words]], start, end, "synonym", 0.95)
            elif end - start == 2 and (shade := self._shade(words.split(), found)) is not None:
                found.put(shade, start, end, "colour", 0.95)

    def _shade(self, words: Sequence[str], found: "_Found") -> tuple[str, str] | None:
        """The value of "denim blue" or "snowy white": another colour before one of the
        gallery's.
        """
        index = self._by_words.get(words[1])
        if index is None or self._values[index][0] not in self.colour_facets:
            return None
        whole = self._colour(" ".join(words))
        if whole is not None or words[0] in found.function or self._by_words.get(words[0]):
            return whole
        return self._values[index] if self._colour(words[0]) else None

    def _by_spelling(self, found: "_Found") -> None:
        for at, token in enumerate(found.tokens):
            if found.is_free(at) and token.text not in found.function:
                index = self._slip(token.text)
                if index is not None:
                    found.put(self._values[index], at, at + 1, "spelling", 0.9)

    def _by_colour(self, found: "_Found") -> None:
        for start, end, words in _spans(found.tokens, _MAX_SPAN, found.taken | found.cued):
            if found.may_name(start, end):
                named = self._colour(words)
                before = found.tokens[start - 1].text if start else ""
                if named is not None and before not in _NEVER_OF_COLOURS:
                    found.put(named, start, end, "colour", 0.9)

    def _by_meaning(self, found: "_Found", meanings: "_Meanings") -> None:
        spans = [
            span
            for span in _spans(found.tokens, _MAX_SPAN, found.taken | found.cued)
            if found.may_mean(span[0], span[1])
        ]
        spans = spans[-_MAX_MEANINGS:]  # the longest stand first
        if not spans:
            return
        scores, values = meanings.nearest([words for _, _, words in spans])
        for number in np.argsort(-scores, kind="stable"):
            start, end, _ = spans[number]
            if scores[number] < _LEAST_MEANING:
                return
            if found.taken.isdisjoint(range(start, end)):
                sure = float(min(1.0, 0.5 + scores[number]))
                found.put(self._values[values[number]], start, end, "meaning", sure)

    def _is_a_word(self, word: str) -> bool:
        known = word in _known_words() or word in self._by_words or word in colour_names()
        return known or any(True for _ in self._own.find([Token(word, 0, len(word))]))

    def _slip(self, word: str) -> int | None:
        """The value of one word that another is a misspelling of."""
        if len(word) < 3 or self._is_a_word(word):
            return None
        near = []
        for single, index in self._by_words.items():
            distance = DamerauLevenshtein.distance(word, single, score_cutoff=2)
            if len(single) > 2 and distance <= (1 if len(single) < 7 else 2):
                near.append((distance, index))
        return min(near)[1] if near else None

    def _colour(self, phrase: str) -> tuple[str, str] | None:
        """Facet and value of a colour's name."""
        name = phrase.replace(" - ", " ").replace("gray", "grey")
        for affix in (" coloured", " colored", " colour", " color"):
            name = name.removesuffix(affix)
        for facet in self._facets:
            if facet.name in self.colour_facets:
                near = nearest_colour(name, facet.values)
                if near is not None and near[1] < _MAX_DISTANCE:
                    return facet.name, near[0]
        return None

    def _catalogue(self) -> PhraseTable:
        """The catalogue's own other words for values."""
        index_of = {named: index for index, named in enumerate(self._values)}
        said = [
            (word, index_of[facet.name, value])
            for facet in self._facets
            for value, words in facet.synonyms.items()
            for word in words
            if (facet.name, value) in index_of
        ]
        return PhraseTable({} if "synonym" in self._without else dict(said))

    def _thesaurus(self) -> dict[str, int]:
        """Other words → values."""
        found: dict[str, int] = {}
        for group in _synonyms():
            indexes = [self._by_stems.get(_stems(member)) for member in group]
            first = next((index for index in indexes if index is not None), None)
            if first is not None:
                for member, index in zip(group, indexes, strict=True):
                    if index is None:
                        found.setdefault(member, first)
        return found

    def _phrasings(self) -> list[tuple[int, str]]:
        """Each value as texts say it, by the kind of its facet."""
        return [
            (index, phrase)
            for index, (facet, value) in enumerate(self._values)
            for phrase in self._said(facet, value)
        ]

    def _said(self, facet: str, value: str) -> list[str]:
        if facet == self.noun_facet:
            return [value, f"a {value}", f"the {value}"]
        if facet in self.context:
            return [value, f"in the {value}", f"at {value}", f"a photo taken in the {value}"]
        if facet in self.colour_facets:
            return [value, f"{value} colour", f"in {value}"]
        name = facet.replace("_", " ")
        return [value, f"a {value} {name}", f"{value} design", f"with a {value} {name}"]


class _Found:
    """What has been linked of a text so far."""

    def __init__(
        self, tokens: Sequence[Token], function: frozenset[str], cued: frozenset[int]
    ) -> None:
        self.tokens, self.function, self.cued = tokens, function, cued
        self.taken: set[int] = set()
        self.links: list[Link] = []
        self.without: frozenset[How] = frozenset()

    def put(self, value: tuple[str, str], start: int, end: int, how: How, score: float) -> None:
        if how in self.without:
            return
        self.taken.update(range(start, end))
        self.links.append(Link(*value, start, end, how, score))

    def is_free(self, at: int) -> bool:
        return at not in self.taken and at not in self.cued and not self.tokens[at].is_mark

    def may_name(self, start: int, end: int) -> bool:
        """Whether it is free, and neither begins nor ends with a function word."""
        edges = {self.tokens[start].text, self.tokens[end - 1].text}
        return self.taken.isdisjoint(range(start, end)) and self.function.isdisjoint(edges)

    def may_mean(self, start: int, end: int) -> bool:
        """As `may_name`, or behind a preposition of place: "at the seaside"."""
        first, last = self.tokens[start].text, self.tokens[end - 1].text
        begins = first not in self.function or (end - start > 1 and first in PLACE_PREPOSITIONS)
        return begins and last not in self.function and not last.isdigit()


class _Meanings:
    """Values by their meaning: cross-domain similarity local scaling (CSLS, arXiv 1710.04087)
    against frequent words, so that a value that is near to everything wins nothing.
    """

    def __init__(self, encode: EncodeSentences, phrasings: Sequence[tuple[int, str]]) -> None:
        self._encode = encode
        self._owners = np.array([index for index, _ in phrasings])
        self._rows = encode([phrase for _, phrase in phrasings])  # (P, D)
        self._background = encode(_common_words()[:_BACKGROUND])  # (W, D)
        self._hubness = self._nearness(self._rows)  # (P,)

    def nearest(self, phrases: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Per phrase the score of its nearest value, −2 to 2, and that value's index."""
        rows = self._encode(phrases)
        scores = 2 * rows @ self._rows.T - self._nearness(rows)[:, None] - self._hubness
        best = scores.argmax(axis=1)
        return scores[np.arange(len(rows)), best], self._owners[best]

    def _nearness(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean cosine of each row to its nearest frequent words."""
        cosines = rows @ self._background.T
        nearest: NDArray[np.float32] = np.partition(cosines, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS:]
        return np.asarray(nearest.mean(axis=1), np.float32)


def _spans(
    tokens: Sequence[Token], longest: int, blocked: set[int] | frozenset[int]
) -> Iterator[tuple[int, int, str]]:
    """Runs of words with nothing blocked in them, the longest first: start, end, words."""
    for length in range(min(longest, len(tokens)), 0, -1):
        for start in range(len(tokens) - length + 1):
            run = range(start, start + length)
            if not any(at in blocked or tokens[at].is_mark for at in run):
                yield start, start + length, " ".join(tokens[at].text for at in run)


def _stems(words: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in words.split())


def _is_about_colours(facet: Facet) -> bool:
    named = sum(value.lower().replace("gray", "grey") in colour_names() for value in facet.values)
    return named >= max(2.0, _COLOUR_SHARE * len(facet.values))


@cache
def _common_words() -> tuple[str, ...]:
    """Frequent words of European languages, the most frequent first."""
    return tuple((_FOLDER / "common_words.txt").read_text("utf-8").split())


@cache
def _known_words() -> frozenset[str]:
    return frozenset(_common_words())


@cache
def _synonyms() -> list[list[str]]:
    groups = tomllib.loads((_FOLDER / "thesaurus.toml").read_text("utf-8"))["groups"]
    return [[normalize(member) for member in group.split("|")] for group in groups]
