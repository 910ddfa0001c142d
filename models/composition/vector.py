"""Roles → one unit query embedding: pure functions over numpy arrays.

The intersection is our own definition, see the README; `union`, `text` and `image` are the
baselines it is measured against. Every function returns float32 (D,) of unit length, so the vector
database needs one ordinary search.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Embedding = NDArray[np.float32]  # (D,)
Embeddings = NDArray[np.float32]  # (B, D)
CompositionMode = Literal["intersection", "union", "text", "image"]
Weight = Annotated[float, Field(ge=0, le=100)]


_NOTHING_TO_SEARCH_BY = (
    "with target, desired, preserve and text all at 0 there is nothing to search by"
)


class PartialWeights(BaseModel):
    """Some of the weights: those that are set. They mean something beside the others only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Weight = Field(0.8, description="the target in words")
    desired: Weight = Field(0.0, description="what the text asks for")
    preserve: Weight = Field(
        0.4, description="what stays: half in words, half the reference itself"
    )
    text: Weight = Field(0.35, description="the modification text as it stands")
    forbidden: Weight = Field(0.0, description="what the text rules out (subtracted)")
    union_reference: float = Field(
        0.5, ge=0, le=1, description="share of the reference in the union baseline"
    )


class CompositionWeights(PartialWeights):
    """How much each role counts; tuned per preset on validation queries only."""

    @model_validator(mode="after")
    def _something_to_search_by(self) -> "CompositionWeights":
        if not self.target + self.desired + self.preserve + self.text > 0:
            raise ValueError(_NOTHING_TO_SEARCH_BY)
        return self

    def changed_by(self, changes: PartialWeights | None) -> "CompositionWeights":
        """These weights, but for those that are set otherwise.

        Raises:
            ValueError: There is nothing left to search by.
        """
        if changes is None:
            return self
        both = self.model_dump() | changes.model_dump(exclude_unset=True)
        try:
            return CompositionWeights.model_validate(both)
        except ValidationError:  # each of them is a weight; together they are none
            raise ValueError(_NOTHING_TO_SEARCH_BY) from None


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
