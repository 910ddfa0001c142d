"""Text embeddings that are remembered."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from models.encoder.types import Embedding, Embeddings, EncodeTexts

_REMEMBERED_TEXTS = 20_000


class RememberedTexts:
    """Text embeddings by text: vocabularies are embedded once, not per query nor per gallery.

    Attributes:
        known: Text → float32 (D,) of what is remembered now.
    """

    def __init__(self, encode_texts: EncodeTexts, embedding_dim: int) -> None:
        """`encode_texts`: texts → float32 (B, `embedding_dim`) unit rows."""
        self._encode_texts = encode_texts
        self._dim = embedding_dim
        self._rows: OrderedDict[str, Embedding] = OrderedDict()
        self.known: Mapping[str, Embedding] = MappingProxyType(self._rows)

    def unknown(self, texts: Iterable[str]) -> list[str]:
        """Those that have not been embedded yet, each once."""
        return [text for text in dict.fromkeys(texts) if text not in self._rows]

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """Texts → float32 (B, D) unit rows."""
        if unknown := self.unknown(texts):
            self._rows.update(zip(unknown, self._encode_texts(unknown), strict=True))
        for text in texts:
            self._rows.move_to_end(text)
        rows = [self._rows[text] for text in texts]
        while len(self._rows) > _REMEMBERED_TEXTS:
            self._rows.popitem(last=False)
        return np.stack(rows) if rows else np.zeros((0, self._dim), dtype=np.float32)
