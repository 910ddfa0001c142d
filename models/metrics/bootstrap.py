"""How sure a mean over queries is: bootstrap intervals, paired differences, latency percentiles.

Queries are the unit that is resampled: a benchmark's queries stand for all that could be asked.
Knows nothing about searches, files or reports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 2000
_BLOCK_ELEMENTS = 2_000_000  # numbers drawn at a time: about 30 MB, however many queries there are

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over queries, or over pairs of theirs, and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Median and 95th percentile of the time per query, in milliseconds."""

    p50_ms: float
    p95_ms: float


def interval(values: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Mean of one value per query, with its percentile bootstrap interval over queries.

    The 2.5th and 97.5th percentile of the means of `resamples` samples drawn with replacement
    (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). A single query, and
    queries that are all equal, leave no doubt to estimate: the interval is the mean itself.

    Args:
        values: Shape (queries,); finite.
        resamples: How many samples are drawn.
        seed: Same values and seed give the same interval.

    Raises:
        ValueError: No values, or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"an interval needs one value or more, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a query's value is not a finite number")
    return macro_interval(array[:, None], resamples=resamples, seed=seed)


def macro_interval(table: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The unweighted mean of several measures' means, with its interval over queries.

    Every resample draws queries, averages each measure over the drawn queries it applies to, and
    averages those. A resample leaves a measure out that applies to none of its queries.

    Args:
        table: Shape (queries, measures); NaN where a measure does not apply to a query.
        resamples: How many samples are drawn.
        seed: Same table and seed give the same interval.

    Raises:
        ValueError: The table is empty, or has a query or a measure without any value.
    """
    values = np.asarray(table, dtype=np.float64)
    applies = ~np.isnan(values)  # (queries, measures)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"an interval needs queries and measures, got shape {values.shape}")
    if not applies.any(axis=0).all() or not applies.any(axis=1).all():
        raise ValueError("a query or a measure has no value at all")
    mean = float(np.nanmean(np.nanmean(values, axis=0)))
    if values.shape[0] == 1 or _is_constant(values):
        return Interval(mean, mean, mean)
    means = _resampled_means(np.where(applies, values, 0.0), applies, resamples, seed)
    edges = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # sums of drawn values round differently: the mean stays inside its own interval
    return Interval(mean, min(mean, float(edges[0])), max(mean, float(edges[1])))


def paired(
    values_a: Sequence[float],
    values_b: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of a − b over the same queries, with its interval.

    Both sides are resampled together, so what makes a query hard for both cancels out (paired
    bootstrap: Koehn, "Statistical Significance Tests for Machine Translation Evaluation", 2004;
    Sakai, "Evaluating Evaluation Metrics based on the Bootstrap", 2006). An interval without 0 is
    what a two-sided test at 5 % calls a difference.

    Args:
        values_a: Shape (queries,).
        values_b: Shape (queries,), the same queries in the same order.
        resamples: How many samples are drawn.
        seed: Same values and seed give the same interval.

    Raises:
        ValueError: The lengths differ, or as `interval`.
    """
    if len(values_a) != len(values_b):
        raise ValueError(f"{len(values_a)} values cannot be paired with {len(values_b)}")
    differences = np.asarray(values_a, dtype=np.float64) - np.asarray(values_b, dtype=np.float64)
    return interval(differences, resamples=resamples, seed=seed)


def draw_counts(queries: int, *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """How often each query is drawn, for figures of other than one value per query.

    Args:
        queries: How many queries there are.
        resamples: How many samples are drawn.
        seed: Same number and seed give the same draws.

    Returns:
        (1 + resamples, queries); the first row is the queries themselves, once each.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(queries, np.full(queries, 1 / queries), size=resamples)
    return np.vstack([np.ones((1, queries), np.int64), drawn])


def percentile_interval(figures: Floats) -> Interval:
    """The interval of a figure that was computed for every row of `draw_counts`.

    Args:
        figures: (1 + resamples,); the first is the figure itself.
    """
    low, high = np.quantile(figures[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(figures[0]), float(low), float(high))


def latency(latencies_ms: ArrayLike) -> Latency:
    """The 50th and 95th percentile, interpolated between neighbours (numpy's "linear").

    Args:
        latencies_ms: Shape (queries,), milliseconds.

    Raises:
        ValueError: No latencies.
    """
    array = np.asarray(latencies_ms, dtype=np.float64)
    if not array.size:
        raise ValueError("percentiles need one latency or more")
    p50_ms, p95_ms = np.quantile(array, [0.5, 0.95])
    return Latency(float(p50_ms), float(p95_ms))


def _is_constant(values: Floats) -> bool:
    return bool((np.nanmin(values, axis=0) == np.nanmax(values, axis=0)).all())


def _resampled_means(
    values: Floats, applies: NDArray[np.bool_], resamples: int, seed: int
) -> Floats:
    """Values (queries, measures), 0 where they do not apply → (resamples,) macro means."""
    means = []
    for drawn in _draws(values.shape[0], resamples, seed):
        total = np.zeros(len(drawn))
        measures = np.zeros(len(drawn))
        for column, counted in zip(values.T, applies.T, strict=True):
            queries = counted[drawn].sum(axis=1)  # (block,)
            total += column[drawn].sum(axis=1) / np.maximum(queries, 1)
            measures += queries > 0
        means.append(total / np.maximum(measures, 1))
    return np.concatenate(means)


def _draws(queries: int, resamples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Indices of drawn queries, (block, queries) at a time; the block size changes no draw."""
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK_ELEMENTS // queries)
    for start in range(0, resamples, block):
        size = (min(block, resamples - start), queries)
        yield random.integers(queries, size=size, dtype=np.int32)
