"""Words that everyone uses for the same thing, and what things are known by; data, four languages.

`words/concepts.tsv` has a column per language. `words/associations.tsv` has what is told by a
likeness ("like a zebra", "the colour of coal") or by a use ("something to sit on", "where camels
live").
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from models.query.text.tokens import Token, folded, normalize, stem
from models.query.text.vocabulary.colours import colour_names

_FOLDER = Path(__file__).parent / "words"
_LANGUAGES = ("en", "de", "fr", "es")
_LEAST_LETTERS = 5  # of a word of another language than the text's: shorter ones are homonyms
_LEAST_HEAD = 4  # letters of a compound's head: "Leder-tasche"
_WIDEST_ASSOCIATION = 3  # content words

_LIGHT_WORDS = frozenset(  # an association is known without them: "sit on" is told by "sit"
    [
        "a",
        "an",
        "the",
        "to",
        "on",
        "in",
        "at",
        "by",
        "from",
        "with",
        "for",
        "of",
        "my",
        "your",
        "me",
        "i",
        "things",
        "put",
        "wear",
        "it",
        "is",
        "up",
        "out",
        "auf",
        "den",
        "die",
        "für",
        "le",
        "la",
        "les",
        "sur",
        "pour",
        "dans",
        "en",
        "el",
        "los",
        "para",
    ]
)

Frame = Literal["like", "about"]
Key = tuple[str, ...]  # stems


class Thesaurus:
    """Other words for a gallery's values, and what its values are known by."""

    def __init__(self, values: Sequence[str]) -> None:
        """Find what speaks of these values.

        Args:
            values: Each once per facet, in the gallery's own spelling.
        """
        places: dict[tuple[str, Key], list[int]] = {}
        for index, value in enumerate(values):
            for language in _LANGUAGES:
                places.setdefault((language, _key(value, language)), []).append(index)
        self._synonyms: dict[tuple[str, Key], int] = {}
        for row in _concepts():
            self._take_row(row, places)
        self._associations: dict[Frame, dict[Key, list[int]]] = {"like": {}, "about": {}}
        for frame, name, phrase in _associations():
            for index in self._named(name, places):
                known = self._associations[frame].setdefault(_key(phrase, "en"), [])
                known.append(index)
        self._known = places.keys()
        self._words: dict[str, frozenset[str]] = {}
        self.longest = max((len(key) for _, key in self._synonyms), default=1)

    def _take_row(
        self, row: dict[str, list[str]], places: dict[tuple[str, Key], list[int]]
    ) -> None:
        """Let the other words of a row name the value that one of them is, if one is."""
        found = [
            index
            for language, words in row.items()
            for word in words
            for index in places.get((language, _key(word, language)), ())
        ]
        for language, words in row.items():
            for word in words:
                key = (language, _key(word, language))
                if found and key not in places:
                    self._synonyms.setdefault(key, found[0])

    def _named(self, name: str, places: dict[tuple[str, Key], list[int]]) -> list[int]:
        """The values that an English word is or is a synonym of."""
        key = ("en", _key(name, "en"))
        synonym = self._synonyms.get(key)
        return places.get(key) or ([] if synonym is None else [synonym])

    def synonym(self, words: str, language: str) -> int | None:
        """The value that words of a text name, first as words of its language, then of others."""
        for other in dict.fromkeys((language, *_LANGUAGES)):
            if other == language or len(words) >= (4 if other == "en" else _LEAST_LETTERS):
                index = self._synonyms.get((other, _key(words, other)))
                if index is not None:
                    return index
        return None

    def words(self, language: str) -> frozenset[str]:
        """Single words for the values, of at least four letters, in a language or in English."""
        if language not in self._words:
            known = self._known | self._synonyms.keys()
            self._words[language] = frozenset(
                phrase
                for row in _concepts()
                for other in {language, "en"} & row.keys()
                for phrase in row[other]
                if len(phrase) >= _LEAST_HEAD
                and " " not in phrase
                and (other, _key(phrase, other)) in known
            )
        return self._words[language]

    def compound(self, word: str) -> int | None:
        """The value that a German compound's head names: "Blumenvase" is a vase."""
        for start in range(3, len(word) - _LEAST_HEAD + 1):
            index = self._synonyms.get(("de", _key(word[start:], "de")))
            if index is not None:
                return index
        return None

    def like(self, words: str) -> list[int]:
        """The values that a likeness tells: "raven", "lemony", "candy cane"."""
        known = self._associations["like"]
        return known.get(_key(words, "en")) or known.get(_key(words.removesuffix("y"), "en")) or []

    def associated(
        self, tokens: Sequence[Token], content: Sequence[int], frame: Frame
    ) -> Iterator[tuple[int, int, list[int]]]:
        """What some words are known to tell of: start, end, values; the longest run first.

        Args:
            tokens: The text.
            content: Indexes of the tokens that may tell, in order; others may lie between them.
            frame: What kind of association is looked for.
        """
        known = self._associations[frame]
        for length in range(min(_WIDEST_ASSOCIATION, len(content)), 0, -1):
            for first in range(len(content) - length + 1):
                run = content[first : first + length]
                indexes = known.get(_key(" ".join(tokens[at].text for at in run), "en"))
                if indexes is not None:
                    yield run[0], run[-1] + 1, indexes


def languages_of(word: str) -> frozenset[str]:
    """The languages in which a word, as it stands, is one of a concept's."""
    return _languages().get(word, frozenset())


@cache
def things() -> frozenset[str]:
    """English words for anything but colours: "tea" is no shade of green."""
    rows = [row["en"] for row in _concepts()]
    return frozenset(w for words in rows if words[0] not in colour_names() for w in words)


@cache
def _languages() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for row in _concepts():
        for language, phrases in row.items():
            for word in " ".join(phrases).split():
                found.setdefault(word, set()).add(language)
    return {word: frozenset(languages) for word, languages in found.items()}


def _key(words: str, language: str) -> Key:
    return tuple(folded(stem(word, language)) for word in words.split())


@cache
def _concepts() -> list[dict[str, list[str]]]:
    """Language → words, per line."""
    return [
        {
            language: [normalize(word) for word in cell.split(",")]
            for language, cell in zip(_LANGUAGES, cells, strict=True)
        }
        for cells in _lines("concepts.tsv")
    ]


@cache
def _associations() -> list[tuple[Frame, str, str]]:
    """Frame, value, and the content words of a phrase that tells it."""
    return [
        ("like" if frame == "like" else "about", value, phrase)
        for frame, value, phrases in _lines("associations.tsv")
        for said in phrases.split(",")
        if (phrase := " ".join(w for w in normalize(said).split() if w not in _LIGHT_WORDS))
    ]


def _lines(name: str) -> list[list[str]]:
    """The cells of each line of a table, without its comments and its head."""
    lines = (_FOLDER / name).read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")][1:]
