"""The use case: a composed query → ranked results, by its deadline, saying what was done.

One search is one stream of events (`IntentResolved`, `Retrieved`, `RerankProgress` …,
`SearchResult`); `search` reads it to its end and returns the last one. Knows the ports; nothing of
HTTP, torch or the gallery's engine.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace

from app.api.search.admission import Admission, CoarseWork
from app.api.search.limits import SearchLimits
from app.api.search.metrics import REASONS, SEARCHES, StageTimer
from app.api.search.ports import Gallery, QueryEncoder, ReferenceImages
from app.api.search.query_resolution import INTENT_FALLBACK, QueryResolver, ResolvedQuery
from app.api.search.ranking import demoted, fuse
from app.api.search.reranking import RerankingStage
from app.api.search.run import SearchRun
from app.api.search.types import (
    IntentResolved,
    RerankProgress,
    Retrieved,
    SearchEvent,
    SearchOptions,
    SearchQuery,
    SearchResult,
)
from app.web.errors import DeadlineExceeded
from indexer.gallery.ports import Hit
from models.contracts.filter import Filter, are_met, filter_values, narrowed
from models.contracts.intent import ComposedIntent

RERANK_DISABLED = "rerank_disabled"
NOT_UNDERSTOOD = "not_understood"
NOTHING_FITS = "nothing_fits"

_LONG_FILTER = 64  # values of a filter and images of `among`, together


class SearchService:
    """Answers searches."""

    def __init__(
        self,
        encoder: QueryEncoder,
        gallery: Gallery,
        limits: SearchLimits,
        reference_images: ReferenceImages | None = None,
        reranking: RerankingStage | None = None,
    ) -> None:
        """Put together; without `reference_images` and `reranking`, candidates are retrieved only.

        Args:
            encoder: Images and texts → embeddings.
            gallery: What is searched.
            limits: What the operator allows.
            reference_images: References as the reranker gets them.
            reranking: Scores candidates, and composes intents.
        """
        self.limits = limits
        self._encoder, self._gallery, self._reranking = encoder, gallery, reranking
        self._resolver = QueryResolver(encoder, reference_images, reranking)
        self._admission = Admission(limits.max_concurrent_searches)

    def check_room(self, timeout_ms: int | None = None) -> None:
        """Check that a search would be admitted now.

        Args:
            timeout_ms: Of the search, where it is known, in milliseconds.

        Raises:
            Overloaded: There is no room now, or not in time.
        """
        self._admission.check_room(self.limits.timeout_s(timeout_ms))

    def admitted(self, timeout_ms: int | None = None) -> AbstractContextManager[None]:
        """A place for one search; whatever it costs belongs inside. Raises as `check_room`."""
        return self._admission.admitted(self.limits.timeout_s(timeout_ms))

    async def search(self, query: SearchQuery, timer: StageTimer) -> SearchResult:
        """Answer one `admitted` search; raises what `events` raises."""
        async with aclosing(self.events(query, timer)) as events:
            async for event in events:
                if isinstance(event, SearchResult):
                    return event
        raise AssertionError("a search ends with its result")

    async def events(
        self, query: SearchQuery, timer: StageTimer
    ) -> AsyncGenerator[SearchEvent, None]:
        """Answer one `admitted` search, step by step; closing stops the work.

        Args:
            query: What the client asks.
            timer: Runs since the query was here; the search's time counts from then.

        Yields:
            `IntentResolved`, `Retrieved`, any number of `RerankProgress`, and `SearchResult`.

        Raises:
            InvalidRequest: More results or candidates than allowed; a bad filter.
            ImageNotFound: The reference is no gallery image.
            DeadlineExceeded: No candidates before the deadline.
            GalleryUnavailable: There is nothing to search.
        """
        run = self._run(query, timer)
        outcome = "abandoned"  # by the client, unless it comes to an end of its own
        try:
            async with aclosing(self._answer(run)) as events:
                async for event in events:
                    if isinstance(event, SearchResult):
                        outcome = "degraded" if event.degraded else "answered"
                        _count_reasons(event)
                    yield event
        except TimeoutError:
            outcome = "deadline"
            timeout_ms = round(self.limits.timeout_s(query.options.timeout_ms) * 1000)
            raise DeadlineExceeded(
                f"no candidates within {timeout_ms} ms; allow more with timeout_ms"
            ) from None
        except Exception:
            outcome = "failed"
            raise
        finally:
            SEARCHES.labels(outcome).inc()

    def _run(self, query: SearchQuery, timer: StageTimer) -> SearchRun:
        """A search, checked as far as it can be without any work."""
        options = query.options
        depths = self.limits.depths(options)
        if self._reranking is None:
            depths = replace(depths, rerank=0)
        left_s = self.limits.timeout_s(options.timeout_ms) - timer.elapsed_s()
        return SearchRun(
            query=query,
            mode=self.limits.mode(options),
            depths=depths,
            snapshot=self._gallery.snapshot(),
            deadline=asyncio.get_running_loop().time() + left_s,
            timer=timer,
        )

    async def _answer(self, run: SearchRun) -> AsyncGenerator[SearchEvent, None]:
        with self._admission.coarse(run.deadline, _has_long_filter(run.query.options)) as work:
            # timeouts end before each yield: held across one they would strike the reader's code
            async with asyncio.timeout_at(run.deadline):
                resolved = await self._resolver.resolve(run, work)
            yield IntentResolved(run.mode, resolved.intent)
            async with asyncio.timeout_at(run.deadline):
                hits = await self._retrieve(run, resolved, work)
        yield Retrieved(self._result(run, resolved.intent, hits))
        to_rerank = hits[: run.depths.rerank]
        if self._reranking is not None and resolved.rerank_query is not None and to_rerank:
            with run.timer.stage("rerank"):
                target = _target(resolved.intent)
                progress = self._reranking.rerank(run, resolved.rerank_query, target, to_rerank)
                async with aclosing(progress) as counts:
                    async for reranked in counts:
                        yield RerankProgress(reranked, len(to_rerank))
        yield self._result(run, resolved.intent, hits)

    async def _retrieve(
        self, run: SearchRun, resolved: ResolvedQuery, work: CoarseWork
    ) -> list[Hit]:
        """Candidates within the text's conditions; where there are none, the others."""
        options, intent = run.query.options, resolved.intent
        conditions = intent.conditions if intent is not None else {}

        async def hits_of(where: Filter | None) -> list[Hit]:
            return await run.snapshot.generation.retrieve(
                resolved.embeddings,
                run.depths.retrieval,
                where,
                resolved.content_hash if options.exclude_reference else None,
                options.among,
            )

        with run.timer.stage("retrieve"):
            async with work.turn():
                hits = await hits_of(narrowed(options.filter, conditions))
                if conditions and not hits:
                    hits = await hits_of(options.filter)
        run.coverage.contradicting = {
            hit.image.image_id
            for hit in hits
            if not are_met(conditions, hit.image.attributes)
            or (resolved.target and resolved.target.is_contradicted_by(hit.image.attributes))
        }
        return demoted(hits, [_contradicts(run, hit) for hit in hits])

    def _result(
        self, run: SearchRun, intent: ComposedIntent | None, hits: list[Hit]
    ) -> SearchResult:
        """The answer as things stand."""
        options, coverage = run.query.options, run.coverage
        reasons = [*coverage.reasons]
        ranked = fuse(hits, coverage.scores, self.limits.weight(options))
        contradicting = [_contradicts(run, one.candidate) for one in ranked]
        ranked = demoted(ranked, contradicting)
        if intent is not None and intent.source == "none" and INTENT_FALLBACK not in reasons:
            reasons.append(INTENT_FALLBACK)
        degraded = bool(reasons)
        if self._reranking is None:
            # without a reranker an answer is whole, unless re-ranking was asked for
            reasons.insert(0, RERANK_DISABLED)
            degraded = degraded or bool(options.rerank_depth)
        # said of a whole answer too: it is all that was asked for, as far as it was understood
        if intent is not None and intent.not_understood:
            reasons.append(NOT_UNDERSTOOD)
        if ranked and ranked[0].candidate.image.image_id in coverage.contradicting:
            reasons.append(NOTHING_FITS)
        return SearchResult(
            mode=run.mode,
            intent=intent,
            top_k=run.depths.top_k,
            ranked=ranked,
            reranked=len(coverage.scores),
            reasons=reasons,
            degraded=degraded,
            contradicting=frozenset(coverage.contradicting),
            timings_ms=run.timer.timings(),
            encoder=self._encoder.fingerprint,
            reranker=coverage.reranker,
        )


def _contradicts(run: SearchRun, hit: Hit) -> bool:
    """Whether a candidate goes behind the others for what its own attributes say."""
    demotes = run.query.options.attribute_check != "off"
    return demotes and hit.image.image_id in run.coverage.contradicting


def _has_long_filter(options: SearchOptions) -> bool:
    """Whether filter and `among` are so long that checking them is work."""
    return filter_values(options.filter or {}) + len(options.among or ()) > _LONG_FILTER


def _target(intent: ComposedIntent | None) -> str | None:
    """The target in words; None where there is none, and the reranker composes it by itself."""
    return None if intent is None or intent.source == "none" else intent.target


def _count_reasons(result: SearchResult) -> None:
    for reason in result.reasons:
        REASONS.labels(reason).inc()
