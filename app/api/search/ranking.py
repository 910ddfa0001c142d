"""The final order: candidates as retrieved and the reranker's scores → one ranking. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from indexer.gallery.ports import Hit
from models.query.fusion import fused_order, fused_score

T = TypeVar("T")


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate in its final place.

    Attributes:
        candidate: What was retrieved.
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
    """Order candidates by both stages, see `fused_order`.

    Args:
        candidates: As retrieved, best first.
        rerank_scores: Image id → score, finite.
        weight: w in retrieval score + w · rerank score.
    """
    reranked = [rerank_scores.get(candidate.image.image_id) for candidate in candidates]
    retrieved = [candidate.retrieval_score for candidate in candidates]
    return [
        RankedCandidate(
            candidates[place],
            place + 1,
            reranked[place],
            fused_score(retrieved[place], reranked[place], weight),
        )
        for place in fused_order(retrieved, reranked, weight)
    ]


def demoted(ordered: Sequence[T], contradicting: Sequence[bool]) -> list[T]:
    """Those that contradict the query behind the others, never away; else the order stays."""
    paired = list(zip(ordered, contradicting, strict=True))
    return [one for one, against in sorted(paired, key=lambda pair: pair[1])]
