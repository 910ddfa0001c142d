"""What every working judge shows on pairs nobody can mistake: a check of its scores alone.

Serving a multimodal reranker with the wrong prompt template, or without its pictures, makes no
error: every pair gets about the same score, near 0.5, and the ranking becomes noise that looks like
an answer. Plain shapes in plain colours (`models.probes`) show it at once.
"""

import math
from collections.abc import Sequence

MIN_SPREAD = 0.02  # between the best and the worst score of a probe; working judges show 0.3 and up


class SelfTestFailed(RuntimeError):
    """The judge does not judge; the sentence says how that shows."""


def check_scores(scores: Sequence[Sequence[float]]) -> None:
    """See that a judge tells obviously different pictures apart.

    It does not ask who is right: a weak judge is still a judge, and which one is good is measured
    on queries, not on shapes.

    Args:
        scores: One row per probe, of its candidates, each 0 to 1.

    Raises:
        SelfTestFailed: A score is none, or in every row all scores are about equal.
    """
    for row in scores:
        for score in row:
            if not (math.isfinite(score) and 0 <= score <= 1):
                raise SelfTestFailed(f"the judge gave the score {score}; scores are from 0 to 1")
    widest = max((max(row) - min(row) for row in scores if row), default=0.0)
    if widest < MIN_SPREAD:
        middle = sum(map(sum, scores)) / max(1, sum(map(len, scores)))
        raise SelfTestFailed(
            f"the judge gives obviously different pictures the same score ({middle:.3f}, give or "
            f"take {widest:.3f}): it does not see them, or is asked in a format it was not made for"
        )
