"""The facets of a gallery that has none of its own: made of a sample of its embeddings."""

import random
from collections.abc import Sequence

import numpy as np

from indexer.gallery.ports import Generation, ReusableEmbedding
from models.contracts.gallery import GallerySpec
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding
from models.query.made_facets.discovery import MAX_IMAGES, discover
from models.query.made_facets.lexicon import NOUN_FACET, FacetLexicon, facet_lexicon


class EmbeddingSample:
    """A uniform sample of embeddings that pass by, at most `MAX_IMAGES`; the same in each run of
    the same images.
    """

    def __init__(self) -> None:
        self._random, self._seen = random.Random(0), 0
        self._kept: list[Embedding | ReusableEmbedding] = []

    def add(self, embeddings: Sequence[Embedding | ReusableEmbedding]) -> None:
        """Let some pass: computed, (D,) each, or stored already (reservoir sampling)."""
        for embedding in embeddings:
            self._seen += 1
            if len(self._kept) < MAX_IMAGES:
                self._kept.append(embedding)
            elif (place := self._random.randrange(self._seen)) < MAX_IMAGES:
                self._kept[place] = embedding

    def rows(self, generation: Generation) -> list[Embedding]:
        """The sample, (D,) each; raises `GalleryError` where a stored one is gone."""
        stored = [one for one in self._kept if isinstance(one, ReusableEmbedding)]
        copies = iter(generation.embeddings_of(stored) if stored else ())
        return [next(copies) if isinstance(one, ReusableEmbedding) else one for one in self._kept]


def with_made_facets(
    spec: GallerySpec, sample: EmbeddingSample, generation: Generation, encoder: ImageTextEncoder
) -> GallerySpec:
    """A spec with facets made beside the catalogue's own; the same where the catalogue names its
    things, or where the encoder sees nothing that the lexicon names.

    Args:
        spec: Of the gallery's own attributes.
        sample: Of its embeddings.
        generation: Which holds those that were not computed now.
        encoder: The gallery's.

    Raises:
        GalleryError: A stored embedding is gone.
    """
    if spec.noun_facet is not None or any(facet.name == NOUN_FACET for facet in spec.facets):
        return spec
    rows = sample.rows(generation)
    if not rows:
        return spec
    lexicon = _beside(spec)
    made = discover(np.stack(rows), encoder.encode_texts, encoder.logit_scale, lexicon).facets
    if not made:
        return spec
    return spec.model_copy(update={"facets": (*spec.facets, *made), "noun_facet": NOUN_FACET})


def _beside(spec: GallerySpec) -> FacetLexicon:
    """The lexicon without the types that the catalogue has attributes of: of the same name, or
    with a value in common.
    """
    lexicon = facet_lexicon()
    taken = {facet.name.lower() for facet in spec.facets}
    taken |= {value.lower() for facet in spec.facets for value in facet.values}
    types = tuple(one for one in lexicon.types if not taken & {one.name, *one.words})
    return FacetLexicon(lexicon.things, types)
