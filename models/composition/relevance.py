"""Where in a picture a phrase is seen: patches of its embedding against the phrase and its rivals.

A patch is classified zero-shot between the phrase and what could be there instead (`rivals`). The
share that the phrase gets is its relevance there. Without rivals every map looks the same, because
all patches are more like any caption of an object than like nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.composition.vector import Embedding, Embeddings


@dataclass(frozen=True)
class Patches:
    """A picture's patches.

    Attributes:
        embeddings: float32 (rows, columns, D), unit length.
        box: What they cover: left, top, right, bottom as shares of the picture's sides. Models
            crop what is not square (inside 0 to 1) or pad it (outside).
    """

    embeddings: NDArray[np.float32]
    box: tuple[float, float, float, float]


def relevance_map(
    patches: Patches, phrase: Embedding, against: Embeddings, logit_scale: float
) -> NDArray[np.float32]:
    """How much of each patch is the phrase.

    Args:
        patches: Of the picture.
        phrase: Its embedding, (D,).
        against: Its rivals', (n, D).
        logit_scale: The model's own, with which its cosines become logits.

    Returns:
        float32 (rows, columns), 0 to 1: the softmax share of the phrase.
    """
    logits = logit_scale * (patches.embeddings @ np.vstack([phrase[None], against]).T)
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))  # (rows, columns, 1 + n)
    share: NDArray[np.float32] = (shares[..., 0] / shares.sum(axis=-1)).astype(np.float32)
    return share
