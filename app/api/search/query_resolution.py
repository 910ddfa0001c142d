"""The first half of a search: reference and text → intent and query embedding.

Sources of an intent, in order: the client's own intent, the reranker's (`mllm`), the gallery's
attributes (`facets`), none. Where the reranker composes, it does so while the encoder embeds the
reference; everywhere else one call to the encoder gives intent and embedding.
"""

import asyncio
import time
from dataclasses import dataclass

from PIL import Image

from app.api.search.admission import CoarseWork
from app.api.search.ports import EncodedQuery, QueryEncoder, ReferenceImages, RerankQuery
from app.api.search.reranking import RerankingStage
from app.api.search.run import SearchRun
from app.web.errors import CandidatesFailed
from app.web.logging import request_id_var
from models.contracts.intent import ComposedIntent
from models.encoder.types import Embedding, Embeddings
from models.query.intent_builder import Attributes
from models.query.target import Target

INTENT_FALLBACK = "intent_fallback"


@dataclass(frozen=True)
class ResolvedQuery:
    """A query, ready to be searched and re-ranked with.

    Attributes:
        embeddings: The query embeddings, float32 (A, D) unit rows.
        content_hash: Of the reference.
        intent: What the text wants of the reference; None for the baselines.
        rerank_query: What the reranker is asked with; None where it is not to be asked.
        target: What may be shown, where the gallery's attributes say so.
    """

    embeddings: Embeddings
    content_hash: str
    intent: ComposedIntent | None
    rerank_query: RerankQuery | None
    target: Target | None


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
            InvalidRequest: The query's weights leave nothing to search by.
            GalleryUnavailable: There is nothing to search.
        """
        reference, content_hash, attributes = await self._reference(run, work)
        asking = asyncio.create_task(self._ask_reranker(run, content_hash, work))
        intent = None
        try:
            if self._reranker_composes(run):
                if isinstance(reference, Image.Image):
                    with run.timer.stage("embed"):
                        async with work.turn():
                            reference = await self._encoder.encode_reference(
                                reference, [run.query.modification_text]
                            )
                _, intent = await asking
            encoded = await self._encode(run, reference, intent, work, attributes)
            rerank_query, _ = await asking
        finally:
            asking.cancel()  # nothing is left running where the encoder fails
        return ResolvedQuery(
            encoded.embeddings, content_hash, encoded.intent, rerank_query, encoded.target
        )

    async def _reference(
        self, run: SearchRun, work: CoarseWork
    ) -> tuple[Image.Image | Embedding, str, Attributes | None]:
        """The picture of an upload, or the embedding of a gallery image; its content hash; the
        attributes of a gallery image.
        """
        reference = run.query.reference
        if not isinstance(reference, str):
            return reference.picture, reference.content_hash, None
        with run.timer.stage("embed"):
            async with work.turn():
                image, embedding = await run.snapshot.generation.get(reference)
        return embedding, image.content_hash, image.attributes

    async def _encode(
        self,
        run: SearchRun,
        reference: Image.Image | Embedding,
        intent: ComposedIntent | None,
        work: CoarseWork,
        attributes: Attributes | None,
    ) -> EncodedQuery:
        """Intent and query embedding; by the reranker's intent, if there is one."""
        options = run.query.options
        started = time.perf_counter()
        async with work.turn():
            encoded = await self._encoder.compose(
                run.snapshot.composer,
                run.mode,
                reference,
                run.query.modification_text,
                intent or options.intent,
                options.weights,
                attributes,
            )
        took_s = time.perf_counter() - started
        if encoded.intent is not None:
            run.timer.add("intent", encoded.composing_s)
            took_s -= encoded.composing_s
        run.timer.add("embed", took_s)
        return encoded

    def _reranker_composes(self, run: SearchRun) -> bool:
        """Whether the reranker is to give the intent."""
        if self._reranking is None or self._reference_images is None:
            return False
        if run.mode != "intersection" or run.query.options.intent is not None:
            return False
        source = run.query.options.intent_source
        return source == "mllm" or (source is None and self._reranking.composes)

    async def _ask_reranker(
        self, run: SearchRun, content_hash: str, work: CoarseWork
    ) -> tuple[RerankQuery | None, ComposedIntent | None]:
        """What the reranker is asked with, and its intent if it was to give one and did."""
        query, options = run.query, run.query.options
        if self._reranking is None or self._reference_images is None:
            if options.intent_source == "mllm":
                run.coverage.add_reason(INTENT_FALLBACK)
            return None, None
        compose = self._reranker_composes(run)
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
