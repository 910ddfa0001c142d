"""Which reranker is asked: our workers, an external engine, or none."""

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
    """The reranking stage of the settings, its reranker watched in the meantime; or None."""
    if settings.worker.urls:
        async with _http(settings.worker.connect_timeout_s) as http:
            pool = WorkerPool(http, settings.worker)
            async with supervised(pool.watch, settings.worker.retry_after_s):
                yield RerankingStage(
                    WorkerReranker(http, pool),
                    settings.reranker_composes,
                    settings.compose_timeout_ms,
                    settings.response_margin_ms,
                )
    elif settings.external_reranker.url is not None:
        async with _http(settings.external_reranker.connect_timeout_s) as http:
            reranker = VllmReranker(http, settings.external_reranker, store)
            async with supervised(reranker.watch, settings.external_reranker.retry_after_s):
                yield RerankingStage(
                    reranker, composes=False, response_margin_ms=settings.response_margin_ms
                )
    else:
        yield None


def _http(connect_timeout_s: float) -> httpx.AsyncClient:
    # no timeout for answers: the search stops waiting at its deadline
    timeout = httpx.Timeout(None, connect=connect_timeout_s)
    unlimited = httpx.Limits(max_connections=None)  # searches are admitted before they come here
    return httpx.AsyncClient(timeout=timeout, limits=unlimited, trust_env=False)


@asynccontextmanager
async def supervised(
    watch: Callable[[], Awaitable[None]], retry_after_s: float
) -> AsyncIterator[None]:
    """Run a watch as long as the block; one that fails is logged and starts again after a while."""

    async def watch_always() -> None:
        while True:
            try:
                await watch()
            except Exception:
                _log.exception("watching the reranker failed; it starts again")
            await asyncio.sleep(retry_after_s)

    task = asyncio.create_task(watch_always())
    try:
        yield
    finally:
        task.cancel()
