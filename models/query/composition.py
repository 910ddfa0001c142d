"""Intent → one unit query embedding: pure functions over numpy arrays.

The intersection is our own definition, see the README; `union`, `text` and `image` are the
baselines it is measured against. Every function returns float32 (D,) of unit length, so the vector
database needs one ordinary search.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.contracts.gallery import GallerySpec
from models.contracts.intent import MAX_PHRASE_CHARS, ComposedIntent, Intent, Provenance
from models.encoder.types import Embedding, Embeddings
from models.query.attribute_reader import still_possible
from models.query.intent_builder import Attributes, IntentBuilder, IntentCandidate
from models.query.made_facets.blending import blend, context_phrases
from models.query.target import Target
from models.query.text_requests import TextRequests
from models.query.weights import (
    CompositionMode,
    CompositionWeights,
    RoleWeights,
    UnderstoodWeights,
)


@dataclass(frozen=True)
class RoleEmbeddings:
    """Embeddings of an intent's roles; lists of phrases may be empty, (0, D)."""

    target: Embedding
    preserve: Embeddings
    desired: Embeddings
    forbidden: Embeddings


Weights = CompositionWeights | RoleWeights


def intersect(
    roles: RoleEmbeddings, reference: Embedding, text: Embedding, weights: Weights
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


_NOTHING: Mapping[str, Embedding] = MappingProxyType({})
# at this, confidences of the demo's encoder are about the share that is right (a test holds it);
# its own scale, 22, is too small, and that of CLIP's published models is 100
_LEAST_LOGIT_SCALE = 55.0


@dataclass(frozen=True)
class ComposedQuery:
    """A composed query, ready to be searched with.

    Attributes:
        intent: None for the baselines.
        embeddings: float32 (A, D) unit rows; an image's score is its best cosine to any of them.
        target: What may be shown, where the gallery's attributes say so.
    """

    intent: ComposedIntent | None
    embeddings: Embeddings
    target: Target | None = None


class Composer:
    """Composes queries for one gallery; its methods ask for texts, see `text_requests`."""

    def __init__(
        self,
        spec: GallerySpec,
        weights: CompositionWeights,
        understood: UnderstoodWeights | None = None,
        logit_scale: float = 0.0,
    ) -> None:
        """Prepare for a gallery.

        Args:
            spec: The gallery's schema.
            weights: How much each role counts.
            understood: The same where a text is understood; None: the target alone.
            logit_scale: What turns the encoder's cosines into logits, for confidences.
        """
        self._weights, self._understood = weights, understood or UnderstoodWeights()
        self._logit_scale = max(logit_scale, _LEAST_LOGIT_SCALE)
        self._builder = (
            IntentBuilder(spec.facets, spec.noun_facet) if spec.noun_facet is not None else None
        )
        self._made = any(facet.made for facet in spec.facets)
        self._contexts = context_phrases(spec.facets)

    def vocabulary(self) -> list[str]:
        """The texts that queries of this gallery are compared with, whatever is asked."""
        return [*self._contexts, *(self._builder.vocabulary() if self._builder is not None else ())]

    def compose(
        self,
        mode: CompositionMode,
        reference: Embedding,
        text: str,
        intent: Intent | None = None,
        weights: CompositionWeights | None = None,
        known: Mapping[str, Embedding] = _NOTHING,
        attributes: Attributes | None = None,
    ) -> TextRequests[ComposedQuery]:
        """Intent and query embedding, with one request for all texts that either may need: those
        of every intent that the query may turn out to have.

        Only a vocabulary that is not embedded yet, or so large that its phrases depend on the
        image, is asked for before.

        Args:
            mode: `intersection`, or a baseline, which has no intent.
            reference: The reference image's embedding, (D,).
            text: The modification text.
            intent: Of the client, or composed elsewhere; else the gallery's facets compose it.
            weights: Instead of the usual ones, those for what is understood included.
            known: Text → its embedding, (D,), of texts that cost nothing; narrows what is asked.
            attributes: Of the reference, where it is a gallery image.
        """
        if mode != "intersection":
            return ComposedQuery(
                None, (yield from self.embed(mode, reference, text, None, weights))
            )
        candidates = yield from self._candidates(reference, text, intent, known, attributes)
        texts = _deciding(candidates)
        for candidate in candidates:
            weighed = weights or self._weights_of(candidate.intent)
            texts += _phrases(mode, text, candidate.intent, weighed)
            if self._made and candidate.reading is not None:
                texts += [*_targets(candidate.intent), candidate.reading.phrase, text]
                texts += self._contexts
        texts = list(dict.fromkeys(texts))
        table = dict(zip(texts, (yield texts), strict=True))
        chosen = _chosen(candidates, reference, table)
        weighed = weights or self._weights_of(chosen.intent)
        if self._made and weights is None and chosen.reading is not None:
            rows = blend(
                _rows(table, _targets(chosen.intent), len(reference)),
                table[chosen.reading.phrase],
                reference,
                table[text],
                _rows(table, self._contexts, len(reference)),
            )
        else:
            rows = _embeddings(mode, reference, text, chosen.intent, weighed, table)
        return ComposedQuery(self._explained(chosen, text), rows, chosen.target)

    def _explained(self, chosen: IntentCandidate, text: str) -> ComposedIntent:
        """The intent that was chosen, with where its phrases come from."""
        if chosen.intent.source == "client":
            return chosen.intent.model_copy(update={"provenance": tuple(_sent(chosen.intent))})
        if self._builder is None:
            return chosen.intent
        return self._builder.explained(chosen, text, self._logit_scale)

    def intent(
        self, reference: Embedding, text: str, intent: Intent | None = None
    ) -> TextRequests[ComposedIntent]:
        """The intent alone; see `compose`."""
        candidates = yield from self._candidates(reference, text, intent, _NOTHING)
        texts = _deciding(candidates)
        table = dict(zip(texts, (yield texts), strict=True))
        return self._explained(_chosen(candidates, reference, table), text)

    def embed(
        self,
        mode: CompositionMode,
        reference: Embedding,
        text: str,
        intent: ComposedIntent | None = None,
        weights: CompositionWeights | None = None,
    ) -> TextRequests[Embeddings]:
        """The query embeddings alone, float32 (A, D) unit rows.

        Raises:
            ValueError: Mode `intersection` without an intent.
        """
        weighed = weights or self._weights_of(intent if mode == "intersection" else None)
        texts = list(dict.fromkeys(_phrases(mode, text, intent, weighed)))
        rows = (yield texts) if texts else ()
        table = dict(zip(texts, rows, strict=True))
        return _embeddings(mode, reference, text, intent, weighed, table)

    def _weights_of(self, intent: ComposedIntent | None) -> Weights:
        """Those for how an intent came about."""
        if intent is None or not intent.alternatives:
            return self._weights
        return self._understood.known if intent.reading == "known" else self._understood.read

    def _candidates(
        self,
        reference: Embedding,
        text: str,
        intent: Intent | None,
        known: Mapping[str, Embedding],
        attributes: Attributes | None = None,
    ) -> TextRequests[list[IntentCandidate]]:
        """The intents to choose from: the one that is given, else by facets, else none."""
        if isinstance(intent, ComposedIntent):
            return [IntentCandidate(intent)]
        if intent is not None:
            return [IntentCandidate(ComposedIntent(**intent.model_dump(), source="client"))]
        if self._builder is not None:
            return (yield from self._builder.candidates(reference, text, known, attributes))
        unread = ComposedIntent(target=text[:MAX_PHRASE_CHARS], source="none")
        return [IntentCandidate(unread)]


def _sent(intent: Intent) -> Iterator[Provenance]:
    """Where the phrases of a client's intent come from."""
    for phrase in intent.preserve:
        yield Provenance(role="preserve", phrase=phrase, source="client")
    for phrase in intent.desired:
        yield Provenance(role="desired", phrase=phrase, source="client")
    for phrase in intent.forbidden:
        yield Provenance(role="forbidden", phrase=phrase, source="client")


def _deciding(candidates: Sequence[IntentCandidate]) -> list[str]:
    """The texts that decide between candidates."""
    readings = [candidate.reading for candidate in candidates]
    return [one.phrase for one in readings if one is not None and one.score is None]


def _chosen(
    candidates: Sequence[IntentCandidate], reference: Embedding, table: Mapping[str, Embedding]
) -> IntentCandidate:
    """That of the likeliest reading, with at least the `_deciding` texts in the table."""
    if len(candidates) == 1:
        return candidates[0]
    readings = [candidate.reading for candidate in candidates if candidate.reading is not None]
    (likeliest,) = still_possible(readings, reference, table)
    return next(
        candidate
        for candidate in candidates
        if candidate.reading is not None and candidate.reading.items == likeliest.items
    )


def _is_plain_sum(mode: CompositionMode, intent: ComposedIntent | None) -> bool:
    """An intent of source `none` has no words but the text's: it is embedded as a union."""
    return mode == "union" or (intent is not None and intent.source == "none")


def _phrases(
    mode: CompositionMode, text: str, intent: ComposedIntent | None, weights: Weights
) -> list[str]:
    """The texts that a query embedding is made of: those whose weight is not zero.

    Raises:
        ValueError: Mode `intersection` without an intent.
    """
    if mode == "image":
        return []
    if mode == "text" or _is_plain_sum(mode, intent):
        return [text]
    if intent is None:
        raise ValueError("an intersection needs an intent")
    return [
        *([text] if weights.text else ()),
        *((intent.alternatives or (intent.target,)) if weights.target else ()),
        *(intent.preserve if weights.preserve else ()),
        *(intent.desired if weights.desired else ()),
        *(intent.forbidden if weights.forbidden else ()),
    ]


def _embeddings(
    mode: CompositionMode,
    reference: Embedding,
    text: str,
    intent: ComposedIntent | None,
    weights: Weights,
    table: Mapping[str, Embedding],
) -> Embeddings:
    """The query embeddings, (A, D), with at least `_phrases` in the table: a sum of its roles for
    each alternative.
    """
    if mode == "image":
        return reference[None]
    if mode == "text":
        return table[text][None]
    if intent is None or _is_plain_sum(mode, intent):
        assert isinstance(weights, CompositionWeights)  # nothing of it is understood
        return unite(reference, table[text], weights)[None]
    targets = _targets(intent)
    if not weights.desired + weights.preserve + weights.text + weights.forbidden:
        return _rows(table, targets, len(reference))
    nothing = np.zeros_like(reference)  # what weighs nothing may be missing
    roles = RoleEmbeddings(
        target=nothing,
        preserve=_rows(table, intent.preserve, len(reference)),
        desired=_rows(table, intent.desired, len(reference)),
        forbidden=_rows(table, intent.forbidden, len(reference)),
    )
    return np.stack(
        [
            intersect(
                replace(roles, target=table.get(target, nothing)),
                reference,
                table.get(text, nothing),
                weights,
            )
            for target in targets
        ]
    )


def _targets(intent: ComposedIntent) -> tuple[str, ...]:
    """What may be shown, in words."""
    return intent.alternatives or (intent.target,)


def _rows(table: Mapping[str, Embedding], texts: Sequence[str], dim: int) -> Embeddings:
    """Those of the texts that are in the table, (B, `dim`)."""
    rows = [table[text] for text in texts if text in table]
    return np.stack(rows) if rows else np.zeros((0, dim), np.float32)
