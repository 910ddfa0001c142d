"""The final order, as properties."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.api.search.ranking import RankedCandidate, fuse
from indexer.gallery.ports import Hit
from tests.fakes import gallery_image

scores = st.floats(0, 1, allow_nan=False)


@st.composite
def coarse_lists(draw: st.DrawFn) -> list[Hit]:
    found = sorted(draw(st.lists(st.floats(-1, 1), max_size=12)), reverse=True)
    return [Hit(gallery_image(f"image-{n}"), score) for n, score in enumerate(found)]


@st.composite
def rerankings(draw: st.DrawFn) -> tuple[list[Hit], dict[str, float]]:
    """A coarse list and scores for any part of it."""
    candidates = draw(coarse_lists())
    scored = {c.image.image_id: draw(scores) for c in candidates if draw(st.booleans())}
    return candidates, scored


def names(ranked: list[RankedCandidate]) -> list[str]:
    return [one.candidate.image.image_id for one in ranked]


@given(rerankings(), st.floats(0, 10))
def test_nothing_is_lost_and_both_scores_are_told(
    reranking: tuple[list[Hit], dict[str, float]], weight: float
) -> None:
    candidates, scored = reranking
    ranked = fuse(candidates, scored, weight)
    assert sorted(one.retrieval_rank for one in ranked) == list(range(1, len(candidates) + 1))
    for one in ranked:
        assert one.candidate is candidates[one.retrieval_rank - 1]
        score = scored.get(one.candidate.image.image_id)
        assert one.rerank_score == score
        expected = one.candidate.retrieval_score + weight * (score or 0)
        assert math.isclose(one.score, expected, abs_tol=1e-12)


@given(rerankings(), st.floats(0, 10))
def test_what_was_not_scored_keeps_its_place(
    reranking: tuple[list[Hit], dict[str, float]], weight: float
) -> None:
    candidates, scored = reranking
    for place, one in enumerate(fuse(candidates, scored, weight), start=1):
        if one.rerank_score is None:
            assert one.retrieval_rank == place


@given(rerankings(), st.floats(0, 10))
def test_the_scored_are_in_the_order_of_their_scores_and_ties_in_the_coarse_order(
    reranking: tuple[list[Hit], dict[str, float]], weight: float
) -> None:
    candidates, scored = reranking
    ranked = [one for one in fuse(candidates, scored, weight) if one.rerank_score is not None]
    keys = [(-one.score, one.retrieval_rank) for one in ranked]
    assert keys == sorted(keys)


@given(coarse_lists(), st.floats(0, 10), st.integers(0, 12), st.data())
def test_scores_fall_when_the_best_candidates_are_all_scored(
    candidates: list[Hit], weight: float, depth: int, data: st.DataObject
) -> None:
    scored = {c.image.image_id: data.draw(scores) for c in candidates[:depth]}
    ranked = [one.score for one in fuse(candidates, scored, weight)]
    assert ranked == sorted(ranked, reverse=True)


@given(rerankings())
def test_a_weight_of_nothing_leaves_the_coarse_order(
    reranking: tuple[list[Hit], dict[str, float]],
) -> None:
    candidates, scored = reranking
    assert names(fuse(candidates, scored, 0)) == [c.image.image_id for c in candidates]


def test_an_example() -> None:
    found = [(n, 0.9 - rank / 10) for rank, n in enumerate("abcde")]
    candidates = [Hit(gallery_image(name), score) for name, score in found]
    # c could not be scored, e was too far down to be
    ranked = fuse(candidates, {"a": 0.1, "b": 0.2, "d": 0.9}, weight=1.0)
    assert names(ranked) == ["d", "a", "c", "b", "e"]
    assert [one.retrieval_rank for one in ranked] == [4, 1, 3, 2, 5]
