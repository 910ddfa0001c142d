"""What is a word, and what is a slip in one.

The words of each language are those of `pyspellchecker`'s frequency lists (made of film subtitles),
without the rarest, most of which are slips themselves.
"""

import gzip
import json
from collections.abc import Collection
from functools import cache
from importlib import resources

from rapidfuzz.distance import DamerauLevenshtein

_LEAST_COUNT = 100  # in the list: what is rarer is as likely a slip
_LEAST_LETTERS = 3
_TWO_SLIPS = 6  # letters from which on two slips are taken for one word, if it begins alike


@cache
def _words(language: str) -> dict[str, int]:
    """A language's words → how often they were met; empty where there is no list of it."""
    path = resources.files("spellchecker") / "resources" / f"{language}.json.gz"
    if not path.is_file():
        return {}
    counts = json.loads(gzip.decompress(path.read_bytes()))
    return {word: count for word, count in counts.items() if count >= _LEAST_COUNT}


def is_word(word: str, language: str) -> bool:
    """Whether it is a word of a language, or of English, which is mixed into all of them."""
    return word in _words(language) or word in _words("en")


def slip_of(
    word: str, known: Collection[str], language: str, first: Collection[str] = ()
) -> str | None:
    """The known word that a word is most likely a slip of; None where it is like none of them.

    Args:
        word: None of the language's words.
        known: What it may have been meant to be.
        language: Of words that are as near, the one that is most frequent in this language is
            meant.
        first: Words that are preferred to more frequent ones.
    """
    if len(word) < _LEAST_LETTERS:
        return None
    found = []
    for other in {*known, *first}:
        most = 2 if len(other) >= _TWO_SLIPS else 1
        if len(other) < _LEAST_LETTERS or abs(len(other) - len(word)) > most:
            continue
        distance = DamerauLevenshtein.distance(word, other, score_cutoff=most)
        if distance <= most and (distance < 2 or word[0] == other[0]):
            replaced = len(word) == len(other) and sorted(word) != sorted(other)
            rank = (distance, replaced, other not in first, -_words(language).get(other, 0), other)
            found.append(rank)
    return min(found)[-1] if found else None
