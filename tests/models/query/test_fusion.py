"""One order from both stages' scores; as properties of candidates: tests/app/api/search."""

import pytest

from models.query.fusion import fused_order, fused_score


@pytest.mark.parametrize(
    ("rerank_scores", "weight", "order"),
    [
        ([None, None, None, None], 1.0, [0, 1, 2, 3]),
        ([0.0, 0.1, 0.5, 0.9], 1.0, [3, 2, 0, 1]),
        ([0.0, None, 0.5, None], 1.0, [2, 1, 0, 3]),  # those without a score keep their places
        ([0.0, 0.1, 0.2, 0.3], 1.0, [0, 1, 2, 3]),  # ties keep the order of retrieval
        ([0.0, 0.9, 0.9, 0.9], 0.0, [0, 1, 2, 3]),
    ],
)
def test_orders(rerank_scores: list[float | None], weight: float, order: list[int]) -> None:
    assert fused_order([0.5, 0.4, 0.3, 0.2], rerank_scores, weight) == order


def test_a_score_is_the_weighted_sum() -> None:
    assert fused_score(0.5, 0.25, 2.0) == 1.0
    assert fused_score(0.5, None, 2.0) == 0.5
