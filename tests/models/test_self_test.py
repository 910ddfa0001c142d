"""The self-test's verdicts on scores, and its pictures."""

import math
import random

import numpy as np
import pytest

from models.probes import PROBES
from models.self_test import MIN_SPREAD, SelfTestFailed, check_scores


@pytest.mark.parametrize(
    "scores",
    [
        [[0.9, 0.1, 0.2]],
        [[0.1, 0.9]],  # wrong, but it sees a difference: which judge is good is measured elsewhere
        [[0.5, 0.5], [0.5, 0.5 + 2 * MIN_SPREAD]],
        [[0.0, 1.0], [1.0, 0.0]],
    ],
)
def test_a_judge_that_tells_pictures_apart_passes(scores: list[list[float]]) -> None:
    check_scores(scores)


def test_scores_that_hover_around_one_value_are_refused() -> None:
    noise = random.Random(1)
    scores = [[0.5 + noise.uniform(-0.009, 0.009) for _ in range(4)] for _ in range(3)]
    with pytest.raises(SelfTestFailed, match=r"obviously different pictures the same score \(0\.5"):
        check_scores(scores)


def test_the_same_scores_in_every_row_are_no_difference_between_rows() -> None:
    """A judge that answers by the text alone varies from row to row, never within one."""
    with pytest.raises(SelfTestFailed, match="does not see them"):
        check_scores([[0.9, 0.9], [0.1, 0.1]])


@pytest.mark.parametrize("scores", [[], [[]], [[0.7]]])
def test_nothing_to_compare_proves_nothing(scores: list[list[float]]) -> None:
    with pytest.raises(SelfTestFailed):
        check_scores(scores)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_score_is_refused(bad: float) -> None:
    with pytest.raises(SelfTestFailed, match="from 0 to 1"):
        check_scores([[0.1, bad]])


def test_the_pictures_of_a_probe_are_all_different() -> None:
    for probe in PROBES:
        pictures = [np.asarray(shape.draw()) for shape in probe.candidates]
        for one in range(len(pictures)):
            for other in range(one):
                assert (pictures[one] != pictures[other]).any(axis=-1).mean() > 0.05
