"""The final order: coarse candidates and the reranker's scores → one ranking. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from indexer.gallery.ports import Hit


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate in its final place.

    Attributes:
        candidate: What the coarse stage found.
        retrieval_rank: Its rank there, from 1.
        rerank_score: 0 to 1; None for what was not re-ranked.
        score: retrieval score + weight · rerank score, or the retrieval score alone.
    """

    candidate: Hit
    retrieval_rank: int
    rerank_score: float | None
    score: float


def fuse(
    candidates: Sequence[Hit], rerank_scores: Mapping[str, float], weight: float
) -> list[RankedCandidate]:
    """Order candidates by both stages.

    Candidates with a score change places among themselves only; every other one stays where the
    coarse stage put it. Half a re-ranking is therefore never worse than its own half: nobody
    rises or falls because the reranker did not get to them. Ties keep the coarse order.

    Args:
        candidates: Best first.
        rerank_scores: Image id → score, finite.
        weight: Of the rerank score.
    """
    ranked = [
        _ranked(candidate, rank, rerank_scores.get(candidate.image.image_id), weight)
        for rank, candidate in enumerate(candidates, start=1)
    ]
    places = [place for place, one in enumerate(ranked) if one.rerank_score is not None]
    # sorting is stable, so candidates with equal scores keep the coarse order
    scored = sorted((ranked[place] for place in places), key=lambda one: -one.score)
    for place, one in zip(places, scored, strict=True):
        ranked[place] = one
    return ranked


def _ranked(
    candidate: Hit, rank: int, rerank_score: float | None, weight: float
) -> RankedCandidate:
    score = candidate.retrieval_score
    if rerank_score is not None:
        score += weight * rerank_score
    return RankedCandidate(candidate, rank, rerank_score, score)
