"""Text → tokens that know where they stand."""

import re
import threading
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[.,;:!?…&-]")
_STEMMER = snowballstemmer.stemmer("english")  # works on a word inside itself: one thread at a time
_STEMMING = threading.Lock()


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
def stem(word: str) -> str:
    """The English stem of a word: "stripes" and "striped" have one."""
    with _STEMMING:
        return str(_STEMMER.stemWord(word))
