"""What the device does for one query at a time: compose, prefill, score. Device's thread only."""

import logging
from collections.abc import Callable, Sequence

from app.worker.inference.caches import ImageFeatureCache, PrefixCache, QueryState
from app.worker.inference.images import CandidateImage
from app.worker.inference.model import AnyReranker, PrefixState, Query, VisualFeatures
from app.worker.metrics import PREFIX_REUSED
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import CandidateScore, FailedCandidate
from models.reranker.intent_format import IntentParseError

_log = logging.getLogger(__name__)


class Scorer:
    """The reranker with its caches."""

    def __init__(
        self, reranker: AnyReranker, features: ImageFeatureCache, prefixes: PrefixCache
    ) -> None:
        self._reranker = reranker
        self._features = features
        self._prefixes = prefixes

    def compose(self, query: Query) -> ComposedIntent | None:
        """The intent of a query; None if the reranker's answer cannot be read as one."""
        return self._intent(self._state_of(query), query.query_id)

    def prefill(self, query: Query, target: str | None) -> PrefixState:
        """The prefix that candidates are scored behind.

        Without a target, one is composed first. Where the reranker cannot compose, or what it
        composed cannot be read, candidates are scored by the prompt's question without a target.
        """
        state = self._state_of(query)
        if target is None and self._reranker.composes:
            intent = self._intent(state, query.query_id)
            target = None if intent is None else intent.target
        if target is None:
            return state.prefix
        if state.targeted is None or state.targeted[0] != target:
            state.targeted = target, self._reranker.with_target(state.prefix, target)
        else:
            PREFIX_REUSED.labels("target").inc()
        return state.targeted[1]

    def score(
        self, prefix: PrefixState, images: Sequence[CandidateImage], wanted: Callable[[], bool]
    ) -> list[CandidateScore | FailedCandidate]:
        """Score a chunk; if that fails, each image alone, so that only the bad one fails.

        Args:
            prefix: Of `prefill`.
            images: At most a chunk of them.
            wanted: Asked before every call of the reranker; once it says no, the rest is left out.
        """
        try:
            return self._score_together(prefix, images, wanted)
        except Exception:
            if len(images) == 1:
                _log.exception("candidate %s cannot be scored", images[0].candidate.image_id)
                return [_failed(images[0])]
            _log.warning("a chunk cannot be scored; each image is tried alone", exc_info=True)
        alone = [self.score(prefix, [image], wanted) for image in images if wanted()]
        return [outcome for outcomes in alone for outcome in outcomes]

    def drop_expired(self) -> float | None:
        """Drop old prefixes; returns seconds until the next is due, if any."""
        return self._prefixes.drop_expired()

    def _state_of(self, query: Query) -> QueryState:
        state = self._prefixes.get(query.key)
        if state is None:
            state = QueryState(self._reranker.prefill(query.reference, query.modification_text))
            self._prefixes.put(query.key, state)
        else:
            PREFIX_REUSED.labels("prefill").inc()
        return state

    def _intent(self, state: QueryState, query_id: str) -> ComposedIntent | None:
        if state.intent is not None or state.unreadable:
            PREFIX_REUSED.labels("intent").inc()
            return state.intent
        try:
            state.intent = self._reranker.compose(state.prefix)
        except IntentParseError as error:
            _log.warning("no intent for query %s: %s", query_id, error)
            state.unreadable = True
        return state.intent

    def _score_together(
        self, prefix: PrefixState, images: Sequence[CandidateImage], wanted: Callable[[], bool]
    ) -> list[CandidateScore | FailedCandidate]:
        features = self._encode_images(images)
        if not wanted():
            return []
        scores = self._reranker.score(prefix, features)
        return [
            # not the same as score < 0 or score > 1: not-a-number is neither
            _failed(image)
            if not 0 <= score <= 1
            else CandidateScore(image_id=image.candidate.image_id, score=score)
            for image, score in zip(images, scores, strict=True)
        ]

    def _encode_images(self, images: Sequence[CandidateImage]) -> list[VisualFeatures]:
        """Features of all images; the vision tower runs only for those without."""
        new = [image.prepared for image in images if image.features is None]
        encoded = iter(self._reranker.features(new) if new else [])
        found: list[VisualFeatures] = []
        for image in images:
            features = image.features
            if features is None:
                features = next(encoded)
                self._features.put(image.candidate.copy_key, features)
            found.append(features)
        return found


def _failed(image: CandidateImage) -> FailedCandidate:
    return FailedCandidate(
        image_id=image.candidate.image_id, reason="the reranker could not give it a score"
    )
