"""An embedding that exists already: its place in a file, read when it is needed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class InvalidEmbedding(ValueError):
    """A stored embedding is no direction: not finite, or zero; the message says which."""


@dataclass(frozen=True, slots=True)
class EmbeddingPlace:
    """Where one embedding lies.

    Attributes:
        path: The `.npy` file.
        offset: Of its first byte.
        dtype: Of its numbers, as numpy writes types.
        dim: D, how many there are.
    """

    path: str
    offset: int
    dtype: str
    dim: int

    def read(self) -> NDArray[np.float32]:
        """The embedding, float32 (D,), brought to unit length.

        Raises:
            OSError: The file cannot be read, or ends before.
            InvalidEmbedding: It has no direction.
        """
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.dim * np.dtype(self.dtype).itemsize)
        if len(data) != self.dim * np.dtype(self.dtype).itemsize:
            raise OSError(f"{self.path} ends before this embedding does")
        vector: NDArray[Any] = np.frombuffer(data, self.dtype).astype(np.float32)
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not np.isfinite(length) or length == 0:
            raise InvalidEmbedding(f"its embedding in {self.path} is zero or not finite")
        return (vector / np.float32(length)).astype(np.float32)
