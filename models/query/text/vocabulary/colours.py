"""Names of colours → places in CIELAB.

`words/colours.tsv` has the 949 names of the XKCD colour survey (Randall Munroe, CC0) with their
sRGB values.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Lab = NDArray[np.float64]  # (3,): L 0 to 100, a, b

_COLOUR_SHARE = 0.6  # of values that are names of colours, for all to be taken for colours


@cache
def colour_names() -> dict[str, Lab]:
    """Every name in lower case → its colour in CIELAB (D65)."""
    lines = (Path(__file__).parent / "words" / "colours.tsv").read_text("utf-8").splitlines()
    return {name: lab_of(value) for name, value in (line.split("\t") for line in lines)}


@cache
def shades() -> frozenset[str]:
    """Words that stand before the name of a colour and say which shade: "pale", "dusty"."""
    names = [name.split() for name in colour_names()]
    return frozenset(words[0] for words in names if len(words) == 2 and words[1] in colour_names())


def moved_colours(had: str, values: Sequence[str], moves: frozenset[str]) -> tuple[str, ...]:
    """The values that are lighter, darker, more vivid … than a colour, by CIELAB's LCh.

    Args:
        had: The colour to move from.
        values: Those there are.
        moves: Some of `lighter`, `darker`, `vivid`, `muted`, `warmer`, `cooler`, `neutral`.
    """
    names = colour_names()
    here = names.get(_spelled(had))
    others = [(value, names.get(_spelled(value))) for value in values if value != had]
    if here is None:
        return ()
    return tuple(
        value
        for value, there in others
        if there is not None and all(_MOVES[move](here, there) for move in moves)
    )


def are_colours(values: Sequence[str]) -> bool:
    """Whether most of some values, and at least two, are names of colours."""
    named = sum(_spelled(value) in colour_names() for value in values)
    return named >= max(2.0, _COLOUR_SHARE * len(values))


def _spelled(value: str) -> str:
    return value.lower().replace("gray", "grey")


def _chroma(lab: Lab) -> float:
    return float(np.hypot(lab[1], lab[2]))


def _warmth(lab: Lab) -> float:
    """How far a colour lies towards orange, the warmest hue (50 degrees)."""
    return float(lab[1] * np.cos(np.radians(50)) + lab[2] * np.sin(np.radians(50)))


_MOVES: dict[str, Callable[[Lab, Lab], bool]] = {
    "lighter": lambda here, there: bool(there[0] > here[0] + 2),
    "darker": lambda here, there: bool(there[0] < here[0] - 2),
    "vivid": lambda here, there: _chroma(there) > _chroma(here) + 8,
    "muted": lambda here, there: _chroma(there) < _chroma(here) - 8,
    "warmer": lambda here, there: _warmth(there) > _warmth(here) + 10,
    "cooler": lambda here, there: _warmth(there) < _warmth(here) - 10,
    "neutral": lambda _, there: _chroma(there) < 22,
}


COLOUR_MOVES = frozenset(_MOVES)


def lab_of(value: str) -> Lab:
    """SRGB in six hexadecimal digits → CIELAB (CIE 15, white D65)."""
    rgb = np.array([int(value[at : at + 2], 16) for at in (0, 2, 4)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ linear / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest_colour(name: str, values: Sequence[str]) -> tuple[str, float] | None:
    """The value that a named colour is a shade of, and how far it is (CIE76, lightness at 0.6
    of its weight).

    A value is where the survey's shades of it are: blue is also "sky blue" and "navy blue".
    """
    names = colour_names()
    there = names.get(name)
    if there is None:
        return None
    weights = np.array([0.6, 1.0, 1.0])
    best: tuple[str, float] | None = None
    for value in values:
        shades = _shades(value)
        if not len(shades):
            continue
        far = np.sort(np.linalg.norm((shades - there) * weights, axis=1))[:3].mean()
        if best is None or far < best[1]:
            best = (value, float(far))
    return best


@cache
def _shades(value: str) -> NDArray[np.float64]:
    word = _spelled(value)
    rows = [
        lab for name, lab in colour_names().items() if name == word or name.endswith(" " + word)
    ]
    return np.array(rows) if rows else np.zeros((0, 3))
