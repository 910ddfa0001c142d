"""Candidates of a query for a reranker to learn from: right ones, and wrong ones that look right.

Hard negatives that are no negatives do more harm than easy ones: RocketQA (arXiv 2010.08191, §4.2)
found that 70 % of the passages its retriever ranked first, and nobody had labelled, were right;
NV-Retriever (arXiv 2407.15831) compares ways to drop those too close to a positive, and ends better
with every one of them than without. So here
* a negative contradicts the wish by its own labels; where a label is missing, it is left alone;
* what the coarse stage ranks high is dropped if it nearly is one of the right pictures.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent
from models.datasets.manifest import ImageRow
from models.encoder.encoder import ImageTextEncoder
from models.presets import Preset
from models.query.composition import Composer
from models.query.text_requests import answer
from models.training.reranker.catalogue import AttributeTable, Relevance, decode_row
from models.training.reranker.queries import Query

_ONE_FACET_SHARE, _COARSE_SHARE = 0.5, 0.35  # of the negatives drawn; the rest is random
_RANDOM_POOL = 64  # as many random ones are at hand for a query


@dataclass(frozen=True)
class Candidate:
    """A picture that a reranker is asked about.

    Attributes:
        picture: Its number in the catalogue.
        fits: The right answer.
        why: Where it comes from, in words.
    """

    picture: int
    fits: bool
    why: str


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


class InMemoryRetriever:
    """A preset's encoder and composition over one catalogue."""

    def __init__(
        self, encoder: ImageTextEncoder, preset: Preset, gallery: NDArray[np.float32]
    ) -> None:
        """`gallery`: (N, D) unit rows, the embeddings of the catalogue's pictures."""
        spec = GallerySpec(
            encoder_fingerprint=encoder.fingerprint,
            embedding_dim=encoder.embedding_dim,
            preset="for training",
            rerank_px=preset.rerank_px,
            thumbnail_px=preset.rerank_px,
            built_at="for training",
        )
        self._encoder, self._gallery = encoder, gallery
        self._texts: dict[str, NDArray[np.float32]] = {}
        self._composer = Composer(spec, preset.composition)

    def read(self, queries: Sequence[Query]) -> None:
        """Embed all that queries say in large batches; one by one takes ten times as long."""
        said = {
            text
            for query in queries
            for text in (
                query.text, query.roles.target, *query.roles.preserve, *query.roles.desired,
                *query.roles.forbidden,
            )
        }  # fmt: skip
        unknown = sorted(said - self._texts.keys())
        for start in tqdm(range(0, len(unknown), _TEXTS_AT_ONCE), "read", unit="batch"):
            chunk = unknown[start : start + _TEXTS_AT_ONCE]
            self._texts.update(zip(chunk, self._encoder.encode_texts(chunk), strict=True))

    def search(self, query: Query, depth: int) -> list[int]:
        """The first ranks for a query that was `read`, best first; not its reference."""
        reference = self._gallery[query.reference]
        intent = ComposedIntent(**query.roles.model_dump(), source="client")
        asking = self._composer.embed("intersection", reference, query.text, intent)
        similarity = self._gallery @ answer(asking, self._encode_texts)
        similarity[query.reference] = -np.inf
        ranked: list[int] = np.argsort(-similarity, kind="stable")[:depth].tolist()
        return ranked

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [self._texts[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self._gallery.shape[1]), dtype=np.float32)

    def similarity(self, picture: int, others: Sequence[int]) -> float:
        """The highest cosine of a picture with any of some others."""
        return float((self._gallery[list(others)] @ self._gallery[picture]).max())


def choose(
    query: Query,
    labels: AttributeTable,
    coarse: InMemoryRetriever | None,
    limits: CandidateConfig,
    rng: random.Random,
) -> list[Candidate]:
    """Right and wrong candidates; wrong ones are the reference itself, pictures with one facet
    wrong, first ranks of the coarse stage, and some that are just wrong.

    Args:
        query: The query.
        labels: Of the whole catalogue.
        coarse: Finds first ranks; without it there are none.
        limits: How many, and how deep.
        rng: Chooses.

    Returns:
        At most `limits.candidates`, the right ones first; a catalogue may not have as many.
    """
    relevance = labels.relevance(query.attribute_query)
    most = max(1, limits.candidates // 3)
    right = rng.sample(query.answers, min(len(query.answers), rng.randint(1, most)))
    chosen = [Candidate(picture, True, "fits") for picture in right]
    taken = {*right}
    if relevance.misses[query.reference]:
        chosen.append(Candidate(query.reference, False, "the reference"))
        taken.add(query.reference)
    near = _one_facet_wrong(relevance)
    ranked = _ranked(query, relevance, coarse, limits)
    missing = np.flatnonzero(relevance.misses).tolist()
    anything = [(n, "random") for n in rng.sample(missing, min(len(missing), _RANDOM_POOL))]
    while len(chosen) < limits.candidates:
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
            picture, why = rng.choice(left)
            return Candidate(picture, False, why)
    return None


def _one_facet_wrong(relevance: Relevance) -> list[list[tuple[int, str]]]:
    """Per facet, the pictures that miss the wish by that facet alone."""
    wrong_facets = np.sum(list(relevance.wrong.values()), axis=0)
    alone = relevance.misses & (wrong_facets == 1)
    return [
        [(int(n), f"wrong {facet}") for n in np.flatnonzero(alone & wrong)]
        for facet, wrong in sorted(relevance.wrong.items())
    ]


def _ranked(
    query: Query, relevance: Relevance, coarse: InMemoryRetriever | None, limits: CandidateConfig
) -> list[tuple[int, str]]:
    if coarse is None:
        return []
    ranks = coarse.search(query, limits.coarse_depth)
    return [
        (picture, f"coarse rank {rank}")
        for rank, picture in enumerate(ranks, start=1)
        if relevance.misses[picture]
        and coarse.similarity(picture, query.answers) < limits.duplicate_similarity
    ]


_TEXTS_AT_ONCE = 256


def embed(encoder: ImageTextEncoder, rows: Sequence[ImageRow], kept: Path) -> NDArray[np.float32]:
    """Embed pictures, or read what an earlier run of the same encoder kept in `kept`.

    Returns:
        float32 (N, D), unit rows.
    """
    wanted = "\n".join([encoder.fingerprint, *(row.location for row in rows)])
    key = hashlib.sha256(wanted.encode()).hexdigest()
    if kept.exists():
        with np.load(kept) as saved:
            if str(saved["key"]) == key:
                known: NDArray[np.float32] = saved["rows"]
                return known
    made = []
    for start in tqdm(range(0, len(rows), encoder.batch_size), "embed", unit="batch"):
        chunk = rows[start : start + encoder.batch_size]
        made.append(encoder.encode_images([decode_row(row) for row in chunk]))
    gallery: NDArray[np.float32] = np.concatenate(made)
    np.savez(kept, rows=gallery, key=np.array(key))
    return gallery
