"""Where in a picture a phrase is seen: patches of its embedding against the phrase and others.

A patch is classified zero-shot between the phrase and what could be there instead
(`contrast_phrases`). The share that the phrase gets is its relevance there. Without contrast every
map looks the same, because all patches are more like any caption of an object than like nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import Facet
from models.encoder.types import Embedding, Embeddings, Patches
from models.query.facet_linking import link_facets


def relevance_map(
    patches: Patches, phrase: Embedding, against: Embeddings, logit_scale: float
) -> NDArray[np.float32]:
    """How much of each patch is the phrase.

    Args:
        patches: Of the picture.
        phrase: Its embedding, (D,).
        against: Its contrast phrases', (n, D).
        logit_scale: The model's own, with which its cosines become logits.

    Returns:
        float32 (rows, columns), 0 to 1: the softmax share of the phrase.
    """
    logits = logit_scale * (patches.embeddings @ np.vstack([phrase[None], against]).T)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))  # (rows, columns, 1 + n)
    share: NDArray[np.float32] = (shares[..., 0] / shares.sum(axis=-1)).astype(np.float32)
    return share


_UNSPECIFIC = ("a photo", "a background", "something else")  # where no facet gives any


@dataclass(frozen=True)
class ContrastPhrases:
    """What could be seen instead of a phrase.

    Attributes:
        phrases: Each of them something else.
        facet: The facet the phrase speaks of; None: a gallery without nouns, a phrase in none of
            its words.
    """

    phrases: list[str]
    facet: str | None


def contrast_phrases(
    phrase: str, facets: Sequence[Facet], noun_facet: str | None
) -> ContrastPhrases:
    """What could be seen instead of a phrase.

    The other values of the facet the phrase speaks of: that of its noun, if it names one, else of
    the first value it names. Phrases in none of the gallery's words are compared with its nouns.
    """
    words = [facet for facet in facets if facet.kind == "keyword" and facet.values]
    named = link_facets(phrase, words)
    facet_names = [mention.facet for mention in named]
    spoken_of = noun_facet if noun_facet in facet_names or not named else facet_names[0]
    there = {mention.value for mention in named}
    values = next((facet.values for facet in words if facet.name == spoken_of), ())
    others = [value for value in values if value not in there]
    return ContrastPhrases(others or list(_UNSPECIFIC), spoken_of)
