"""What encoders give: the arrays' names and shapes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


Embeddings = NDArray[np.float32]  # (B, D)

EncodeTexts = Callable[[Sequence[str]], Embeddings]

Embedding = NDArray[np.float32]  # (D,)
