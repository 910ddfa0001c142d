"""Rankings → figures: a value per measure and query, and their means. Pure functions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from indexer.evaluation.types import Benchmark, BenchmarkError, Query, Ranked


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


# CIRR asks every pair twice: in the whole split, and in its image set. The queries differ in their
# ids; the server's files, both keyed by the bare id of the pair, in what they call their metric.
SUBSET_SUFFIX = "/subset"
SUBSET_METRIC = "recall_subset"


def read_predictions(path: Path, benchmark: Benchmark) -> dict[str, list[str]]:
    """Stored top-k lists, query id → ranked image ids.

    A file holds a JSON object, query id → list of ids (text or whole numbers), best first. The
    files of the benchmarks' servers are such files; their `version` is passed over. A benchmark
    whose server takes two files is read from the folder that holds both.

    Args:
        path: A file, or a folder whose `*.json` are read together.
        benchmark: What the lists answer.

    Raises:
        BenchmarkError: Not such a file, or not one list without repetitions per query.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    predictions: dict[str, list[str]] = {}
    for file in files:
        for query_id, ranked_ids in _read(file).items():
            if query_id in predictions:
                raise BenchmarkError(f"{file}: query {query_id} is in another file, too")
            predictions[query_id] = ranked_ids
    check_predictions(benchmark.queries, predictions, str(path))
    return predictions


def check_predictions(
    queries: Sequence[Query], predictions: Mapping[str, Ranked], where: str = "the predictions"
) -> None:
    """Refuses predictions that are not exactly one list without repetitions per query.

    Raises:
        BenchmarkError: The message counts and names the queries; `where` opens it.
    """
    known = {query.query_id for query in queries}
    if unknown := [query_id for query_id in predictions if query_id not in known]:
        raise BenchmarkError(
            f"{where}: {len(unknown)} query ids are not of this benchmark, first {unknown[0]!r}"
        )
    if missing := [q.query_id for q in queries if q.query_id not in predictions]:
        raise BenchmarkError(
            f"{where}: {len(missing)} of {len(queries)} queries have no list of ids, "
            f"first {missing[0]!r}"
        )
    for query_id, ranked_ids in predictions.items():
        if len(set(ranked_ids)) != len(ranked_ids):
            raise BenchmarkError(f"{where}: query {query_id} has an image id twice")


def under_protocol(query: Query, ranked_ids: Ranked) -> list[str]:
    """The ranking without what the query's protocol leaves out: the reference, and strangers.

    What `filter` leaves out is not known here; who asks the API has to send it.
    """
    among = set(query.among)
    return [
        image_id
        for image_id in ranked_ids
        if (not among or image_id in among)
        and not (query.excludes_reference and image_id == query.reference_id)
    ]


def leading(query: Query, ranked_ids: Ranked, count: int) -> list[str]:
    """The first `count` ids under the protocol: what a server is sent.

    Raises:
        BenchmarkError: There are fewer.
    """
    ids = under_protocol(query, ranked_ids)[:count]
    if len(ids) < count:
        raise BenchmarkError(
            f"query {query.query_id}: {len(ids)} ids are left under the protocol, "
            f"the submission takes {count}"
        )
    return ids


def _read(file: Path) -> dict[str, list[str]]:
    try:
        values = json.loads(file.read_text("utf-8"), object_pairs_hook=_without_repetitions)
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise BenchmarkError(f"{file} must be a JSON object, query id → list of image ids")
    values.pop("version", None)
    suffix = SUBSET_SUFFIX if values.pop("metric", None) == SUBSET_METRIC else ""
    return {query_id + suffix: _ids(ids, query_id, file) for query_id, ids in values.items()}


def _without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a query is in it twice")
    return values


def _ids(values: Any, query_id: str, file: Path) -> list[str]:
    if not isinstance(values, list):
        raise BenchmarkError(f"{file}: query {query_id} must have a list of image ids")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BenchmarkError(
                f"{file}: query {query_id}: an image id is text or a whole number, found {value!r}"
            )
    return [str(value) for value in values]
