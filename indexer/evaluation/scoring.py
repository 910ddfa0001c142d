"""Rankings → figures: a value per measure and query, and their means. Pure functions."""

from collections.abc import Mapping
from statistics import fmean

from indexer.evaluation.contracts import Benchmark, Ranked
from indexer.evaluation.predictions import check_predictions, under_protocol


def score(benchmark: Benchmark, ranked: Mapping[str, Ranked]) -> dict[str, dict[str, float]]:
    """Measure → query id → value, for the queries that the measure applies to.

    Rankings are put under the protocol first: where it takes the reference out or looks at a few
    images only, a ranking of the whole gallery will do. A short ranking counts what it lacks as
    wrong.

    Args:
        benchmark: Queries and measures; without measures (secret answers) the result is empty.
        ranked: Query id → ranked image ids, of every query.

    Raises:
        BenchmarkError: Not exactly one ranking without repetitions per query.
    """
    check_predictions(benchmark.queries, ranked)
    values: dict[str, dict[str, float]] = {measure.name: {} for measure in benchmark.measures}
    for query in benchmark.queries:
        ranked_ids = under_protocol(query, ranked[query.query_id])
        for measure in benchmark.measures:
            value = measure.of(query, ranked_ids)
            if value is not None:
                values[measure.name][query.query_id] = value
    return values


def means(
    benchmark: Benchmark, values: Mapping[str, Mapping[str, float]], kind: str | None = None
) -> dict[str, float]:
    """Measure or average → its value, in the benchmark's order.

    Args:
        benchmark: What was scored.
        values: From `score`.
        kind: Only over the queries of this kind.

    Returns:
        Without the measures that apply to none of the queries, and the averages over such.
    """
    wanted = {q.query_id for q in benchmark.queries if kind is None or kind in q.kinds}
    figures = {}
    for name, by_query in values.items():
        if chosen := [value for query_id, value in by_query.items() if query_id in wanted]:
            figures[name] = fmean(chosen)
    for name, parts in benchmark.averages.items():
        if all(part in figures for part in parts):
            figures[name] = fmean(figures[part] for part in parts)
    return figures
