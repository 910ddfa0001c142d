"""Intervals and percentiles: what holds for any values, and what is known in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from models.metrics.bootstrap import (
    Interval,
    draw_counts,
    interval,
    latency,
    macro_interval,
    paired,
    percentile_interval,
)

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(values)
def test_an_interval_holds_the_mean_and_stays_among_the_values(numbers: list[float]) -> None:
    found = interval(numbers, resamples=200)
    assert found.low <= found.mean <= found.high
    assert found.mean == pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-9, abs=1e-6)
    slack = 1e-6
    assert min(numbers) - slack <= found.low
    assert found.high <= max(numbers) + slack


@given(values, st.integers(0, 2**32))
def test_a_seed_gives_the_same_interval_again(numbers: list[float], seed: int) -> None:
    assert interval(numbers, resamples=50, seed=seed) == interval(numbers, resamples=50, seed=seed)


def test_seeds_differ() -> None:
    numbers = np.random.default_rng(0).random(100)
    assert interval(numbers, seed=1) != interval(numbers, seed=2)


@given(values)
def test_a_list_paired_with_itself_differs_by_exactly_nothing(numbers: list[float]) -> None:
    assert paired(numbers, numbers) == Interval(0.0, 0.0, 0.0)


@pytest.mark.parametrize("numbers", [[0.25], [0.1] * 7])
def test_one_query_or_equal_values_leave_no_doubt(numbers: list[float]) -> None:
    found = interval(numbers)
    assert found.low == found.mean == found.high == pytest.approx(numbers[0])


def test_what_has_no_mean_is_refused() -> None:
    with pytest.raises(ValueError, match="one value or more"):
        interval([])
    with pytest.raises(ValueError, match="finite"):
        interval([0.5, math.nan])
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="percentiles"):
        latency([])


def test_the_interval_of_a_large_sample_is_the_normal_one() -> None:
    numbers = np.random.default_rng(3).random(10_000)
    half = 1.96 * numbers.std() / math.sqrt(numbers.size)
    found = interval(numbers)
    assert found.low == pytest.approx(found.mean - half, abs=half / 10)
    assert found.high == pytest.approx(found.mean + half, abs=half / 10)


def test_about_95_of_100_intervals_hold_the_true_mean() -> None:
    random = np.random.default_rng(11)
    intervals = [interval(random.random(60) < 0.3, seed=trial) for trial in range(300)]
    covered = np.mean([found.low <= 0.3 <= found.high for found in intervals])
    assert 0.91 <= covered <= 0.98


def test_pairing_cancels_what_makes_queries_hard_for_both() -> None:
    random = np.random.default_rng(5)
    worse = random.random(200)
    better = worse + 0.02 + 0.01 * random.random(200)
    assert paired(better.tolist(), worse.tolist()).low > 0
    assert interval(better).low < interval(worse).high


def test_swapping_sides_turns_the_difference_around() -> None:
    a, b = np.random.default_rng(2).random((2, 50)).tolist()
    forth, back = paired(a, b), paired(b, a)
    assert (back.mean, back.low, back.high) == pytest.approx((-forth.mean, -forth.high, -forth.low))


def test_a_macro_mean_weighs_measures_not_queries() -> None:
    # three queries of one measure at 1, one of another at 0
    table = [[1.0, math.nan]] * 3 + [[math.nan, 0.0]]
    assert macro_interval(table).mean == 0.5
    assert interval([1.0, 1.0, 1.0, 0.0]).mean == 0.75


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_macro_mean_of_one_measure_is_its_mean(numbers: list[float]) -> None:
    assert macro_interval([[number] for number in numbers], resamples=50) == interval(
        numbers, resamples=50
    )


@pytest.mark.parametrize(
    "table", [[], [[math.nan, 1.0]], [[math.nan, math.nan], [1.0, 1.0]], [1.0, 2.0]]
)
def test_a_measure_or_query_without_values_is_refused(table: ArrayLike) -> None:
    with pytest.raises(ValueError, match=r"."):
        macro_interval(table)


def test_latency_percentiles_worked_by_hand() -> None:
    found = latency(range(101))
    assert (found.p50_ms, found.p95_ms) == (50.0, 95.0)
    assert latency([7.0]).p95_ms == 7.0


def test_figures_of_drawn_queries_have_the_interval_of_their_mean() -> None:
    values = np.random.default_rng(1).random(50)
    drawn = draw_counts(50, resamples=4000)
    assert drawn.shape == (4001, 50)
    assert (drawn.sum(axis=1) == 50).all()
    found, known = percentile_interval(drawn @ values / 50), interval(values)
    assert found.mean == pytest.approx(known.mean)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.01)
