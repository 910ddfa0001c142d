"""Reads what a reference image shows, in the gallery's own words: zero-shot, without an LLM.

A *depicted item* is one thing with its describing facets: sofa, red, striped. Items are found by
comparing the image with phrases such as "a red striped sofa"; where the gallery shows several
things in one image, also with pairs of them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import Facet
from models.encoder.types import Embedding, Embeddings
from models.query.text_requests import TextRequests

_MAX_PHRASES = 1000  # of the schema's combinations; beyond, each facet is cut to its best values
_PAIR_SHORTLIST = 40  # single phrases that pairs are made of
_PAIRS_COMPARED = 24  # pairs whose own text is embedded


@dataclass(frozen=True)
class DepictedItem:
    """One thing and its describing facet values.

    Attributes:
        category: What it is, a value of the gallery's noun facet.
        attributes: (facet, value), in the schema's order.
    """

    category: str
    attributes: tuple[tuple[str, str], ...]

    @property
    def phrase(self) -> str:
        """Like "a red striped sofa"."""
        return with_article(" ".join([*(value for _, value in self.attributes), self.category]))


def with_article(words: str) -> str:
    """Words as a thing: "a red sofa", "an orange sofa"; of no words "an object"."""
    words = words or "object"
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Reading:
    """What an image may show.

    Attributes:
        items: One thing, or two.
        score: Cosine of the image and the phrase; None where the phrase is not embedded yet.
        evidence: What it was found by.
    """

    items: tuple[DepictedItem, ...]
    score: float | None = None
    evidence: "Evidence | None" = field(default=None, compare=False, repr=False)

    @property
    def phrase(self) -> str:
        """Like "a red striped sofa and a blue lamp"."""
        return " and ".join(item.phrase for item in self.items)


def still_possible(
    readings: Sequence[Reading], reference: Embedding, known: Mapping[str, Embedding]
) -> list[Reading]:
    """The readings that may be the likeliest one: the best of those whose phrases are known, and
    those that are not.

    Args:
        readings: Of one image.
        reference: The image's embedding, (D,).
        known: Text → its embedding, (D,).

    Returns:
        At least one; exactly one, with a score, where all phrases are known.
    """
    scored: list[Reading] = []
    unknown: list[Reading] = []
    for reading in readings:
        row = known.get(reading.phrase) if reading.score is None else None
        if row is not None:
            reading = replace(reading, score=float(row @ reference))
        (unknown if reading.score is None else scored).append(reading)
    best = [max(scored, key=lambda reading: reading.score or 0.0)] if scored else []
    return [*best, *unknown]


@dataclass(frozen=True, eq=False)
class Evidence:
    """How well an image goes with each phrase of one thing.

    Attributes:
        items: The things, n of them.
        embeddings: Of their phrases, (n, D).
        scores: Their cosines with the image, (n,).
    """

    items: Sequence[DepictedItem]
    embeddings: Embeddings
    scores: Embedding

    def confidence(
        self, reading: Sequence[DepictedItem], number: int, facet: str, logit_scale: float
    ) -> float:
        """How likely a value is that was read: its share among all values of its facet, the rest
        of the reading being as it is (softmax).

        Args:
            reading: One thing, or two.
            number: Which of them, from 0.
            facet: A describing facet, or any other name for what the thing is.
            logit_scale: What turns cosines into logits.

        Returns:
            0 to 1.
        """
        here = reading[number]
        rivals = [row for row, item in enumerate(self.items) if _differs_in(item, here, facet)]
        logits = self.scores[rivals]
        if len(reading) == 2:
            other = self.items.index(reading[1 - number])
            similar = self.embeddings[rivals] @ self.embeddings[other]
            logits = (logits + self.scores[other]) / np.sqrt(2 + 2 * similar)
        shares = np.exp(logit_scale * (logits - logits.max()))
        return float(shares[[self.items[row] == here for row in rivals]].sum() / shares.sum())


def _differs_in(item: DepictedItem, other: DepictedItem, facet: str) -> bool:
    """Whether two things are alike but for one facet, or altogether."""
    if all(name != facet for name, _ in other.attributes):
        return item.attributes == other.attributes
    return item.category == other.category and all(
        one == another or one[0] == facet
        for one, another in zip(item.attributes, other.attributes, strict=True)
    )


class AttributeReader:
    """Knows a gallery's vocabulary; reads images with it."""

    def __init__(self, facets: Sequence[Facet], noun_facet: str) -> None:
        """Prepare for a schema.

        Args:
            facets: The gallery's schema.
            noun_facet: The keyword facet that names the thing.
        """
        words = [facet for facet in facets if facet.kind == "keyword" and facet.values]
        self._noun = next(facet for facet in words if facet.name == noun_facet)
        self._describing = [f for f in words if f is not self._noun and not f.context]
        self._all: tuple[list[DepictedItem], Embeddings] | None = None  # of a small vocabulary

    def read(
        self, reference: Embedding, categories: Iterable[str] = ()
    ) -> TextRequests[list[Reading]]:
        """What an image may show: one item, or where the gallery's images show several things,
        some pairs of them too.

        Asks for no text but the vocabulary's, and that once, unless the vocabulary is so large that
        its phrases depend on the image.

        Args:
            reference: The image's embedding, (D,).
            categories: Things that are known to be there; one of the items will be each of them,
                as far as there is room for two.
        """
        known = tuple(dict.fromkeys(categories))[:2]
        items, embeddings = yield from self._phrases(reference, known)  # n items, (n, D)
        scores = embeddings @ reference  # (n,)
        order = np.argsort(-scores)
        single = next(i for i in order if not known or items[i].category in known)
        evidence = Evidence(items, embeddings, scores)
        readings = [Reading((items[single],), float(scores[single]), evidence)]
        if self._noun.multi_valued:
            pairs = _likeliest_pairs(items, embeddings, scores, order, known)
            if pairs and len(known) == 2:  # two things are there: no single one will do
                readings = []
            readings += [Reading(pair, evidence=evidence) for pair in pairs]
        return readings

    def vocabulary(self) -> list[str]:
        """The texts that every image is compared with; pairs of them depend on the image."""
        columns = self._columns()
        if _combinations(columns) > _MAX_PHRASES:
            return [value for column in columns for value in column]
        return [item.phrase for item in self._items(columns)]

    def _columns(self) -> list[list[str]]:
        """The values of every facet of a phrase, the noun's last."""
        return [list(facet.values) for facet in [*self._describing, self._noun]]

    def _items(self, columns: Sequence[Sequence[str]]) -> list[DepictedItem]:
        """All combinations of the columns' values."""
        names = [facet.name for facet in self._describing]
        return [
            DepictedItem(values[-1], tuple(zip(names, values[:-1], strict=True)))
            for values in product(*columns)
        ]

    def _phrases(
        self, reference: Embedding, known: tuple[str, ...]
    ) -> TextRequests[tuple[list[DepictedItem], Embeddings]]:
        """All items worth comparing with the image, and their phrases' embeddings."""
        if self._all is not None:
            return self._all
        columns = self._columns()
        whole = _combinations(columns) <= _MAX_PHRASES
        while _combinations(columns) > _MAX_PHRASES:
            widest = max(columns, key=len)
            likely = np.argsort(-((yield widest) @ reference))
            columns[columns.index(widest)] = [widest[i] for i in likely[: max(1, len(widest) // 2)]]
        if not whole:
            columns[-1] = list(dict.fromkeys([*known, *columns[-1]]))  # what is there is never cut
        items = self._items(columns)
        embeddings = yield [item.phrase for item in items]
        if whole:
            self._all = items, embeddings
        return items, embeddings


def _likeliest_pairs(
    items: list[DepictedItem],
    embeddings: Embeddings,
    scores: Embedding,
    order: NDArray[np.intp],
    known: tuple[str, ...],
) -> list[tuple[DepictedItem, DepictedItem]]:
    """Pairs of different things, likeliest first: a pair's text is close to the mean of its two."""
    shortlist = list(order[:_PAIR_SHORTLIST])
    for category in known:  # what is known to be there may be small in the picture
        shortlist += [i for i in order if items[i].category == category][:_PAIR_SHORTLIST]
    picked = np.array(list(dict.fromkeys(shortlist)))
    similar = embeddings[picked] @ embeddings[picked].T  # (m, m)
    together = (scores[picked][:, None] + scores[picked]) / np.sqrt(2 + 2 * similar)
    categories = np.array([items[i].category for i in picked])
    left, right = np.triu_indices(len(picked), 1)  # (m · (m - 1) / 2,)
    fits = categories[left] != categories[right]
    for category in known:
        fits &= (categories[left] == category) | (categories[right] == category)
    left, right = left[fits], right[fits]
    best = np.argsort(-together[left, right], kind="stable")[:_PAIRS_COMPARED]
    return [(items[picked[left[n]]], items[picked[right[n]]]) for n in best]


def _combinations(columns: Sequence[Sequence[str]]) -> int:
    return math.prod(len(column) for column in columns)
