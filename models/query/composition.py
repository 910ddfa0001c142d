"""Intent → one unit query embedding: pure functions over numpy arrays.

The intersection is our own definition, see the README; `union`, `text` and `image` are the
baselines it is measured against. Every function returns float32 (D,) of unit length, so the vector
database needs one ordinary search.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import GallerySpec
from models.contracts.intent import MAX_PHRASE_CHARS, ComposedIntent, Intent
from models.encoder.types import Embedding, Embeddings, EncodeTexts
from models.query.intent_builder import IntentBuilder
from models.query.weights import CompositionMode, CompositionWeights


@dataclass(frozen=True)
class RoleEmbeddings:
    """Embeddings of an intent's roles; lists of phrases may be empty, (0, D)."""

    target: Embedding
    preserve: Embeddings
    desired: Embeddings
    forbidden: Embeddings


def intersect(
    roles: RoleEmbeddings, reference: Embedding, text: Embedding, weights: CompositionWeights
) -> Embedding:
    """The intersection: only what the modification text needs of the reference.

    q = norm( w_t T(target) + w_d mean T(desired) + w_p ½ (mean T(preserve) + v_ref)
              + w_m T(text) − w_f mean T(forbidden) )

    Linear in the candidates' embeddings like the global form of MulVec (arXiv 2608.25305), with the
    starting weights SDR-CIR published; see the README for what is ours.
    """
    return _unit(
        weights.target * roles.target
        + weights.desired * _mean(roles.desired)
        + weights.preserve * 0.5 * (_mean(roles.preserve) + reference)
        + weights.text * text
        - weights.forbidden * _mean(roles.forbidden)
    )


def unite(reference: Embedding, text: Embedding, weights: CompositionWeights) -> Embedding:
    """The union baseline: everything in the picture plus everything in the text."""
    share = weights.union_reference
    return _unit(share * reference + (1 - share) * text)


def _mean(rows: Embeddings) -> Embedding:
    mean: Embedding = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1], np.float32)
    return mean


def _unit(vector: NDArray[np.floating]) -> Embedding:
    """Scale to unit length; a zero vector (roles that cancel exactly) stays zero."""
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 0 else vector).astype(np.float32)


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
            IntentBuilder(spec.facets, spec.noun_facet, encode_texts)
            if spec.noun_facet is not None
            else None
        )

    def vocabulary(self) -> list[str]:
        """The texts that queries of this gallery are compared with, whatever is asked."""
        return self._facets.vocabulary() if self._facets is not None else []

    def intent(
        self, reference: Embedding, text: str, roles: Intent | None = None
    ) -> ComposedIntent:
        """The intent: the client's roles, else facets, else none.

        Args:
            reference: The reference image's embedding, (D,).
            text: The modification text.
            roles: Intent that the client sent.
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
