"""Candidates of a query for a reranker to learn from: right ones, and wrong ones that look right.

Hard negatives that are no negatives do more harm than easy ones: RocketQA (arXiv 2010.08191, §4.2)
found that 70 % of the passages its retriever ranked first, without being labelled so, were right;
NV-Retriever (arXiv 2407.15831) compares ways to drop those too close to a positive, and ends better
with every one of them than without. So here
* a negative contradicts the query by its own labels; where a label is missing, it is left alone;
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

    def embed_texts(self, queries: Sequence[Query]) -> None:
        """Embed all that queries say in large batches; one by one takes ten times as long."""
        said = {
            text
            for query in queries
            for text in (
                query.text, query.intent.target, *query.intent.preserve, *query.intent.desired,
                *query.intent.forbidden,
            )
        }  # fmt: skip
        unknown = sorted(said - self._texts.keys())
        for start in tqdm(range(0, len(unknown), _TEXTS_AT_ONCE), "read", unit="batch"):
            chunk = unknown[start : start + _TEXTS_AT_ONCE]
            self._texts.update(zip(chunk, self._encoder.encode_texts(chunk), strict=True))

    def search(self, query: Query, depth: int) -> list[int]:
        """The first ranks for a query whose texts are embedded, best first; not its reference."""
        reference = self._gallery[query.reference]
        intent = ComposedIntent(**query.intent.model_dump(), source="client")
        embedding = self._composer.embed("intersection", reference, query.text, intent)
        similarity = self._gallery @ answer(embedding, self._encode_texts)
        similarity[query.reference] = -np.inf
        ranked: list[int] = np.argsort(-similarity, kind="stable")[:depth].tolist()
        return ranked

    def _encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [self._texts[text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self._gallery.shape[1]), dtype=np.float32)

    def similarity(self, picture: int, others: Sequence[int]) -> float:
        """The highest cosine of a picture with any of some others."""
        return float((self._gallery[list(others)] @ self._gallery[picture]).max())


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
    ranks = coarse.search(query, sampling.coarse_depth)
    return [
        (picture, f"coarse rank {rank}")
        for rank, picture in enumerate(ranks, start=1)
        if relevance.irrelevant[picture]
        and coarse.similarity(picture, query.answers) < sampling.duplicate_similarity
    ]


_TEXTS_AT_ONCE = 256


def embed(encoder: ImageTextEncoder, rows: Sequence[ImageRow], kept: Path) -> NDArray[np.float32]:
    """Embed pictures, or read what an earlier run of the same encoder kept in `kept`.

    Returns:
        float32 (N, D), unit rows.
    """
    identity = "\n".join([encoder.fingerprint, *(row.location for row in rows)])
    key = hashlib.sha256(identity.encode()).hexdigest()
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
