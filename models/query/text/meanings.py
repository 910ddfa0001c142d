"""Phrases → the values that mean nearly the same, by the sentence encoder."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.query.text.sentence_encoder import EncodeSentences

_FOLDER = Path(__file__).parent
_NEIGHBOURS, _BACKGROUND = 10, 1500  # of CSLS, which lowers what is near to everything


class Meanings:
    """Values by their meaning: cross-domain similarity local scaling (CSLS, arXiv 1710.04087)
    against frequent words, so that a value that is near to everything wins nothing.
    """

    def __init__(self, encode: EncodeSentences, phrasings: Sequence[tuple[int, str]]) -> None:
        """Embed the values.

        Args:
            encode: Phrases → unit rows.
            phrasings: Index of a value and a phrase that says it, some for each value.
        """
        self._encode = encode
        self._owners = np.array([index for index, _ in phrasings])
        self._rows = encode([phrase for _, phrase in phrasings])  # (P, D)
        self._background = encode(_common_words()[:_BACKGROUND])  # (W, D)
        self._hubness = self._nearness(self._rows)  # (P,)

    def nearest(self, phrases: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Per phrase the score of its nearest value, −2 to 2, and that value's index."""
        scores = self._scores(phrases)
        best = scores.argmax(axis=1)
        return scores[np.arange(len(scores)), best], self._owners[best]

    def ranked(self, phrases: Sequence[str]) -> list[list[int]]:
        """Per phrase the indexes of all values, the nearest first."""
        order = np.argsort(-self._scores(phrases), axis=1, kind="stable")
        return [list(dict.fromkeys(self._owners[row].tolist())) for row in order]

    def _scores(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """CSLS of phrases and phrasings, (B, P)."""
        rows = self._encode(phrases)
        return np.asarray(
            2 * rows @ self._rows.T - self._nearness(rows)[:, None] - self._hubness, np.float32
        )

    def _nearness(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean cosine of each row to its nearest frequent words."""
        cosines = rows @ self._background.T
        nearest: NDArray[np.float32] = np.partition(cosines, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS:]
        return np.asarray(nearest.mean(axis=1), np.float32)


@cache
def _common_words() -> tuple[str, ...]:
    """Frequent words of European languages, the most frequent first."""
    return tuple((_FOLDER / "vocabulary" / "words" / "common_words.txt").read_text("utf-8").split())
