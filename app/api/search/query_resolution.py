"""The first half of a search: reference and text → embedding and intent.

Sources of an intent, in order: the client's own intent, the reranker's (`mllm`), the gallery's
attributes (`facets`), none. The reranker composes while the encoder works.
"""

import asyncio
from dataclasses import dataclass

from app.api.search.admission import CoarseWork
from app.api.search.ports import QueryEncoder, ReferenceImages, RerankQuery
from app.api.search.reranking import RerankingStage
from app.api.search.run import SearchRun
from app.web.errors import CandidatesFailed
from app.web.logging import request_id_var
from models.contracts.intent import ComposedIntent
from models.encoder.types import Embedding

INTENT_FALLBACK = "intent_fallback"


@dataclass(frozen=True)
class ResolvedQuery:
    """A query, ready to be embedded and re-ranked with.

    Attributes:
        reference: The reference's embedding.
        content_hash: Of the reference.
        intent: What the text wants of the reference; None for the baselines.
        rerank_query: What the reranker is asked with; None where it is not to be asked.
    """

    reference: Embedding
    content_hash: str
    intent: ComposedIntent | None
    rerank_query: RerankQuery | None


class QueryResolver:
    """Resolves composed queries."""

    def __init__(
        self,
        encoder: QueryEncoder,
        reference_images: ReferenceImages | None,
        reranking: RerankingStage | None,
    ) -> None:
        self._encoder = encoder
        self._reference_images, self._reranking = reference_images, reranking

    async def resolve(self, run: SearchRun, work: CoarseWork) -> ResolvedQuery:
        """Resolve the query of one search.

        Args:
            run: The search; its coverage gets the words for what the reranker did not do, and its
                timer the stages `embed` and `intent`, which may overlap.
            work: Gives its turns at encoder and gallery.

        Raises:
            ImageNotFound: The reference is no gallery image.
            GalleryUnavailable: There is nothing to search.
        """
        query, timer = run.query, run.timer
        reference = query.reference
        if isinstance(reference, str):
            with timer.stage("embed"):
                async with work.turn():
                    image, embedding = await run.snapshot.generation.get(reference)
            content_hash = image.content_hash
            rerank_query, intent = await self._compose(run, content_hash, work)
        else:
            content_hash = reference.content_hash
            composing = asyncio.create_task(self._compose(run, content_hash, work))
            try:
                with timer.stage("embed"):
                    async with work.turn():
                        embedding = await self._encoder.encode_reference(reference.picture)
                rerank_query, intent = await composing
            finally:
                composing.cancel()  # nothing is left running where the encoder fails
        if intent is None and run.mode == "intersection":
            with timer.stage("intent"):
                async with work.turn():
                    intent = await self._encoder.compose(
                        run.snapshot.composer,
                        embedding,
                        query.modification_text,
                        query.options.intent,
                    )
        return ResolvedQuery(embedding, content_hash, intent, rerank_query)

    async def _compose(
        self, run: SearchRun, content_hash: str, work: CoarseWork
    ) -> tuple[RerankQuery | None, ComposedIntent | None]:
        """What the reranker is asked with, and its intent if it was to give one and did."""
        query, options = run.query, run.query.options
        if self._reranking is None or self._reference_images is None:
            if options.intent_source == "mllm":
                run.coverage.add_reason(INTENT_FALLBACK)
            return None, None
        needs_intent = run.mode == "intersection" and options.intent is None
        by_reranker = options.intent_source == "mllm" or (
            options.intent_source is None and self._reranking.composes
        )
        compose = needs_intent and by_reranker
        if not (compose or run.depths.rerank > 0):
            return None, None
        rerank_px = run.snapshot.generation.spec.rerank_px
        try:
            if isinstance(query.reference, str):
                jpeg = await self._reference_images.of_gallery(content_hash, rerank_px)
            else:
                jpeg = await self._reference_images.of_upload(query.reference.picture, rerank_px)
        except CandidatesFailed as error:
            run.coverage.add_reason(error.reason)
            return None, None
        rerank_query = RerankQuery(
            request_id_var.get() or "search", jpeg, query.modification_text, rerank_px
        )
        if not compose:
            return rerank_query, None
        with run.timer.stage("intent"):
            intent = await self._reranking.compose(rerank_query, work.ask_until, run.coverage)
        if intent is None:
            run.coverage.add_reason(INTENT_FALLBACK)
        return rerank_query, intent
