"""Slips of the finger: a text as somebody types it in a hurry."""

import random

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# slips that are words of their own: what was meant cannot be known
_OTHER_WORDS = frozenset(
    ["back", "lap", "lam", "lamb", "tale", "chai", "she", "short", "shit", "skirt", "plan", "pain"]
    + ["brow", "whit", "bach", "nigh", "soda", "pin", "stripped", "doted", "potted", "dessert"]
)


def mistyped(text: str, rng: random.Random) -> str:
    """A text with one slip, or two where it is long, in words of four letters or more."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for at in rng.sample(long, min(len(long), 1 + (len(long) > 4))):
        words[at] = _slipped(words[at], rng)
    return " ".join(words)


def _slipped(word: str, rng: random.Random) -> str:
    while True:
        at = rng.randrange(1, len(word) - 1)
        way = rng.choice(("swap", "drop", "double", "neighbour"))
        if way == "swap":
            slip = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif way == "drop":
            slip = word[:at] + word[at + 1 :]
        elif way == "double":
            slip = word[: at + 1] + word[at:]
        else:
            slip = word[:at] + _beside(word[at], rng) + word[at + 1 :]
        if slip != word and slip not in _OTHER_WORDS:
            return slip


def _beside(letter: str, rng: random.Random) -> str:
    row = next((row for row in _ROWS if letter in row), letter)
    at = row.index(letter)
    return rng.choice([row[n] for n in (at - 1, at + 1) if 0 <= n < len(row)] or [letter])
