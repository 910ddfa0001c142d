"""A composed query → its intent and its query embedding: the coarse stage's brain in one place.

Knows the gallery's schema and an encoder's text side; knows nothing of HTTP, Qdrant or threads.
Blocking, and made for one thread.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from models.composition.facets import FacetIntents
from models.composition.subjects import EncodeTexts
from models.composition.vector import (
    CompositionMode,
    CompositionWeights,
    Embedding,
    Embeddings,
    RoleEmbeddings,
    intersect,
    unite,
)
from models.contracts.gallery import GallerySpec
from models.contracts.intent import MAX_PHRASE_CHARS, ComposedIntent, Roles

_REMEMBERED_TEXTS = 20_000


class Composer:
    """Composes queries for one gallery."""

    def __init__(
        self, spec: GallerySpec, encode_texts: EncodeTexts, weights: CompositionWeights
    ) -> None:
        """Prepare for a gallery.

        Args:
            spec: The gallery's schema.
            encode_texts: Texts → float32 (B, D) unit rows; expected to remember what it has
                embedded, see `RememberedTexts`.
            weights: How much each role counts.
        """
        self._encode_texts, self._weights = encode_texts, weights
        self._facets = (
            FacetIntents(spec.facets, spec.noun_facet, encode_texts)
            if spec.noun_facet is not None
            else None
        )

    def vocabulary(self) -> list[str]:
        """The texts that queries of this gallery are compared with, whatever is asked."""
        return self._facets.vocabulary() if self._facets is not None else []

    def intent(self, reference: Embedding, text: str, roles: Roles | None = None) -> ComposedIntent:
        """The intent: the client's roles, else facets, else none.

        Args:
            reference: The reference image's embedding, (D,).
            text: The modification text.
            roles: Roles that the client sent.
        """
        if roles is not None:
            return ComposedIntent(**roles.model_dump(), source="client")
        if self._facets is not None:
            return self._facets.compose(reference, text)
        return ComposedIntent(target=text[:MAX_PHRASE_CHARS], source="none")

    def embed(
        self,
        mode: CompositionMode,
        reference: Embedding,
        text: str,
        intent: ComposedIntent | None = None,
        weights: CompositionWeights | None = None,
    ) -> Embedding:
        """The query embedding, float32 (D,), unit length; by other weights than usual, if given.

        Raises:
            ValueError: Mode `intersection` without an intent.
        """
        weights = weights or self._weights
        if mode == "image":
            return reference
        text_embedding: Embedding = self._encode_texts([text])[0]
        if mode == "text":
            return text_embedding
        # without an intent's words there is nothing to intersect with: the plain sum, and said so
        if mode == "union" or (intent is not None and intent.source == "none"):
            return unite(reference, text_embedding, weights)
        if intent is None:
            raise ValueError("an intersection needs an intent")
        roles = RoleEmbeddings(
            target=self._encode_texts([intent.target])[0],
            preserve=self._encode_texts(intent.preserve),
            desired=self._encode_texts(intent.desired),
            forbidden=self._encode_texts(intent.forbidden),
        )
        return intersect(roles, reference, text_embedding, weights)


class RememberedTexts:
    """Text embeddings by text: vocabularies are embedded once, not per query nor per gallery."""

    def __init__(self, encode_texts: EncodeTexts, embedding_dim: int) -> None:
        """`encode_texts`: texts → float32 (B, `embedding_dim`) unit rows."""
        self._encode_texts = encode_texts
        self._dim = embedding_dim
        self._rows: OrderedDict[str, Embedding] = OrderedDict()

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
