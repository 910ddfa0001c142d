"""Retrieval scores and rerank scores → one order. Pure."""

from collections.abc import Sequence


def fused_score(retrieval_score: float, rerank_score: float | None, weight: float) -> float:
    """Retrieval score + weight · rerank score; the retrieval score alone without a rerank score."""
    return retrieval_score if rerank_score is None else retrieval_score + weight * rerank_score


def fused_order(
    retrieval_scores: Sequence[float], rerank_scores: Sequence[float | None], weight: float
) -> list[int]:
    """Places of the candidates, best first.

    Candidates with a rerank score change places among themselves only; every other one stays where
    it was retrieved. A re-ranking that ends early is therefore right as far as it went: no
    candidate rises or falls for want of a score. Ties keep the order of retrieval.

    Args:
        retrieval_scores: In the order of retrieval.
        rerank_scores: Of the same candidates, finite; None for those without one.
        weight: Of the rerank score.

    Returns:
        Indices into the arguments.
    """
    scores = [
        fused_score(retrieved, reranked, weight)
        for retrieved, reranked in zip(retrieval_scores, rerank_scores, strict=True)
    ]
    places = [place for place, score in enumerate(rerank_scores) if score is not None]
    order = list(range(len(scores)))
    # sorting is stable: candidates with equal scores keep the order of retrieval
    for place, best in zip(places, sorted(places, key=lambda one: -scores[one]), strict=True):
        order[place] = best
    return order
