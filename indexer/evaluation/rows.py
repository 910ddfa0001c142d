"""A line of the report's tables: one configuration's figures, each with its interval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from indexer.evaluation.contracts import Configuration
from indexer.evaluation.statistics import Interval, Latency, interval, macro_interval, paired

Values = Mapping[str, float]


@dataclass(frozen=True)
class Score:
    """A mean with its interval, and how many queries it is the mean of."""

    interval: Interval
    queries: int


@dataclass(frozen=True)
class Row:
    """One configuration's line in the tables.

    Attributes:
        configuration: The way to search.
        queries: How many were answered.
        measures: Measure → score; a measure that applied to no query is absent.
        averages: Average of measures → score; as `measures`.
        latency: Per query.
        degraded: How many answers were degraded.
        reasons: Reason → how many answers named it, the most frequent first; an answer may name
            several.
        difference: Headline minus the baseline's, over the queries both have a value for; None for
            the baseline itself and without a headline.
        kinds: Kind of query → score of the headline, the largest kind first.
    """

    configuration: Configuration
    queries: int
    measures: Mapping[str, Score]
    averages: Mapping[str, Score]
    latency: Latency
    degraded: int
    reasons: Mapping[str, int]
    difference: Score | None
    kinds: Mapping[str, Score]


def scores(values: Mapping[str, Iterable[float]]) -> dict[str, Score]:
    """Name → values per query to name → score; a name without any value is left out."""
    lists = {name: list(group) for name, group in values.items()}
    return {name: Score(interval(group), len(group)) for name, group in lists.items() if len(group)}


def averages(parts: Mapping[str, Sequence[str]], values: Mapping[str, Values]) -> dict[str, Score]:
    """Unweighted means of measures.

    Args:
        parts: Name of the average → its measures.
        values: Measure → query id → value.

    Returns:
        Name → score, over all queries that any of its measures applies to; an average with a
        measure that applied to no query is left out.
    """
    made = {}
    for name, measures in parts.items():
        columns = [values.get(measure, {}) for measure in measures]
        ids = list(dict.fromkeys(query_id for column in columns for query_id in column))
        if all(columns):
            table = [[column.get(query_id, np.nan) for column in columns] for query_id in ids]
            made[name] = Score(macro_interval(table), len(ids))
    return made


def difference(values: Values, baseline: Values) -> Score | None:
    """Values minus the baseline's over the queries both have; None if there are none."""
    shared = [query_id for query_id in values if query_id in baseline]
    if not shared:
        return None
    pairs = paired([values[i] for i in shared], [baseline[i] for i in shared])
    return Score(pairs, len(shared))
