"""Makes the facets of a gallery that has no attributes: which words of a lexicon its encoder can
see in its images, by type.

Things first; then each other type in phrases with the thing that an image shows, against the
thing alone: bare words would leave many that are not there. Pure numpy over embeddings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import Facet
from models.encoder.types import Embeddings, EncodeTexts
from models.query.attribute_reader import with_article
from models.query.made_facets.lexicon import NOUN_FACET, FacetLexicon, WordType, facet_lexicon
from models.query.made_facets.selection import Scores, eliminate, merge_variants, shortlist

MAX_IMAGES = 2000  # of a sample
MIN_MARGIN = 0.5  # nats by which a word must win on average
_MAX_THINGS = 250  # that are looked at closely
_MAX_PHRASES = 6000  # of one type, with things
_MAX_PAIRED = 60  # things that pairs are made of
_MIN_IMAGES = 50  # of fewer, nothing is sure
_MIN_THINGS = 2  # else there is nothing to tell apart
_BY_CHANCE = 2  # times as many things as where images mean nothing are found, or none are there
_MIN_DESCRIBED = 0.02  # share of the images that a describing facet must say something of
_MIN_PAIRS = 0.01  # share of images that show two things, for the gallery to have such
# a bare noun is nearer to pictures of it in some circumstances than in others; their mean is not
_CIRCUMSTANCES = (
    "{}", "red {}", "blue {}", "black {}", "white {}", "{} in the room", "{} in the street",
)  # fmt: skip


@dataclass(frozen=True)
class Discovery:
    """The facets that were made.

    Attributes:
        facets: Describing ones first, then the context's, the noun's last; empty: the encoder sees
            nothing here that the lexicon names.
    """

    facets: tuple[Facet, ...]


class _Texts:
    """Text embeddings, each computed once."""

    def __init__(self, encode_texts: EncodeTexts) -> None:
        self._encode, self._rows = encode_texts, dict[str, NDArray[np.float32]]()

    def __call__(self, texts: Sequence[str]) -> Embeddings:
        if new := [text for text in dict.fromkeys(texts) if text not in self._rows]:
            self._rows.update(zip(new, self._encode(new), strict=True))
        return np.stack([self._rows[text] for text in texts])


def discover(
    images: Embeddings,
    encode_texts: EncodeTexts,
    logit_scale: float,
    lexicon: FacetLexicon | None = None,
) -> Discovery:
    """Make facets of a sample of a gallery.

    Args:
        images: The sample's embeddings, (N, D) unit rows; of more than `MAX_IMAGES` the first.
        encode_texts: The gallery's encoder.
        logit_scale: What turns its cosines into logits.
        lexicon: Instead of the shipped one.
    """
    images, lexicon = images[:MAX_IMAGES], lexicon or facet_lexicon()
    if len(images) < _MIN_IMAGES or not lexicon.things:
        return Discovery(())
    return _Discoverer(images, _Texts(encode_texts), logit_scale, lexicon).run()


class _Discoverer:
    """One run over one sample."""

    def __init__(
        self, images: Embeddings, texts: _Texts, scale: float, lexicon: FacetLexicon
    ) -> None:
        self._images, self._texts, self._scale = images, texts, scale
        self._lexicon = lexicon

    def run(self) -> Discovery:
        things = self._find_things(self._images)
        by_chance = len(self._find_things(_turned(self._images)))
        if len(things) <= _BY_CHANCE * by_chance:
            return Discovery(())
        single = self._shows_one(things)
        if single.sum() >= _MIN_THINGS:
            things = self._find_things(self._images[single])
        if len(things) < _MIN_THINGS:
            return Discovery(())
        shown = self._images[single] if single.any() else self._images
        facets = [
            facet
            for one in self._lexicon.types
            if (facet := self._describe(one, shown, things)) is not None
        ]
        pairs = float(1 - single.mean()) >= _MIN_PAIRS
        noun = Facet(
            name=NOUN_FACET,
            kind="keyword",
            values=self._most_frequent(things, shown),
            multi_valued=pairs,
            made=True,
        )
        facets = [
            facet.model_copy(update={"multi_valued": pairs}) if not facet.context else facet
            for facet in facets
        ]
        return Discovery((*facets, noun))

    def _scores(self, images: Embeddings, texts: Embeddings) -> Scores:
        scores: Scores = self._scale * (images @ texts.T)
        return scores

    def _typical(self, things: Sequence[str]) -> Embeddings:
        """Mean embeddings of things over circumstances, (M, D)."""
        means: Embeddings = np.mean(
            [
                self._texts([with_article(said.format(thing)) for thing in things])
                for said in _CIRCUMSTANCES
            ],
            axis=0,
        )
        return means

    def _find_things(self, images: Embeddings) -> list[str]:
        """The things that can be told apart in these images."""
        bare = self._texts([with_article(thing) for thing in self._lexicon.things])
        looked_at = shortlist(self._scores(images, bare), _MAX_THINGS)
        words = [self._lexicon.things[i] for i in looked_at]
        scores = self._scores(images, self._typical(words))
        chosen = merge_variants(eliminate(scores, MIN_MARGIN), scores, words)
        left = eliminate(scores[:, chosen], MIN_MARGIN)
        return [words[chosen[i]] for i in left]

    def _shows_one(self, things: Sequence[str]) -> NDArray[np.bool_]:
        """Which images no pair of things fits better than one thing, (N,)."""
        usual = self._most_frequent(things, self._images)[:_MAX_PAIRED]
        pairs = [f"{with_article(a)} and {with_article(b)}" for a, b in combinations(usual, 2)]
        alone = self._scores(self._images, self._texts([with_article(one) for one in things]))
        together = self._scores(self._images, self._texts(pairs))
        one: NDArray[np.bool_] = together.max(1) <= alone.max(1)
        return one

    def _most_frequent(self, things: Sequence[str], images: Embeddings) -> tuple[str, ...]:
        best = self._scores(images, self._typical(things)).argmax(1)
        often = np.bincount(best, minlength=len(things))
        return tuple(things[i] for i in np.argsort(-often, kind="stable"))

    def _describe(self, one: WordType, images: Embeddings, things: Sequence[str]) -> Facet | None:
        """The facet of one type; None: the encoder does not see it here."""
        usual = self._most_frequent(things, images)[: max(1, _MAX_PHRASES // len(one.words))]
        best = self._scores(images, self._typical(usual)).argmax(1)  # (N,)
        alone = self._texts([with_article(thing) for thing in usual])  # (T, D)
        gains = np.empty((len(images), len(one.words)), np.float32)
        for place, thing in enumerate(usual):
            phrases = self._texts([one.phrases(word, thing) for word in one.words])
            here = best == place
            gains[here] = self._scores(images[here], phrases - alone[place])
        nothing = np.zeros(len(images), np.float32)
        chosen = merge_variants(eliminate(gains, MIN_MARGIN, nothing), gains, one.words)
        if not chosen:
            return None
        won = gains[:, chosen].max(1) > 0
        alone_in_it = len(chosen) == 1 and one.plain is None and not one.context
        if won.mean() < _MIN_DESCRIBED or alone_in_it:
            return None
        often = np.bincount(gains[:, chosen].argmax(1)[won], minlength=len(chosen))
        values = [one.words[chosen[i]] for i in np.argsort(-often, kind="stable")]
        return Facet(
            name=one.name,
            kind="keyword",
            values=(*([one.plain] if one.plain else []), *values),
            context=one.context,
            made=True,
        )


def _turned(images: Embeddings) -> Embeddings:
    """The same images, (N, D), turned at random about their mean: spread as before, but what their
    directions meant is lost.
    """
    square = np.random.default_rng(0).normal(size=(images.shape[1], images.shape[1]))
    rotation = np.linalg.qr(square)[0].astype(np.float32)
    mean = images.mean(0)
    turned: Embeddings = mean + (images - mean) @ rotation
    return turned
