"""Retrieval metrics as the field defines them: pure functions on ranked ids.

Both follow CIRCO's evaluator (arXiv 2303.15247, §6; `evaluation.py` of miccunifi/CIRCO), and behave
alike at the edges: a list shorter than `k` counts what it lacks as wrong, a list that repeats an id
is refused, and so is a query without right answers, which has no value.
"""

from collections.abc import Collection, Hashable, Sequence


def recall_at_k(
    ranked_ids: Sequence[Hashable], relevant_ids: Collection[Hashable], k: int
) -> float:
    """1.0 if any right answer is among the first `k`, else 0.0 (the retrieval field's recall@K).

    With one right answer, the target, this is recall@K of FashionIQ (arXiv 1905.12794), of CIRR
    (arXiv 2108.04024), of CIRCO and of GeneCIS (arXiv 2306.07969).

    Raises:
        ValueError: No right answers, `k` below 1, or an id predicted twice.
    """
    _check(ranked_ids, relevant_ids, k)
    relevant = set(relevant_ids)
    return float(any(image_id in relevant for image_id in ranked_ids[:k]))


def average_precision_at_k(
    ranked_ids: Sequence[Hashable], relevant_ids: Collection[Hashable], k: int
) -> float:
    """AP@k = Σ_{i≤k} precision@i · relevant_i / min(number of right answers, k), in [0, 1].

    Its mean over queries is CIRCO's mAP@K.

    Raises:
        ValueError: No right answers, `k` below 1, or an id predicted twice.
    """
    _check(ranked_ids, relevant_ids, k)
    relevant = set(relevant_ids)
    hits, total = 0, 0.0
    for rank, image_id in enumerate(ranked_ids[:k], start=1):
        if image_id in relevant:
            hits += 1
            total += hits / rank
    return total / min(len(relevant), k)


def _check(ranked_ids: Sequence[Hashable], relevant_ids: Collection[Hashable], k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if not relevant_ids:
        raise ValueError("a query without right answers cannot be scored")
    if len(set(ranked_ids)) != len(ranked_ids):
        raise ValueError("an image id is predicted twice")
