"""Which judge the second stage asks: our workers, an external reranker, or none."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from app.api.adapters.vllm_client import VllmReranker
from app.api.adapters.worker_client import WorkerReranker
from app.api.adapters.worker_pool import WorkerPool
from app.api.search.reranking import RerankingStage
from app.api.settings import ApiSettings
from indexer.gallery.image_store import ImageStore

_log = logging.getLogger(__name__)


@asynccontextmanager
async def reranking(
    settings: ApiSettings, store: ImageStore
) -> AsyncIterator[RerankingStage | None]:
    """The second stage as it is set up, with somebody who looks after its reranker; or None."""
    if settings.worker.urls:
        async with _http(settings.worker.connect_timeout_s) as http:
            pool = WorkerPool(http, settings.worker)
            async with kept_up(pool.watch, settings.worker.retry_after_s):
                yield RerankingStage(
                    WorkerReranker(http, pool),
                    settings.reranker_composes,
                    settings.compose_timeout_ms,
                    settings.response_margin_ms,
                )
    elif settings.external_reranker.url is not None:
        async with _http(settings.external_reranker.connect_timeout_s) as http:
            reranker = VllmReranker(http, settings.external_reranker, store)
            async with kept_up(reranker.watch, settings.external_reranker.retry_after_s):
                yield RerankingStage(
                    reranker, composes=False, response_margin_ms=settings.response_margin_ms
                )
    else:
        yield None


def _http(connect_timeout_s: float) -> httpx.AsyncClient:
    # how long an answer may take is the search's business, see `rerank`
    timeout = httpx.Timeout(None, connect=connect_timeout_s)
    unlimited = httpx.Limits(max_connections=None)  # the door is at the search
    return httpx.AsyncClient(timeout=timeout, limits=unlimited, trust_env=False)


@asynccontextmanager
async def kept_up(
    watch: Callable[[], Awaitable[None]], retry_after_s: float
) -> AsyncIterator[None]:
    """Run a watch as long as the block; one that fails is logged and begins anew after a while."""

    async def watching() -> None:
        while True:
            try:
                await watch()
            except Exception:
                _log.exception("looking after the reranker failed; it begins anew")
            await asyncio.sleep(retry_after_s)

    task = asyncio.create_task(watching())
    try:
        yield
    finally:
        task.cancel()
