"""Text → tokens that know where they stand, and phrases found among them."""

import re
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(
    r"\bw/o?(?!\w)|[^\W_]+(?:['’][^\W_]+)*|[.,;:!?…&]|(?<!\w)-|-(?!\w)", re.IGNORECASE
)
_STEMMERS = {
    language: snowballstemmer.stemmer(name)
    for language, name in (("en", "english"), ("de", "german"), ("fr", "french"), ("es", "spanish"))
}
_STEMMING = threading.Lock()  # a stemmer works on a word inside itself: one thread at a time


@dataclass(frozen=True)
class Token:
    """A word, or a mark of punctuation.

    Attributes:
        text: In lower case, with plain apostrophes.
        start: Offset in the text, in characters.
        end: Offset of the first character behind it.
    """

    text: str
    start: int
    end: int

    @property
    def is_mark(self) -> bool:
        """Whether it is punctuation."""
        return not self.text[0].isalnum()


def tokenize(text: str) -> list[Token]:
    """All words and marks of a text, in order."""
    return [
        Token(unicodedata.normalize("NFC", word[0].lower().replace("’", "'")), *word.span())
        for word in _WORD.finditer(text)
    ]


def normalize(phrase: str) -> str:
    """A phrase as its tokens say it, one space between them."""
    return " ".join(token.text for token in tokenize(phrase))


@lru_cache(maxsize=50_000)
def stem(word: str, language: str = "en") -> str:
    """The stem of a word: "stripes" and "striped" have one.

    Args:
        word: In lower case.
        language: Two letters; of a language without a stemmer, English is used.
    """
    with _STEMMING:
        return str(_STEMMERS.get(language, _STEMMERS["en"]).stemWord(word))


def folded(word: str) -> str:
    """A word without accents, as many type it: "grün" is "grun", "größe" is "grosse"."""
    plain = unicodedata.normalize("NFD", word.replace("ß", "ss").replace("œ", "oe"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


class PhraseTable:
    """Phrases, each with a number, to be found in texts."""

    def __init__(self, phrases: Mapping[str, int]) -> None:
        """Phrases count as they are written, without their marks, and by their stems."""
        exact = {tuple(t.text for t in tokenize(phrase)): n for phrase, n in phrases.items()}
        plain = {tuple(w for w in run if w[0].isalnum()): n for run, n in exact.items()}
        self._numbers = {tuple(map(stem, run)): n for run, n in plain.items()} | plain | exact
        self._longest = max(map(len, self._numbers), default=0)

    def find(self, tokens: Sequence[Token]) -> Iterator[tuple[int, int, int]]:
        """Those in a text, from left to right, the longest where several begin: number, start, end.

        Args:
            tokens: The text.
        """
        words = tuple(token.text for token in tokens)
        start = 0
        while self._longest and start < len(words):
            for end in range(min(start + self._longest, len(words)), start, -1):
                run = words[start:end]
                number = self._numbers.get(run, self._numbers.get(tuple(map(stem, run))))
                if number is not None:
                    yield number, start, end
                    break
            else:
                end = start + 1
            start = end
