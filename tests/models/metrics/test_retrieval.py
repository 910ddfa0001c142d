"""Metrics: hand-worked cases, and agreement with the definition on anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.retrieval import average_precision_at_k, recall_at_k


def test_average_precision_worked_by_hand() -> None:
    # right at ranks 1 and 3 of 3 right answers: (1/1 + 2/3) / 3
    assert average_precision_at_k(["a", "x", "b"], {"a", "b", "c"}, 3) == pytest.approx(5 / 9)
    assert average_precision_at_k(["a", "x", "b"], {"a", "b", "c"}, 1) == 1.0


def test_average_precision_divides_by_what_could_have_been_found() -> None:
    # three right answers, two ranks: both right is all there is to find
    assert average_precision_at_k(["a", "b"], {"a", "b", "c"}, 2) == 1.0
    # right at rank 2 and 4 of two right answers: (1/2 + 2/4) / 2
    assert average_precision_at_k(["x", "a", "y", "b"], {"a", "b"}, 50) == pytest.approx(0.5)
    assert average_precision_at_k([], {"a"}, 5) == 0.0


def test_recall_is_whether_any_right_answer_is_there() -> None:
    assert recall_at_k(["x", "a"], {"a", "b"}, 1) == 0.0
    assert recall_at_k(["x", "a"], {"a", "b"}, 2) == 1.0
    assert recall_at_k([], {"a"}, 5) == 0.0


@pytest.mark.parametrize(
    ("ranked", "relevant", "k"), [(["a"], [], 1), (["a", "a"], ["a"], 2), (["a"], ["a"], 0)]
)
def test_what_has_no_value_is_refused(ranked: list[str], relevant: list[str], k: int) -> None:
    for metric in (recall_at_k, average_precision_at_k):
        with pytest.raises(ValueError, match=r"."):
            metric(ranked, relevant, k)


@given(
    st.lists(st.integers(0, 30), unique=True, max_size=20),
    st.sets(st.integers(0, 30), min_size=1, max_size=8),
    st.integers(1, 25),
)
def test_agreement_with_the_definition(ranked: list[int], relevant: set[int], k: int) -> None:
    hits = [image_id in relevant for image_id in ranked[:k]]
    precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits)) if hits[i]]
    expected = sum(precisions) / min(len(relevant), k)
    value = average_precision_at_k(ranked, relevant, k)
    assert value == pytest.approx(expected)
    assert 0 <= value <= 1
    assert recall_at_k(ranked, relevant, k) == float(any(hits))
    assert average_precision_at_k(sorted(relevant), relevant, k) == pytest.approx(1.0)


@given(
    st.lists(st.integers(0, 30), unique=True, max_size=20),
    st.sets(st.integers(0, 30), min_size=1, max_size=8),
    st.integers(1, 25),
)
def test_what_a_short_list_lacks_is_wrong(ranked: list[int], relevant: set[int], k: int) -> None:
    padded = [*ranked, *range(100, 125)]
    for metric in (recall_at_k, average_precision_at_k):
        assert metric(padded, relevant, k) == metric(ranked, relevant, k)
        assert metric(ranked[:k], relevant, k) == metric(ranked, relevant, k)
    assert recall_at_k(ranked, relevant, k) <= recall_at_k(ranked, relevant, k + 1)


@given(st.permutations(range(12)), st.integers(0, 11), st.integers(1, 12))
def test_with_one_right_answer_its_rank_says_all(ranked: list[int], target: int, k: int) -> None:
    rank = ranked.index(target) + 1
    assert recall_at_k(ranked, [target], k) == float(rank <= k)
    expected = 1 / rank if rank <= k else 0.0
    assert average_precision_at_k(ranked, [target], k) == pytest.approx(expected)
