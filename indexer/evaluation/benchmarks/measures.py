"""The published benchmarks' figures per query, made from the metrics."""

from collections.abc import Callable

from indexer.evaluation.types import Measure, Query, Ranked
from models.metrics.retrieval import average_precision_at_k, recall_at_k


def recall(
    k: int, label: str = "recall", applies: Callable[[Query], bool] = lambda _: True
) -> Measure:
    """`{label}@{k}`: whether the target, the first of the right answers, is among the first `k`."""

    def of(query: Query, ranked_ids: Ranked) -> float | None:
        return recall_at_k(ranked_ids, query.relevant_ids[:1], k) if applies(query) else None

    return Measure(f"{label}@{k}", of)


def mean_average_precision(k: int) -> Measure:
    """`mAP@{k}` over all right answers; the value of a query is its average precision."""
    return Measure(
        f"mAP@{k}",
        lambda query, ranked_ids: average_precision_at_k(ranked_ids, query.relevant_ids, k),
    )


def recall_of_any(k: int) -> Measure:
    """`recall@{k}`: whether any right answer is among the first `k`."""
    return Measure(
        f"recall@{k}", lambda query, ranked_ids: recall_at_k(ranked_ids, query.relevant_ids, k)
    )
