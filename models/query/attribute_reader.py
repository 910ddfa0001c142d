"""Reads what a reference image shows, in the gallery's own words: zero-shot, without an LLM.

A *subject* is one thing with its describing facets: sofa, red, striped. Subjects are found by
comparing the image with phrases such as "a red striped sofa"; where the gallery shows several
things in one image, also with pairs of them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import Facet
from models.encoder.types import Embedding, Embeddings, EncodeTexts

_MAX_PHRASES = 1000  # of the schema's combinations; beyond, each facet is cut to its best values
_PAIR_SHORTLIST = 40  # single phrases that pairs are made of
_PAIRS_COMPARED = 24  # pairs whose own text is embedded


@dataclass(frozen=True)
class DepictedItem:
    """One thing and its describing facet values, in the schema's order."""

    noun: str
    adjectives: tuple[tuple[str, str], ...]  # (facet, value)

    @property
    def phrase(self) -> str:
        """Like "a red striped sofa"."""
        words = " ".join([*(value for _, value in self.adjectives), self.noun])
        return f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"


class AttributeReader:
    """Knows a gallery's vocabulary; reads images with it."""

    def __init__(self, facets: Sequence[Facet], noun_facet: str, encode_texts: EncodeTexts) -> None:
        """Prepare for a schema.

        Args:
            facets: The gallery's schema.
            noun_facet: The keyword facet that names the thing.
            encode_texts: Texts → (B, D) unit rows; expected to remember what it has embedded.
        """
        words = [facet for facet in facets if facet.kind == "keyword" and facet.values]
        self._noun = next(facet for facet in words if facet.name == noun_facet)
        self._adjectives = [f for f in words if f is not self._noun and not f.context]
        self._encode_texts = encode_texts

    def read(self, reference: Embedding, nouns: Iterable[str] = ()) -> list[DepictedItem]:
        """What an image shows.

        Args:
            reference: The image's embedding, (D,).
            nouns: Things that are known to be there; one of the subjects will be each of them,
                as far as there is room for two.

        Returns:
            One subject, or two where the gallery has such images.
        """
        known = tuple(dict.fromkeys(nouns))[:2]
        subjects, embeddings = self._phrases(reference, known)  # n subjects, (n, D)
        scores = embeddings @ reference  # (n,)
        order = np.argsort(-scores)
        singles = [i for i in order if not known or subjects[i].noun in known]
        best = [subjects[singles[0]]]
        if not self._noun.multi_valued:
            return best
        pairs = self._pairs(subjects, embeddings, scores, order, known)
        if not pairs:
            return best
        texts = [f"{left.phrase} and {right.phrase}" for left, right in pairs]
        pair_scores = self._encode_texts(texts) @ reference  # (pairs,)
        winner = int(np.argmax(pair_scores))
        if len(known) == 2 or pair_scores[winner] > scores[singles[0]]:
            return list(pairs[winner])
        return best

    def vocabulary(self) -> list[str]:
        """The texts that every image is compared with; pairs of them depend on the image."""
        columns = self._columns()
        if _combinations(columns) > _MAX_PHRASES:
            return [value for column in columns for value in column]
        return [subject.phrase for subject in self._subjects(columns)]

    def _columns(self) -> list[list[str]]:
        """The values of every facet of a phrase, the noun last."""
        return [list(facet.values) for facet in [*self._adjectives, self._noun]]

    def _subjects(self, columns: Sequence[Sequence[str]]) -> list[DepictedItem]:
        """All combinations of the columns' values."""
        names = [facet.name for facet in self._adjectives]
        return [
            DepictedItem(values[-1], tuple(zip(names, values[:-1], strict=True)))
            for values in product(*columns)
        ]

    def _phrases(
        self, reference: Embedding, known: tuple[str, ...]
    ) -> tuple[list[DepictedItem], Embeddings]:
        """All subjects worth comparing with the image, and their phrases' embeddings."""
        columns = self._columns()
        while _combinations(columns) > _MAX_PHRASES:
            widest = max(columns, key=len)
            likely = np.argsort(-(self._encode_texts(widest) @ reference))
            columns[columns.index(widest)] = [widest[i] for i in likely[: max(1, len(widest) // 2)]]
        columns[-1] = list(dict.fromkeys([*known, *columns[-1]]))  # what is there is never cut
        subjects = self._subjects(columns)
        return subjects, self._encode_texts([subject.phrase for subject in subjects])

    @staticmethod
    def _pairs(
        subjects: list[DepictedItem],
        embeddings: Embeddings,
        scores: Embedding,
        order: NDArray[np.intp],
        known: tuple[str, ...],
    ) -> list[tuple[DepictedItem, DepictedItem]]:
        """The likeliest pairs of things: a pair's text is close to the mean of its two."""
        shortlist = list(order[:_PAIR_SHORTLIST])
        for noun in known:  # what is known to be there may be small in the picture
            shortlist += [i for i in order if subjects[i].noun == noun][:_PAIR_SHORTLIST]
        picked = np.array(list(dict.fromkeys(shortlist)))
        similar = embeddings[picked] @ embeddings[picked].T  # (m, m)
        together = (scores[picked][:, None] + scores[picked]) / np.sqrt(2 + 2 * similar)
        pairs = [
            (float(together[a, b]), subjects[i], subjects[j])
            for a, i in enumerate(picked)
            for b, j in enumerate(picked)
            if a < b
            and subjects[i].noun != subjects[j].noun
            and set(known) <= {subjects[i].noun, subjects[j].noun}
        ]
        pairs.sort(key=lambda pair: -pair[0])
        return [(left, right) for _, left, right in pairs[:_PAIRS_COMPARED]]


def _combinations(columns: Sequence[Sequence[str]]) -> int:
    return math.prod(len(column) for column in columns)
