"""Candidates of a query for a reranker to learn from: right ones, and wrong ones that look right.

Hard negatives that are no negatives do more harm than easy ones: RocketQA (arXiv 2010.08191, §4.2)
found that 70 % of the passages its retriever ranked first, without being labelled so, were right;
NV-Retriever (arXiv 2407.15831) compares ways to drop those too close to a positive, and ends better
with every one of them than without. So here
* a negative contradicts the query by its own labels; where a label is missing, it is left alone;
* what the coarse stage ranks high is dropped if it nearly is one of the right pictures.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.training.reranker.catalogue import AttributeTable, Relevance
from models.training.reranker.queries import Query
from models.training.retrieval import InMemoryRetriever

_ONE_FACET_SHARE, _COARSE_SHARE = 0.5, 0.35  # of the negatives drawn; the rest is random
_RANDOM_POOL = 64  # as many random ones are at hand for a query


@dataclass(frozen=True)
class Candidate:
    """A picture that a reranker is asked about.

    Attributes:
        picture: Its number in the catalogue.
        relevant: Whether it is a right answer.
        origin: Where it comes from, in words.
    """

    picture: int
    relevant: bool
    origin: str


@dataclass(frozen=True)
class CandidateConfig:
    """How candidates are chosen.

    Attributes:
        candidates: The most per query.
        coarse_depth: How many of the coarse stage's first ranks count as hard.
        duplicate_similarity: Cosine from which such a picture counts as one of the right ones.
    """

    candidates: int
    coarse_depth: int
    duplicate_similarity: float


def sample_candidates(
    query: Query,
    attribute_table: AttributeTable,
    coarse: InMemoryRetriever | None,
    sampling: CandidateConfig,
    rng: random.Random,
) -> list[Candidate]:
    """Right and wrong candidates; wrong ones are the reference itself, pictures with one facet
    wrong, first ranks of the coarse stage, and some that are just wrong.

    Args:
        query: The query.
        attribute_table: Of the whole catalogue.
        coarse: Finds first ranks; without it there are none.
        sampling: How many, and how deep.
        rng: Chooses.

    Returns:
        At most `sampling.candidates`, the right ones first; a catalogue may not have as many.
    """
    relevance = attribute_table.relevance(query.attribute_query)
    most = max(1, sampling.candidates // 3)
    right = rng.sample(query.answers, min(len(query.answers), rng.randint(1, most)))
    chosen = [Candidate(picture, True, "right") for picture in right]
    taken = {*right}
    if relevance.irrelevant[query.reference]:
        chosen.append(Candidate(query.reference, False, "the reference"))
        taken.add(query.reference)
    near = _one_facet_wrong(relevance)
    ranked = _coarse_candidates(query, relevance, coarse, sampling)
    missing = np.flatnonzero(relevance.irrelevant).tolist()
    anything = [(n, "random") for n in rng.sample(missing, min(len(missing), _RANDOM_POOL))]
    while len(chosen) < sampling.candidates:
        candidate = _draw(near, ranked, anything, taken, rng)
        if candidate is None:
            break
        chosen.append(candidate)
        taken.add(candidate.picture)
    return chosen


def _draw(
    near: Sequence[Sequence[tuple[int, str]]], ranked: Sequence[tuple[int, str]],
    anything: Sequence[tuple[int, str]], taken: set[int], rng: random.Random,
) -> Candidate | None:  # fmt: skip
    """One more wrong picture; None if there is none left."""
    chance = rng.random()
    pools: list[Sequence[tuple[int, str]]] = [ranked, *near, anything]
    if chance < _ONE_FACET_SHARE:
        pools = [*rng.sample(list(near), len(near)), ranked, anything]
    elif chance > _ONE_FACET_SHARE + _COARSE_SHARE:
        pools = [anything]
    for pool in pools:
        left = [entry for entry in pool if entry[0] not in taken]
        if left:
            picture, origin = rng.choice(left)
            return Candidate(picture, False, origin)
    return None


def _one_facet_wrong(relevance: Relevance) -> list[list[tuple[int, str]]]:
    """Per facet, the pictures that contradict the query by that facet alone."""
    wrong_facets = np.sum(list(relevance.violations.values()), axis=0)
    alone = relevance.irrelevant & (wrong_facets == 1)
    return [
        [(int(n), f"wrong {facet}") for n in np.flatnonzero(alone & violations)]
        for facet, violations in sorted(relevance.violations.items())
    ]


def _coarse_candidates(
    query: Query, relevance: Relevance, coarse: InMemoryRetriever | None, sampling: CandidateConfig
) -> list[tuple[int, str]]:
    if coarse is None:
        return []
    ranks = coarse.search(query.reference, query.text, query.intent, sampling.coarse_depth + 1)
    others = [picture for picture in ranks if picture != query.reference][: sampling.coarse_depth]
    return [
        (picture, f"coarse rank {rank}")
        for rank, picture in enumerate(others, start=1)
        if relevance.irrelevant[picture]
        and coarse.similarity(picture, query.answers) < sampling.duplicate_similarity
    ]
