"""Cue words: what a text does with the values that it names. Data, one file per language."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from models.query.text.tokens import Token, tokenize
from models.query.text.vocabulary.thesaurus import languages_of

_FOLDER = Path(__file__).parent / "languages"


@dataclass(frozen=True)
class Cue:
    """Some words that say what is done.

    Attributes:
        kinds: The names of the lists that they stand in.
        start: Index of their first token.
        end: Index behind their last token.
    """

    kinds: frozenset[str]
    start: int
    end: int


class Lexicon:
    """The cues of one language.

    Attributes:
        language: Its two letters.
        function: Words that name nothing.
        words: Those, and all words of cues.
        numbers: What it says of numbers: list → phrases.
    """

    def __init__(self, name: str) -> None:
        """Read a language's file.

        Args:
            name: As its file is called, without `.toml`.
        """
        lists = tomllib.loads((_FOLDER / f"{name}.toml").read_text("utf-8"))
        self.language = name
        self._lists = {
            name: frozenset(words.split())
            for name, words in lists.items()
            if isinstance(words, str)
        }
        self.function = self._lists["function"]
        self.numbers: dict[str, list[str]] = lists.pop("numbers", {})
        self._cues: dict[tuple[str, ...], set[str]] = {}
        for kind in lists.keys() - self._lists.keys():
            for phrase in lists[kind]:
                words = tuple(token.text for token in tokenize(phrase))
                self._cues.setdefault(words, set()).add(kind)
        self._longest = max(map(len, self._cues))
        self.words = self.function | {word for words in self._cues for word in words}
        self.words |= {t.text for said in self.numbers.values() for p in said for t in tokenize(p)}

    def speaks(self, word: str) -> float:
        """How much a word speaks for this language: 1 as a cue or function word, 0.5 in a cue."""
        whole = word in self.function or (word,) in self._cues
        return 1.0 if whole else 0.5 * (word in self.words)

    def words_of(self, name: str) -> frozenset[str]:
        """The words of one of its lists; none where the language has no such list."""
        return self._lists.get(name, frozenset())

    def cues(self, tokens: Sequence[Token]) -> list[Cue]:
        """The cues of a text from left to right, each the longest that begins there."""
        words = tuple(token.text for token in tokens)
        found: list[Cue] = []
        at = 0
        while at < len(words):
            cue = self._cue_at(words, at)
            if cue is not None:
                found.append(cue)
            at = cue.end if cue is not None else at + 1
        return found

    def _cue_at(self, words: tuple[str, ...], at: int) -> Cue | None:
        for end in range(min(at + self._longest, len(words)), at, -1):
            kinds = self._cues.get(words[at:end])
            if kinds is not None:
                return Cue(frozenset(kinds), at, end)
        return None


@cache
def lexicons() -> tuple[Lexicon, ...]:
    """All languages there are, English first."""
    names = sorted((path.stem for path in _FOLDER.glob("*.toml")), key=lambda name: name != "en")
    return tuple(Lexicon(name) for name in names)


def lexicon_of(tokens: Sequence[Token]) -> Lexicon:
    """The language that a text has most words of, of cues and of concepts; of equals the first."""
    words = [token.text for token in tokens if token.text != "a"]  # which is a word of most

    def known(lexicon: Lexicon) -> float:
        cues = sum(lexicon.speaks(word) for word in words)
        shares = [0.5 / len(of) for word in words if lexicon.language in (of := languages_of(word))]
        return cues + sum(shares)

    return max(lexicons(), key=known)
