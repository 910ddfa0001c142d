"""The use case: a composed query → ranked results, by its deadline, saying what was done.

One search is one stream of stages (`IntentResolved`, `Retrieved`, `RerankProgress` …,
`SearchResult`); who wants the answer alone reads to its end. Knows the ports; nothing of HTTP,
torch or Qdrant.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, replace
from functools import partial

from app.api.search.admission import Admission, CoarseWork
from app.api.search.metrics import REASONS, SEARCHES, StageTimer
from app.api.search.ports import Gallery, GallerySnapshot, QueryEncoder, ReferenceImages
from app.api.search.query_resolution import INTENT_FALLBACK, QueryResolver, ResolvedQuery
from app.api.search.ranking import fuse
from app.api.search.reranking import Judging, RerankingStage
from app.api.search.types import (
    IntentResolved,
    RerankProgress,
    Retrieved,
    SearchOptions,
    SearchQuery,
    SearchResult,
    Stage,
)
from app.web.errors import DeadlineExceeded
from indexer.gallery.errors import InvalidRequest
from indexer.gallery.ports import Hit
from models.contracts.filter import filter_values
from models.contracts.intent import ComposedIntent
from models.query.weights import CompositionMode

RERANK_DISABLED = "rerank_disabled"

# of a search that does not say, where the operator allows as many
_TOP_K, _RETRIEVAL_DEPTH = 10, 100
_MUCH_NAMED = 64  # values of a filter and images of `among`, together


@dataclass(frozen=True)
class Depths:
    """How far one search goes.

    Attributes:
        top_k: How many results.
        retrieval: How many candidates the coarse stage gives.
        rerank: How many of them are to be re-ranked, never more.
    """

    top_k: int
    retrieval: int
    rerank: int


@dataclass(frozen=True)
class SearchLimits:
    """Bounds and defaults that the operator sets."""

    max_top_k: int
    max_retrieval_depth: int
    timeout_ms: int
    max_concurrent_searches: int
    default_rerank_depth: int = 50
    max_rerank_depth: int = 200
    rerank_weight: float = 1.0
    default_composition: CompositionMode = "intersection"

    def depths(self, options: SearchOptions) -> Depths:
        """How far a search goes: as it asks, and otherwise as is usual within these limits.

        Raises:
            InvalidRequest: It asks for more than is allowed, or to re-rank what is not retrieved.
        """
        most = self.max_retrieval_depth
        _check_at_most("top_k", options.top_k, min(self.max_top_k, most))
        _check_at_most("retrieval_depth", options.retrieval_depth, most)
        _check_at_most("rerank_depth", options.rerank_depth, min(self.max_rerank_depth, most))
        top_k, retrieval, rerank = options.top_k, options.retrieval_depth, options.rerank_depth
        if top_k is None:
            top_k = min(_TOP_K, self.max_top_k, most)
        if rerank is None:
            rerank = min(self.default_rerank_depth, self.max_rerank_depth, retrieval or most)
        if retrieval is None:
            retrieval = max(rerank, min(_RETRIEVAL_DEPTH, most))
        retrieval = max(retrieval, top_k)
        if rerank > retrieval:
            raise InvalidRequest(
                f"rerank_depth is {rerank}, more than the {retrieval} candidates that "
                "retrieval_depth asks for"
            )
        return Depths(top_k, retrieval, rerank)


class SearchService:
    """Answers searches."""

    def __init__(
        self,
        embedder: QueryEncoder,
        gallery: Gallery,
        limits: SearchLimits,
        copies: ReferenceImages | None = None,
        second: RerankingStage | None = None,
    ) -> None:
        """Put together; without `copies` and `second` there is only the coarse stage."""
        self._embedder, self._gallery, self._limits = embedder, gallery, limits
        self._second = second
        self._understanding = QueryResolver(embedder, copies, second)
        self._admission = Admission(limits.max_concurrent_searches)

    @property
    def default_composition(self) -> CompositionMode:
        """How a query is composed that does not say."""
        return self._limits.default_composition

    def completed(self, query: SearchQuery) -> SearchQuery:
        """The query with what it leaves to the service: how it is composed.

        Who sends an intent, or says who is to compose one, means an intersection.
        """
        options = query.options
        if "composition" in options.model_fields_set or options.intent or options.intent_source:
            return query
        mode = self.default_composition
        return replace(query, options=options.model_copy(update={"composition": mode}))

    def check_room(self, timeout_ms: int | None = None) -> None:
        """Refuse at the door rather than let everyone wait.

        Args:
            timeout_ms: Of the search, where it is known.

        Raises:
            Overloaded: There is no room now, or not in time.
        """
        self._admission.check_room(self._timeout_ms(timeout_ms) / 1000)

    def admitted(self, timeout_ms: int | None = None) -> AbstractContextManager[None]:
        """A place for one search; whatever it costs belongs inside. Raises as `check_room`."""
        return self._admission.admitted(self._timeout_ms(timeout_ms) / 1000)

    async def search(self, query: SearchQuery, timer: StageTimer) -> SearchResult:
        """Answer one `admitted` search; raises what `stages` raises."""
        async with aclosing(self.stages(query, timer)) as stages:
            async for stage in stages:
                if isinstance(stage, SearchResult):
                    return stage
        raise AssertionError("a search ends with its outcome")

    async def stages(self, query: SearchQuery, timer: StageTimer) -> AsyncGenerator[Stage, None]:
        """Answer one `admitted` search, telling each stage as it is done; closing stops the work.

        Raises:
            InvalidRequest: More results or candidates than allowed; a bad filter.
            ImageNotFound: The reference is no gallery image.
            DeadlineExceeded: No candidates before the deadline.
            GalleryUnavailable: There is nothing to search.
        """
        depths = self._limits.depths(query.options)
        _check_intent(query.options)
        snapshot = self._gallery.snapshot()  # before the reranker is asked for nothing
        timeout_ms = self._timeout_ms(query.options.timeout_ms)
        left_s = timeout_ms / 1000 - timer.elapsed_s()
        deadline = asyncio.get_running_loop().time() + left_s
        ending = "abandoned"  # by the client, unless it comes to an end of its own
        try:
            async with aclosing(self._answer(query, snapshot, depths, deadline, timer)) as stages:
                async for stage in stages:
                    if isinstance(stage, SearchResult):
                        ending = _count(stage)
                    yield stage
        except TimeoutError:
            ending = "deadline"
            raise DeadlineExceeded(
                f"no candidates within {timeout_ms} ms; allow more with timeout_ms"
            ) from None
        except Exception:
            ending = "failed"
            raise
        finally:
            SEARCHES.labels(ending).inc()

    async def _answer(
        self,
        query: SearchQuery,
        snapshot: GallerySnapshot,
        depths: Depths,
        deadline: float,
        timer: StageTimer,
    ) -> AsyncGenerator[Stage, None]:
        rerank_scores, depth = Judging(), depths.rerank if self._second is not None else 0
        with self._admission.coarse(deadline, _names_much(query.options)) as work:
            # timeouts end before each yield: held across one they would strike whoever reads
            async with asyncio.timeout_at(deadline):
                understood = await self._understanding.read(
                    query, snapshot, depth > 0, work, rerank_scores, timer
                )
            yield IntentResolved(understood.intent)
            async with asyncio.timeout_at(deadline):
                candidates = await self._retrieve(
                    query, snapshot, depths.retrieval, understood, work, timer
                )
        outcome = partial(self._outcome, query.options, depths, understood.intent, candidates)
        yield Retrieved(outcome(rerank_scores))
        to_reranker = candidates[:depth]
        if self._second is not None and understood.rerank_query is not None and to_reranker:
            with timer.stage("rerank"):
                rerank = self._second.rerank(
                    understood.rerank_query,
                    _target(understood.intent),
                    to_reranker,
                    deadline,
                    rerank_scores,
                )
                async with aclosing(rerank) as counts:
                    async for reranked in counts:
                        yield RerankProgress(reranked, len(to_reranker))
        yield outcome(rerank_scores)

    async def _retrieve(
        self,
        query: SearchQuery,
        snapshot: GallerySnapshot,
        depth: int,
        understood: ResolvedQuery,
        work: CoarseWork,
        timer: StageTimer,
    ) -> list[Hit]:
        options = query.options
        with timer.stage("embed"):
            async with work.turn():
                query_embedding = await self._embedder.embed(
                    snapshot.composer,
                    options.composition,
                    understood.reference,
                    query.modification_text,
                    understood.intent,
                    options.weights,
                )
        with timer.stage("retrieve"):
            async with work.turn():
                return await snapshot.generation.retrieve(
                    query_embedding,
                    depth,
                    options.filter,
                    understood.content_hash if options.exclude_reference else None,
                    options.among,
                )

    def _outcome(
        self,
        options: SearchOptions,
        depths: Depths,
        intent: ComposedIntent | None,
        candidates: list[Hit],
        rerank_scores: Judging,
    ) -> SearchResult:
        """The answer as things stand."""
        reasons = [*rerank_scores.reasons]
        if intent is not None and intent.source == "none" and INTENT_FALLBACK not in reasons:
            reasons.append(INTENT_FALLBACK)
        degraded = bool(reasons)
        if self._second is None:
            # nobody misses a reranker that was never set up, except who asks for it
            reasons.insert(0, RERANK_DISABLED)
            degraded = degraded or bool(options.rerank_depth)
        return SearchResult(
            intent=intent,
            top_k=depths.top_k,
            ranked=fuse(candidates, rerank_scores.scores, self._rerank_weight(options)),
            reranked=len(rerank_scores.scores),
            reasons=reasons,
            degraded=degraded,
            reranker=rerank_scores.reranker,
        )

    def _timeout_ms(self, asked: int | None) -> int:
        return asked or self._limits.timeout_ms

    def _rerank_weight(self, options: SearchOptions) -> float:
        asked = options.rerank_weight
        return self._limits.rerank_weight if asked is None else asked


def _check_at_most(name: str, asked: int | None, most: int) -> None:
    if asked is not None and asked > most:
        raise InvalidRequest(f"{name} is {asked}, more than {most}")


def _check_intent(options: SearchOptions) -> None:
    if options.intent is not None and options.composition != "intersection":
        raise InvalidRequest(
            f"an intent goes with composition `intersection`, not `{options.composition}`"
        )
    if options.intent_source is not None and (
        options.intent is not None or options.composition != "intersection"
    ):
        raise InvalidRequest(
            "intent_source says who composes an intent; it goes with composition "
            "`intersection`, and not with an intent of your own"
        )


def _names_much(options: SearchOptions) -> bool:
    """Whether filter and `among` are so long that checking them is work."""
    return filter_values(options.filter or {}) + len(options.among or ()) > _MUCH_NAMED


def _target(intent: ComposedIntent | None) -> str | None:
    """The wished-for picture, where somebody understood it; else the reranker composes it
    itself.
    """
    return None if intent is None or intent.source == "none" else intent.target


def _count(outcome: SearchResult) -> str:
    """Count why this answer is as it is; returns the label of how it ended."""
    for reason in outcome.reasons:
        REASONS.labels(reason).inc()
    return "degraded" if outcome.degraded else "answered"
