"""Reads what a reference image shows, in the gallery's own words: zero-shot, without an LLM.

A *depicted item* is one thing with its describing facets: sofa, red, striped. Items are found by
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
        words = " ".join([*(value for _, value in self.attributes), self.category])
        return f"{'an' if words[:1].lower() in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True)
class Readings:
    """What an image may show: one item, or one of some pairs. The pairs' texts decide.

    Attributes:
        single: The likeliest item.
        single_score: Cosine of the image and the item's phrase.
        pairs: The likeliest pairs, best first by an estimate; none where the gallery's images show
            one thing each.
        two_known: Whether two things are known to be there, so that it is a pair.
    """

    single: DepictedItem
    single_score: float
    pairs: Sequence[tuple[DepictedItem, DepictedItem]] = ()
    two_known: bool = False

    @property
    def alternatives(self) -> list[tuple[DepictedItem, ...]]:
        """The single item, then the pairs."""
        return [(self.single,), *self.pairs]

    @property
    def texts(self) -> list[str]:
        """The pairs in words: what `choose` wants the embeddings of."""
        return [f"{left.phrase} and {right.phrase}" for left, right in self.pairs]

    def choose(self, reference: Embedding, pair_embeddings: Embeddings) -> int:
        """Index of the likeliest alternative.

        Args:
            reference: The image's embedding, (D,).
            pair_embeddings: Of `texts`, (pairs, D).
        """
        if not self.pairs:
            return 0
        scores = pair_embeddings @ reference  # (pairs,)
        best = int(np.argmax(scores))
        return best + 1 if self.two_known or scores[best] > self.single_score else 0


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

    def read(self, reference: Embedding, categories: Iterable[str] = ()) -> TextRequests[Readings]:
        """What an image may show; asks for no text but the vocabulary's, and that once, unless the
        vocabulary is so large that its phrases depend on the image.

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
        pairs = (
            _likeliest_pairs(items, embeddings, scores, order, known)
            if self._noun.multi_valued
            else []
        )
        return Readings(items[single], float(scores[single]), pairs, len(known) == 2)

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
