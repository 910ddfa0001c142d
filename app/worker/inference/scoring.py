"""What the device does for one query at a time: compose, open, score. Device's thread only."""

import logging
from collections.abc import Callable, Sequence

from app.worker.inference.caches import ImageFeatureCache, PrefixCache, QueryState
from app.worker.inference.images import CandidateImage
from app.worker.inference.model import Prefix, Query, RerankerModel, VisualFeatures
from app.worker.metrics import PREFIX_REUSED
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import CandidateScore, FailedCandidate

_log = logging.getLogger(__name__)


class Scorer:
    """The reranker with its caches."""

    def __init__(
        self, reranker: RerankerModel, features: ImageFeatureCache, prefixes: PrefixCache
    ) -> None:
        self._reranker = reranker
        self._features = features
        self._prefixes = prefixes

    def compose(self, query: Query) -> ComposedIntent:
        """The intent of a query.

        Raises:
            ValueError: The reranker wrote nothing that can be read as an intent.
        """
        opened = self._open(query)
        if opened.intent is None:
            opened.intent = self._reranker.compose(opened.prefix)
        else:
            PREFIX_REUSED.labels("intent").inc()
        return opened.intent

    def open(self, query: Query, target: str | None) -> Prefix:
        """The prefix that candidates are judged behind; composes the target if there is none.

        A reranker that cannot compose rerankers without one.

        Raises:
            ValueError: The target had to be composed, and could not be read.
        """
        opened = self._open(query)
        if target is None:
            if not self._reranker.composes:
                return opened.prefix
            target = self.compose(query).target
        if opened.targeted is None or opened.targeted[0] != target:
            opened.targeted = target, self._reranker.with_target(opened.prefix, target)
        else:
            PREFIX_REUSED.labels("target").inc()
        return opened.targeted[1]

    def score(
        self, prefix: Prefix, pictures: Sequence[CandidateImage], wanted: Callable[[], bool]
    ) -> list[CandidateScore | FailedCandidate]:
        """Judge a chunk; if that fails, each picture alone, so that a bad one fails alone.

        Args:
            prefix: Of `open`.
            pictures: At most a chunk of them.
            wanted: Asked before every call of the reranker; once it says no, the rest is left out.
        """
        try:
            return self._score_together(prefix, pictures, wanted)
        except Exception:
            if len(pictures) == 1:
                _log.exception("candidate %s cannot be judged", pictures[0].candidate.image_id)
                return [_failed(pictures[0])]
            _log.warning("a chunk cannot be judged; each picture is tried alone", exc_info=True)
        alone = [self.score(prefix, [picture], wanted) for picture in pictures if wanted()]
        return [outcome for outcomes in alone for outcome in outcomes]

    def drop_expired(self) -> float | None:
        """Let go of old prefixes; returns seconds until the next is due, if any."""
        return self._prefixes.drop_expired()

    def _open(self, query: Query) -> QueryState:
        opened = self._prefixes.get(query.key)
        if opened is None:
            opened = QueryState(self._reranker.prefill(query.reference, query.modification_text))
            self._prefixes.put(query.key, opened)
        else:
            PREFIX_REUSED.labels("begin").inc()
        return opened

    def _score_together(
        self, prefix: Prefix, pictures: Sequence[CandidateImage], wanted: Callable[[], bool]
    ) -> list[CandidateScore | FailedCandidate]:
        features = self._see(pictures)
        if not wanted():
            return []
        scores = self._reranker.score(prefix, features)
        return [
            # not the same as score < 0 or score > 1: not-a-number is neither
            _failed(picture)
            if not 0 <= score <= 1
            else CandidateScore(image_id=picture.candidate.image_id, score=score)
            for picture, score in zip(pictures, scores, strict=True)
        ]

    def _see(self, pictures: Sequence[CandidateImage]) -> list[VisualFeatures]:
        """Features of all pictures; the vision tower runs only for those without."""
        unseen = [picture for picture in pictures if picture.features is None]
        prepared = [picture.prepared for picture in unseen if picture.prepared is not None]
        seen = iter(self._reranker.features(prepared) if prepared else [])
        found: list[VisualFeatures] = []
        for picture in pictures:
            features = picture.features
            if features is None:
                features = next(seen)
                self._features.put(picture.candidate.copy_key, features)
            found.append(features)
        return found


def _failed(picture: CandidateImage) -> FailedCandidate:
    return FailedCandidate(
        image_id=picture.candidate.image_id, reason="the reranker could not give it a score"
    )
