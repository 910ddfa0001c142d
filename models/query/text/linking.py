"""Words of a text → values of a gallery's facets, whatever the gallery.

A value is found by, in this order, the catalogue's word for it, its own words, a synonym, what it
is known by, a slip in its spelling, the name of a colour that is a shade of it, a near meaning.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from models.contracts.gallery import Facet
from models.contracts.intent import LinkedBy
from models.query.text.lexicon import Lexicon
from models.query.text.meanings import Meanings
from models.query.text.sentence_encoder import EncodeSentences
from models.query.text.tokens import PhraseTable, Token, normalize, stem
from models.query.text.vocabulary.colours import are_colours, colour_names, nearest_colour, shades
from models.query.text.vocabulary.spelling import is_word, slip_of
from models.query.text.vocabulary.thesaurus import Frame, Thesaurus, languages_of, things

How = LinkedBy

_LEAST_MEANING = 0.2  # CSLS, −2 to 2: below, a phrase means none of the values
_RESEMBLES = 0.0  # CSLS: above, a word comes near to a value without naming it
_STRANGE = 5  # letters
_MAX_SPAN = 3  # words
_REACH: dict[Frame, int] = {"like": 3, "about": 6}  # words between a frame's word and what it tells
_MAX_MEANINGS = 64  # spans of a text that are looked up by meaning: 0.5 ms each
_MAX_DISTANCE = 30.0  # CIELAB: farther, a colour is none of the values
_COLOURS = ["colour", "color", "colours", "colors", "shade", "hue", "farbe", "farben", "couleur"]
_PLACES = ["background", "setting", "place", "location", "surroundings", "hintergrund", "ort"]
_IN = frozenset(["in", "en"])


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
        self.colour_facets = frozenset(f.name for f in self._facets if are_colours(f.values))
        self._by_words = {normalize(value): i for i, (_, value) in enumerate(self._values)}
        self._by_stems = {_stems(words): i for words, i in self._by_words.items()}
        self._own = self._catalogue()
        self._thesaurus = Thesaurus([value for _, value in self._values])
        own = max((len(words.split()) for words in self._by_words), default=1)
        self._longest = max(own, self._thesaurus.longest)
        self._meanings = None if encode is None else Meanings(encode, self._phrasings())

    def facet_of(self, word: str) -> str | None:
        """The facet whose name a word is: "pattern", "colours", "background"."""
        for facet in self._facets:
            if (
                stem(word) == stem(facet.name.replace("_", " ").lower())
                or (facet.name in self.colour_facets and word in _COLOURS)
                or (facet.name in self.context and word in _PLACES)
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

    def mend(self, word: str, lexicon: Lexicon) -> str:
        """The cue or function word that a word is a slip of; itself where it is a word, or more
        likely a slip of a value.
        """
        language = lexicon.language
        if "spelling" in self._without or word in lexicon.words or self._is_a_word(word, language):
            return word
        meant = slip_of(word, lexicon.words, language, self._by_words)
        if meant in self._by_words or (meant is None and self._slip(word, language) is not None):
            return word
        return meant or word

    def link(self, tokens: Sequence[Token], lexicon: Lexicon, cued: frozenset[int]) -> list[Link]:
        """All values that a text names, in order; no two of them overlap.

        Args:
            tokens: The text.
            lexicon: Of its language: its function words name nothing.
            cued: Indexes of tokens that are cues; they name values only as part of a longer name.
        """
        found = _Found(tokens, lexicon, cued, self._without)
        self._by_catalogue(found)
        self._by_name(found)
        self._by_association(found)
        self._by_spelling(found)
        self._by_colour(found)
        if self._meanings is not None:
            self._by_meaning(found, self._meanings)
        return sorted(found.links, key=lambda link: link.start)

    def suggestions(self, phrases: Sequence[str], count: int) -> list[tuple[str, ...]]:
        """Per phrase the values that are nearest in meaning, or else in spelling."""
        if self._meanings is None or not phrases:
            values = [value for _, value in self._values]
            near = [get_close_matches(phrase, values, count, 0.5) for phrase in phrases]
            return [tuple(found) for found in near]
        ranked = self._meanings.ranked(phrases)
        return [tuple(self._values[index][1] for index in row[:count]) for row in ranked]

    def _by_catalogue(self, found: "_Found") -> None:
        for index, start, end in self._own.find(found.tokens):
            found.put(self._values[index], start, end, "synonym", 1.0)

    def may_matter(self, word: str, language: str) -> bool:
        """Whether a word that names nothing is worth a remark: it comes near to a value, or it is
        long and a word of no language.
        """
        strange = len(word) >= _STRANGE and not self._is_a_word(word, language)
        if strange or self._meanings is None:
            return True
        return bool(self._meanings.nearest([word])[0][0] >= _RESEMBLES)

    def _by_name(self, found: "_Found") -> None:
        for start, end, words in _spans(found.tokens, self._longest, found.taken):
            if not found.taken.isdisjoint(range(start, end)):
                continue
            index = self._by_stems.get(_stems(words))
            if index is not None:
                found.put(self._values[index], start, end, "word", 1.0)
            elif end - start == 2 and (shade := self._shade(words.split(), found)) is not None:
                found.put(shade, start, end, "colour", 0.95)
            elif found.is_open(start, end) and (
                (synonym := self._synonym(words, found)) is not None
            ):
                found.put(self._values[synonym], start, end, "synonym", 0.95)

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
        shaded = self._colour(words[0]) or words[0] in shades()
        likened = index in self._thesaurus.like(words[0])
        return self._values[index] if shaded or likened else None

    def _synonym(self, words: str, found: "_Found") -> int | None:
        language = found.lexicon.language
        index = self._thesaurus.synonym(words, language)
        if index is None and language == "de" and words not in found.function and " " not in words:
            index = self._thesaurus.compound(words)
        return index

    def _by_association(self, found: "_Found") -> None:
        """What is told by a likeness, "like a zebra", or by a use, "something to sit on"."""
        lexicon = found.lexicon
        self._by_frame(found, "like", lexicon.words_of("like"), frozenset())
        self._by_attributive_likeness(found)
        place = lexicon.words_of("place")
        self._by_frame(found, "about", lexicon.words_of("about"), place)

    def _by_frame(
        self,
        found: "_Found",
        frame: Frame,
        words: frozenset[str],
        before_places: frozenset[str],
    ) -> None:
        tokens = found.tokens
        content = [
            at
            for at, token in enumerate(tokens)
            if found.is_free(at) and token.text not in found.function | before_places
        ]
        for start, end, indexes in self._thesaurus.associated(tokens, content, frame):
            before = {token.text for token in tokens[max(0, start - _REACH[frame]) : start]}
            for index in indexes:
                place = self._values[index][0] in self.context
                framed = before & (words | (before_places if place else frozenset()))
                if framed and found.taken.isdisjoint(range(start, end)):
                    found.put(self._values[index], start, end, "meaning", 0.7)

    def _by_attributive_likeness(self, found: "_Found") -> None:
        """What stands for its colour or look: "in ash", "an ebony vase", "zebra print"."""
        nouns = {link.start for link in found.links if link.facet == self.noun_facet}
        look = found.lexicon.words_of("look")
        spans = list(_spans(found.tokens, 2, found.taken | found.cued))
        for start, end, words in spans:
            before = found.tokens[start - 1].text if start else ""
            behind = found.tokens[end].text if end < len(found.tokens) else ""
            described = end in nouns or self.facet_of(behind.removesuffix("ed") or "-") is not None
            for index in self._thesaurus.like(words):
                of_colour = self._values[index][0] in self.colour_facets
                told = described or behind in look or (of_colour and before in _IN)
                if told and found.taken.isdisjoint(range(start, end)):
                    found.put(self._values[index], start, end, "meaning", 0.7)

    def _by_spelling(self, found: "_Found") -> None:
        for at, token in enumerate(found.tokens):
            if found.is_free(at) and token.text not in found.function:
                index = self._slip(token.text, found.lexicon.language)
                if index is not None:
                    found.put(self._values[index], at, at + 1, "spelling", 0.9)

    def _by_colour(self, found: "_Found") -> None:
        for start, end, words in _spans(found.tokens, _MAX_SPAN, found.taken | found.cued):
            if found.may_name(start, end):
                before = found.tokens[start - 1].text if start else ""
                named = None if words in things() and before not in _IN else self._colour(words)
                if named is not None and before not in found.lexicon.words_of("at_place"):
                    found.put(named, start, end, "colour", 0.9)

    def _by_meaning(self, found: "_Found", meanings: "Meanings") -> None:
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

    def _is_a_word(self, word: str, language: str) -> bool:
        return (
            not word.isalpha()
            or is_word(word, language)
            or word in self._by_words
            or word in colour_names()
            or bool(languages_of(word))
            or any(True for _ in self._own.find([Token(word, 0, len(word))]))
        )

    def _slip(self, word: str, language: str) -> int | None:
        """The value of one word that another is a misspelling of, or a synonym's."""
        if self._is_a_word(word, language):
            return None
        own = slip_of(word, self._by_words, language)
        if own is not None:
            return self._by_words[own]
        meant = slip_of(word, self._thesaurus.words(language), language)
        if meant is None:
            return None
        value = self._by_stems.get(_stems(meant))
        return value if value is not None else self._thesaurus.synonym(meant, language)

    def _colour(self, phrase: str) -> tuple[str, str] | None:
        """Facet and value of a colour's name."""
        name = phrase.replace("gray", "grey")
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
        self,
        tokens: Sequence[Token],
        lexicon: Lexicon,
        cued: frozenset[int],
        without: frozenset[How],
    ) -> None:
        self.tokens, self.lexicon, self.cued, self.without = tokens, lexicon, cued, without
        self.function = lexicon.function
        self.taken: set[int] = set()
        self.links: list[Link] = []

    def put(self, value: tuple[str, str], start: int, end: int, how: How, score: float) -> None:
        if how in self.without:
            return
        self.taken.update(range(start, end))
        self.links.append(Link(*value, start, end, how, score))

    def is_open(self, start: int, end: int) -> bool:
        """Whether it is more than a single cue or function word."""
        single = end - start == 1
        return not (single and (start in self.cued or self.tokens[start].text in self.function))

    def is_free(self, at: int) -> bool:
        return at not in self.taken and at not in self.cued and not self.tokens[at].is_mark

    def may_name(self, start: int, end: int) -> bool:
        """Whether it is free, and neither begins nor ends with a function word."""
        edges = {self.tokens[start].text, self.tokens[end - 1].text}
        return self.taken.isdisjoint(range(start, end)) and self.function.isdisjoint(edges)

    def may_mean(self, start: int, end: int) -> bool:
        """As `may_name`, or behind a preposition of place: "at the seaside"."""
        first, last = self.tokens[start].text, self.tokens[end - 1].text
        begins = first not in self.function or (
            end - start > 1 and first in self.lexicon.words_of("place")
        )
        return begins and last not in self.function and not last.isdigit()


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
