"""Which words of a list can be told apart in a sample of images: pure functions of a table of
scores, float32 (N images, M words), in nats (cosines × the encoder's logit scale).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]

MIN_IMAGES, MIN_SHARE = 2, 0.003  # that a word wins
_SAME = 0.5  # correlation of the scores of a word and its variant, over the images


def shortlist(scores: Scores, limit: int, per_image: int = 10) -> list[int]:
    """Columns that are among the best of some image, most often so first, at most `limit`."""
    count = min(per_image, scores.shape[1])
    best = np.argpartition(-scores, count - 1, axis=1)[:, :count]  # (N, count)
    often = np.bincount(best.ravel(), minlength=scores.shape[1])
    return [int(i) for i in np.argsort(-often, kind="stable")[:limit] if often[i]]


def eliminate(
    scores: Scores, min_margin: float, nothing: NDArray[np.float32] | None = None
) -> list[int]:
    """Backward elimination: the columns that remain, in order.

    One word goes at a time: of those that win too few images, or by too little, the one whose
    margins over the runner-up sum to the least. So of near-synonyms one survives, with all their
    images.

    Args:
        scores: Of N images and M words.
        min_margin: The least mean margin of a word over the runner-up, in nats.
        nothing: What an image scores where no word is said of it, (N,): it takes part, and stays.
    """
    least = max(MIN_IMAGES, MIN_SHARE * len(scores))
    keep = np.arange(scores.shape[1])
    while len(keep) > (nothing is None):
        table = scores[:, keep]
        if nothing is not None:
            table = np.column_stack([table, nothing])
        winner, margin = _winners(table)
        wins = np.bincount(winner, minlength=table.shape[1])[: len(keep)]
        total = np.bincount(winner, margin, table.shape[1])[: len(keep)]
        bad = (wins < least) | (total < min_margin * wins)
        if not bad.any():
            break
        if (wins == 0).any():
            keep = keep[wins > 0]
        else:
            keep = np.delete(keep, int(np.where(bad, total, np.inf).argmin()))
    return [int(i) for i in keep]


def _winners(table: Scores) -> tuple[NDArray[np.intp], Scores]:
    """Per image the best column and its lead, (N,) each; of two columns at least."""
    best = table.argmax(1)
    rows = np.arange(len(table))
    top = table[rows, best]
    second = np.partition(table, -2, axis=1)[:, -2] if table.shape[1] > 1 else top
    return best, top - second


def merge_variants(chosen: Sequence[int], scores: Scores, words: Sequence[str]) -> list[int]:
    """The columns that were chosen, but "dress" for "sundress" where the list has both and they go
    together over these images; each once.

    Args:
        chosen: Columns that were found.
        scores: Of N images and M words.
        words: All M.
    """
    spread = scores - scores.mean(0)
    spread = spread / (np.linalg.norm(spread, axis=0) + 1e-9)  # (N, M)
    return list(dict.fromkeys(_head(column, spread, words) for column in chosen))


def _head(column: int, spread: Scores, words: Sequence[str]) -> int:
    """The shortest word that this one ends with, if it says much the same of the images."""
    ends = [
        i
        for i, word in enumerate(words)
        if i != column and words[column].endswith(word) and spread[:, column] @ spread[:, i] > _SAME
    ]
    return min(ends, key=lambda i: len(words[i]), default=column)
