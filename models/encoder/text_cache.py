"""A bounded cache of text embeddings."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from models.encoder.types import Embedding, Embeddings, EncodeTexts

_MAX_TEXTS = 20_000


class TextEmbeddingCache:
    """Text embeddings by text: vocabularies are embedded once, not per query nor per gallery.

    Attributes:
        known: Text → float32 (D,) of what is known now.
    """

    def __init__(
        self, encode_texts: EncodeTexts, embedding_dim: int, max_texts: int = _MAX_TEXTS
    ) -> None:
        """Start empty.

        Args:
            encode_texts: Texts → float32 (B, `embedding_dim`) unit rows.
            embedding_dim: D.
            max_texts: Most texts, beside those to `keep`.
        """
        self._encode_texts = encode_texts
        self._dim, self._max_texts = embedding_dim, max_texts
        self._rows: OrderedDict[str, Embedding] = OrderedDict()
        self._kept: frozenset[str] = frozenset()
        self.known: Mapping[str, Embedding] = MappingProxyType(self._rows)

    def keep(self, texts: Iterable[str]) -> None:
        """Never forget these, as far as they are known; those kept before are as others again."""
        self._kept = frozenset(text for text in texts if text in self._rows)

    def unknown(self, texts: Iterable[str]) -> list[str]:
        """Those that have not been embedded yet, each once."""
        return [text for text in dict.fromkeys(texts) if text not in self._rows]

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """Texts → float32 (B, D) unit rows; forgets the texts that were not asked for longest."""
        if unknown := self.unknown(texts):
            self._rows.update(zip(unknown, self._encode_texts(unknown), strict=True))
        for text in texts:
            self._rows.move_to_end(text)
        rows = [self._rows[text] for text in texts]
        while len(self._rows) - len(self._kept) > self._max_texts:
            text, row = self._rows.popitem(last=False)
            if text in self._kept:
                self._rows[text] = row
        return np.stack(rows) if rows else np.zeros((0, self._dim), dtype=np.float32)
