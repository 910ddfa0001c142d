"""The first half of a search: reference and text → embedding and intent.

Sources of an intent, in order: the client's own roles, the reranker's (`mllm`), the gallery's
attributes (`facets`), none. The reranker composes while the encoder works.
"""

import asyncio
from dataclasses import dataclass

from app.api.search.admission import CoarseWork
from app.api.search.metrics import StageTimer
from app.api.search.ports import GallerySnapshot, QueryEncoder, ReferenceImages, RerankQuery
from app.api.search.reranking import Judging, RerankingStage
from app.api.search.types import SearchQuery
from app.web.errors import CandidatesFailed
from app.web.logging import request_id_var
from models.contracts.intent import ComposedIntent
from models.encoder.types import Embedding

INTENT_FALLBACK = "intent_fallback"


@dataclass(frozen=True)
class ResolvedQuery:
    """A query, ready to be embedded and judged.

    Attributes:
        reference: The reference's embedding.
        content_hash: Of the reference.
        intent: The roles; None for the baselines.
        judge_query: What the reranker is asked with; None where it is not to be asked.
    """

    reference: Embedding
    content_hash: str
    intent: ComposedIntent | None
    rerank_query: RerankQuery | None


class QueryResolver:
    """Reads composed queries."""

    def __init__(
        self,
        embedder: QueryEncoder,
        copies: ReferenceImages | None,
        second: RerankingStage | None,
    ) -> None:
        self._embedder = embedder
        self._copies, self._second = copies, second

    async def read(
        self,
        query: SearchQuery,
        snapshot: GallerySnapshot,
        rerank: bool,
        work: CoarseWork,
        rerank_scores: Judging,
        timer: StageTimer,
    ) -> ResolvedQuery:
        """Read one query.

        Args:
            query: What the client asks.
            snapshot: The gallery that it is asked of.
            rerank: Whether candidates are to be judged later.
            work: Gives its turns at encoder and gallery.
            rerank_scores: Gets the words for what the reranker did not do.
            timer: Stages `embed` and `intent`, which may overlap.

        Raises:
            ImageNotFound: The reference is no gallery image.
            GalleryUnavailable: There is nothing to search.
        """
        reference, rerank_px = query.reference, snapshot.generation.spec.rerank_px
        if isinstance(reference, str):
            with timer.stage("embed"):
                async with work.turn():
                    image, embedding = await snapshot.generation.get(reference)
            content_hash = image.content_hash
            rerank_query, intent = await self._ask(
                query, content_hash, rerank_px, rerank, work, rerank_scores, timer
            )
        else:
            content_hash = reference.content_hash
            asking = asyncio.create_task(
                self._ask(query, content_hash, rerank_px, rerank, work, rerank_scores, timer)
            )
            try:
                with timer.stage("embed"):
                    async with work.turn():
                        embedding = await self._embedder.encode_reference(reference.picture)
                rerank_query, intent = await asking
            finally:
                asking.cancel()  # nothing is left running when the encoder fails or the client goes
        if intent is None and query.options.composition == "intersection":
            with timer.stage("intent"):
                async with work.turn():
                    intent = await self._embedder.compose(
                        snapshot.composer,
                        embedding,
                        query.modification_text,
                        query.options.intent,
                    )
        return ResolvedQuery(embedding, content_hash, intent, rerank_query)

    async def _ask(
        self,
        query: SearchQuery,
        content_hash: str,
        rerank_px: int,
        rerank: bool,
        work: CoarseWork,
        rerank_scores: Judging,
        timer: StageTimer,
    ) -> tuple[RerankQuery | None, ComposedIntent | None]:
        """What to ask the reranker with, and its intent if it was to give one and did."""
        options = query.options
        if self._second is None or self._copies is None:
            if options.intent_source == "mllm":
                rerank_scores.note(INTENT_FALLBACK)
            return None, None
        roles_wanted = options.composition == "intersection" and options.intent is None
        by_reranker = options.intent_source == "mllm" or (
            options.intent_source is None and self._second.composes
        )
        compose = roles_wanted and by_reranker
        if not (compose or rerank):
            return None, None
        try:
            if isinstance(query.reference, str):
                jpeg = await self._copies.of_gallery(content_hash, rerank_px)
            else:
                jpeg = await self._copies.of_upload(query.reference.picture, rerank_px)
        except CandidatesFailed as error:
            rerank_scores.note(error.reason)
            return None, None
        rerank_query = RerankQuery(
            request_id_var.get() or "search", jpeg, query.modification_text, rerank_px
        )
        if not compose:
            return rerank_query, None
        with timer.stage("intent"):
            intent = await self._second.compose(rerank_query, work.ask_until, rerank_scores)
        if intent is None:
            rerank_scores.note(INTENT_FALLBACK)
        return rerank_query, intent
