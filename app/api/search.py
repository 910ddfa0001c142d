"""The use case: a composed query → ranked results, by its deadline, saying what was done.

Knows the ports; nothing of HTTP, torch or Qdrant.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from PIL import Image

from app.api.ports import Candidate, Embedding, Gallery, QueryEmbedder
from app.api.schemas import SearchOptions
from app.errors import DeadlineExceeded, InvalidRequest, Overloaded
from app.observability import IN_FLIGHT, REASONS, SEARCHES, StageTimer
from models.contracts.intent import ComposedIntent

RERANK_DISABLED, INTENT_FALLBACK = "rerank_disabled", "intent_fallback"


@dataclass(frozen=True)
class Upload:
    """A decoded picture, and the SHA-256 of the bytes it came as."""

    picture: Image.Image
    content_hash: str


@dataclass(frozen=True)
class ComposedQuery:
    """What a client asks.

    Attributes:
        reference: An uploaded picture, or the id of a gallery image.
        modification_text: What should be different.
        options: Everything else.
    """

    reference: Upload | str
    modification_text: str
    options: SearchOptions


@dataclass(frozen=True)
class SearchOutcome:
    """What was found, and how.

    Attributes:
        intent: The roles; None for the baselines.
        candidates: All candidates of the coarse stage, best first.
        reasons: Stable words, see `schemas.Coverage`.
        degraded: Whether the answer is less than what was asked for.
    """

    intent: ComposedIntent | None
    candidates: list[Candidate]
    reasons: list[str]
    degraded: bool


@dataclass(frozen=True)
class SearchLimits:
    """Bounds that the operator sets."""

    max_top_k: int
    max_retrieval_depth: int
    timeout_ms: int
    max_concurrent_searches: int


class SearchService:
    """Answers searches."""

    def __init__(self, embedder: QueryEmbedder, gallery: Gallery, limits: SearchLimits) -> None:
        self._embedder, self._gallery, self._limits = embedder, gallery, limits
        self._in_flight = 0

    async def search(self, query: ComposedQuery, timer: StageTimer) -> SearchOutcome:
        """Answer one search.

        Raises:
            InvalidRequest: More results or candidates than allowed; a bad filter.
            UnknownImage: The reference is no gallery image.
            Overloaded: Too many searches at once.
            DeadlineExceeded: No candidates before the deadline.
            GalleryUnavailable: There is nothing to search.
        """
        self._check(query.options)
        timeout_ms = query.options.timeout_ms or self._limits.timeout_ms
        left_s = timeout_ms / 1000 - timer.elapsed_s()
        async with self._admitted():
            try:
                async with asyncio.timeout(left_s):
                    outcome = await self._answer(query, timer)
            except TimeoutError:
                SEARCHES.labels("deadline").inc()
                raise DeadlineExceeded(
                    f"no candidates within {timeout_ms} ms; allow more with timeout_ms"
                ) from None
        SEARCHES.labels("degraded" if outcome.degraded else "answered").inc()
        for reason in outcome.reasons:
            REASONS.labels(reason).inc()
        return outcome

    async def _answer(self, query: ComposedQuery, timer: StageTimer) -> SearchOutcome:
        options = query.options
        with timer.stage("embed"):
            reference, content_hash = await self._reference(query)
        intent = None
        if options.composition == "intersection":
            with timer.stage("intent"):
                intent = await self._embedder.compose(
                    reference, query.modification_text, options.intent
                )
        with timer.stage("embed"):
            query_embedding = await self._embedder.embed(
                options.composition, reference, query.modification_text, intent
            )
        with timer.stage("retrieve"):
            candidates = await self._gallery.retrieve(
                query_embedding,
                max(options.retrieval_depth, options.top_k),
                options.filter,
                content_hash if options.exclude_reference else None,
            )
        fell_back = intent is not None and intent.source == "none"
        return SearchOutcome(
            intent=intent,
            candidates=candidates,
            reasons=[RERANK_DISABLED] + ([INTENT_FALLBACK] if fell_back else []),
            degraded=fell_back or bool(options.rerank_depth),
        )

    async def _reference(self, query: ComposedQuery) -> tuple[Embedding, str]:
        """The reference's embedding and content hash."""
        if isinstance(query.reference, str):
            image, embedding = await self._gallery.get(query.reference)
            return embedding, image.content_hash
        embedding = await self._embedder.encode_reference(query.reference.picture)
        return embedding, query.reference.content_hash

    def _check(self, options: SearchOptions) -> None:
        limits = self._limits
        if options.top_k > limits.max_top_k:
            raise InvalidRequest(f"top_k is {options.top_k}, more than {limits.max_top_k}")
        if options.retrieval_depth > limits.max_retrieval_depth:
            raise InvalidRequest(
                f"retrieval_depth is {options.retrieval_depth}, more than "
                f"{limits.max_retrieval_depth}"
            )
        if options.intent is not None and options.composition != "intersection":
            raise InvalidRequest(
                f"an intent goes with composition `intersection`, not `{options.composition}`"
            )

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """Refuse at the door rather than let everyone wait."""
        if self._in_flight >= self._limits.max_concurrent_searches:
            SEARCHES.labels("refused").inc()
            raise Overloaded(
                f"{self._in_flight} searches are being answered, as many as this service takes; "
                "try again in a second"
            )
        self._in_flight += 1
        IN_FLIGHT.inc()
        try:
            yield
        finally:
            self._in_flight -= 1
            IN_FLIGHT.dec()
