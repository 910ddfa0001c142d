"""Whatever the workers do, a search answers by its deadline: real HTTP, every fault."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from app.api.adapters.worker_client import WorkerReranker
from app.api.adapters.worker_pool import WorkerPool
from app.api.search.limits import SearchLimits
from app.api.search.metrics import StageTimer
from app.api.search.reranking import RerankingStage
from app.api.search.service import SearchService
from app.api.search.types import SearchOptions, SearchQuery, SearchResult
from app.api.settings import WorkerSettings
from tests.app.api.stub_worker import (
    StubWorker,
    free_port,
    rerank_all,
    rerank_two_then_die,
    rerank_two_then_hang,
    saying,
    stub_worker,
)
from tests.fakes import FakeGallery, FakeQueryEncoder, FakeReferenceImages, gallery_image

IMAGES = [gallery_image(f"image-{number}", f"{number:064x}") for number in range(8)]
TIMEOUT_MS, LATENESS_MS = 800, 50


class Stalls:
    """How long this machine, busy with other things, let a thread wait that only naps.

    The promise is 50 ms on a machine that runs us. A thread of its own notices the machine, and
    not an event loop that our own code blocks.
    """

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self._over = threading.Event()
        self._napping = threading.Thread(target=self._nap)

    def __enter__(self) -> "Stalls":
        self._napping.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._napping.join()

    def _nap(self) -> None:
        before = time.perf_counter()
        while not self._over.wait(0.001):
            now = time.perf_counter()
            self.worst_ms = max(self.worst_ms, (now - before) * 1000)
            before = now


@pytest.fixture
def stub() -> Iterator[tuple[StubWorker, str]]:
    with stub_worker() as started:
        yield started


async def search(url: str) -> tuple[SearchResult, float]:
    """One search on an API that has one worker; the answer, and how long it took in ms."""
    async with httpx.AsyncClient(timeout=httpx.Timeout(None, connect=0.5)) as http:
        reranker = WorkerReranker(http, WorkerPool(http, WorkerSettings(urls=(url,))))
        service = SearchService(
            FakeQueryEncoder(),
            FakeGallery(IMAGES),
            SearchLimits(50, 200, TIMEOUT_MS, 2),
            FakeReferenceImages(),
            RerankingStage(reranker),
        )
        began = time.perf_counter()
        query = SearchQuery("image-0", "the same but blue", SearchOptions())
        outcome = await service.search(query, StageTimer())
        return outcome, (time.perf_counter() - began) * 1000


def searched(url: str, reranked: int, *reasons: str) -> SearchResult:
    with Stalls() as stalls:
        outcome, took_ms = asyncio.run(search(url))
    assert took_ms <= TIMEOUT_MS + LATENESS_MS + 2 * stalls.worst_ms
    assert outcome.reasons == list(reasons)
    assert outcome.reranked == reranked
    assert outcome.degraded == bool(reasons)
    assert len(outcome.ranked) == 7
    return outcome


def test_a_good_worker(stub: tuple[StubWorker, str]) -> None:
    outcome = searched(stub[1], 7)
    assert [one.retrieval_rank for one in outcome.ranked] == sorted(
        range(1, 8), key=lambda rank: -(1 - (rank - 1) / 10 + 0.1 + (rank - 1) / 100)
    )


def test_killed_in_mid_stream(stub: tuple[StubWorker, str]) -> None:
    stub[0].rerank = rerank_two_then_die
    searched(stub[1], 2, "reranker_unavailable")


def test_hanging_in_mid_stream(stub: tuple[StubWorker, str]) -> None:
    stub[0].rerank = rerank_two_then_hang
    searched(stub[1], 2, "deadline")
    assert stub[0].dropped.wait(5)


def test_hanging_from_the_start(stub: tuple[StubWorker, str]) -> None:
    stub[0].compose_delay_s = 60
    stub[0].rerank = rerank_two_then_hang
    searched(stub[1], 2, "intent_fallback", "deadline")


def test_full(stub: tuple[StubWorker, str]) -> None:
    stub[0].status = 429
    searched(stub[1], 0, "reranker_overloaded", "intent_fallback")


def test_talking_nonsense(stub: tuple[StubWorker, str]) -> None:
    stub[0].compose_body = "oops"
    stub[0].rerank = saying("oops\n")
    searched(stub[1], 0, "reranker_failed", "intent_fallback")


def test_not_there() -> None:
    searched(f"http://127.0.0.1:{free_port()}", 0, "reranker_unavailable", "intent_fallback")


def test_accepting_connections_and_nothing_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        searched(url, 0, "intent_fallback", "deadline")


def test_a_worker_that_recovers_is_asked_again(stub: tuple[StubWorker, str]) -> None:
    worker, url = stub
    worker.rerank = saying("oops\n")
    searched(url, 0, "reranker_failed")
    worker.rerank = rerank_all
    searched(url, 7)
