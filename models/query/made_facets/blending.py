"""Target, reference and text in one query embedding, for galleries whose facets are made: what the
lexicon has no word for is in the reference and the text alone.
"""

from collections.abc import Sequence

import numpy as np

from models.contracts.gallery import Facet
from models.encoder.types import Embedding, Embeddings

# on the demo gallery without attributes: hardly less with the whole lexicon, much more without
# a part of it
_REFERENCE, _CHANGE, _TEXT = 1.0, 0.6, 0.3
_MAX_DIRECTIONS = 8
_MIN_STRENGTH = 0.1  # of a direction, as a share of the strongest's


def context_phrases(facets: Sequence[Facet]) -> list[str]:
    """Phrases that differ in the context alone, one for each value."""
    return [
        f"an object in the {value}"
        for facet in facets
        if facet.made and facet.context
        for value in facet.values
    ]


def blend(
    targets: Embeddings, read: Embedding, reference: Embedding, text: Embedding, context: Embeddings
) -> Embeddings:
    """Query embeddings: norm(T(target) + v without its context + .6 (T(target) − T(as read)) + .3
    T(text)), float32 (A, D).

    Args:
        targets: Of the alternatives in words, (A, D).
        read: Of the phrase that the reference was read as, (D,).
        reference: The reference image's embedding v, (D,).
        text: Of the modification text, (D,).
        context: Of `context_phrases`, (C, D); the directions in which they differ are taken out of
            the reference.
    """
    directions = _directions(context)  # (K, D)
    kept = reference - (directions @ reference) @ directions
    rows = targets + _REFERENCE * kept + _CHANGE * (targets - read) + _TEXT * text
    blended: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return blended


def _directions(context: Embeddings) -> Embeddings:
    """Orthonormal directions in which the rows differ, (K, D)."""
    if len(context) < 2:
        return context[:0]
    _, strengths, rows = np.linalg.svd(context - context.mean(0), full_matrices=False)
    directions: Embeddings = rows[strengths > _MIN_STRENGTH * strengths[0]][:_MAX_DIRECTIONS]
    return directions
