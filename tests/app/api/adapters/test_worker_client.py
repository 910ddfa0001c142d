"""The reranker's client against real servers that speak the contract, or fail to."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import pytest

from app.api.adapters.worker_client import WorkerReranker
from app.api.adapters.worker_pool import WorkerPool
from app.api.search.ports import RerankerIntent, RerankQuery
from app.api.settings import WorkerSettings
from app.web.errors import (
    CandidatesFailed,
    RerankerError,
    RerankerFailed,
    RerankerOverloaded,
    RerankerUnavailable,
    RerankTimeout,
)
from models.contracts.rerank import RerankRequest
from tests.app.api.stub_worker import (
    INTENT,
    Lines,
    Script,
    StubWorker,
    chunk,
    end,
    free_port,
    rerank_all,
    rerank_all_then_die,
    rerank_two_then_die,
    rerank_two_then_hang,
    saying,
    score_of,
    stub_worker,
)
from tests.fakes import gallery_image

T = TypeVar("T")

IMAGES = [gallery_image(name) for name in "abcd"]
QUERY = RerankQuery("query-1", b"\xff\xd8 a picture", "the same but blue", rerank_px=448)
ALL = {name: score_of(rank) for rank, name in enumerate("abcd")}
TWO = {name: score_of(rank) for rank, name in enumerate("ab")}


@pytest.fixture
def stub() -> Iterator[tuple[StubWorker, str]]:
    with stub_worker() as started:
        yield started


@asynccontextmanager
async def client(
    urls: Sequence[str], watched: bool = False, **settings: float
) -> AsyncIterator[WorkerReranker]:
    worker = WorkerSettings(urls=tuple(urls), **settings)
    async with httpx.AsyncClient(timeout=httpx.Timeout(None, connect=0.5)) as http:
        pool = WorkerPool(http, worker)
        watching = asyncio.create_task(pool.watch()) if watched else None
        try:
            yield WorkerReranker(http, pool)
        finally:
            if watching is not None:
                watching.cancel()


async def rerank(
    reranker: WorkerReranker, query: RerankQuery = QUERY
) -> tuple[dict[str, float], str]:
    """The scores that came, and what went wrong, if anything."""
    found: dict[str, float] = {}
    try:
        async for scores in reranker.rerank(query, "a blue sofa", IMAGES, 5.0):
            found |= scores.by_image
    except RerankerError as error:
        return found, error.reason
    return found, ""


def run(urls: Sequence[str], work: Callable[[WorkerReranker], Awaitable[T]]) -> T:
    async def main() -> T:
        async with client(urls) as reranker:
            return await work(reranker)

    return asyncio.run(main())


def test_all_is_scored_and_asked_as_the_contract_says(stub: tuple[StubWorker, str]) -> None:
    worker, url = stub
    assert run([url], rerank) == (ALL, "")
    asked = worker.reranked[0]
    assert asked.reference_image == QUERY.reference_jpeg
    assert asked.modification_text == QUERY.modification_text
    assert asked.target == "a blue sofa"
    assert [candidate.image_id for candidate in asked.candidates] == list("abcd")
    assert 0 < asked.deadline_ms <= 5000


def test_an_intent_comes_with_the_version_that_composed_it(stub: tuple[StubWorker, str]) -> None:
    async def compose(reranker: WorkerReranker) -> None:
        assert await reranker.compose(QUERY, 1.0) == RerankerIntent(INTENT, "stub-1")

    run([stub[1]], compose)


def test_a_long_request_id_is_cut_to_what_the_contract_takes(stub: tuple[StubWorker, str]) -> None:
    query = RerankQuery("x" * 128, QUERY.reference_jpeg, "blue", rerank_px=448)
    assert run([stub[1]], lambda reranker: rerank(reranker, query)) == (ALL, "")


@pytest.mark.parametrize(
    ("script", "scores", "reason"),
    [
        (rerank_two_then_die, TWO, "reranker_unavailable"),
        (saying(chunk(("a", score_of(0)), ("b", score_of(1)))), TWO, "reranker_unavailable"),
        (saying(end("shutting_down")), {}, "reranker_unavailable"),
        (saying(end("deadline")), {}, "deadline"),
        (saying(end("failed")), {}, "reranker_failed"),
        (saying(end("complete")), {}, "reranker_failed"),  # it says nothing of any candidate
        (saying("oops\n"), {}, "reranker_failed"),
        (saying('{"type": "poem"}\n'), {}, "reranker_failed"),
        (
            saying('{"type":"chunk","scores":[{"image_id":"a","score":NaN}]}\n'),
            {},
            "reranker_failed",
        ),
        (
            saying('{"type":"chunk","scores":[{"image_id":"a","score":1.5}]}\n'),
            {},
            "reranker_failed",
        ),
        (saying(chunk(("nobody", 0.5))), {}, "reranker_failed"),
        (saying(chunk(("a", 0.1)), chunk(("a", 0.9))), {"a": 0.1}, "reranker_failed"),
        (saying(chunk(("a", 0.1), ("a", 0.9))), {}, "reranker_failed"),
        (saying("x" * 3_000_000), {}, "reranker_failed"),  # a line without end
    ],
)
def test_what_goes_wrong_has_a_word_and_keeps_the_scores_before_it(
    stub: tuple[StubWorker, str], script: Script, scores: dict[str, float], reason: str
) -> None:
    worker, url = stub
    worker.rerank = script
    assert run([url], rerank) == (scores, reason)


def test_blank_lines_and_empty_chunks_mean_nothing(stub: tuple[StubWorker, str]) -> None:
    worker, url = stub
    lines = [chunk((name, score)) for name, score in ALL.items()]
    worker.rerank = saying("\n", chunk(), *lines, end())
    assert run([url], rerank) == (ALL, "")


def test_candidates_that_got_no_score_are_said(stub: tuple[StubWorker, str]) -> None:
    worker, url = stub
    failed = [{"image_id": name, "reason": "damaged"} for name in "cd"]
    worker.rerank = saying(chunk(("a", 0.5)), chunk(("b", 0.6)), end(failed=failed))

    async def scored(reranker: WorkerReranker) -> None:
        with pytest.raises(CandidatesFailed, match="2 candidates"):
            async for _ in reranker.rerank(QUERY, None, IMAGES, 1.0):
                pass

    run([url], scored)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, RerankerOverloaded),
        (503, RerankerUnavailable),
        (504, RerankTimeout),
        (500, RerankerFailed),
        (422, RerankerFailed),
    ],
)
def test_a_worker_that_refuses(
    stub: tuple[StubWorker, str], status: int, error: type[RerankerError]
) -> None:
    worker, url = stub
    worker.status = status

    async def refused(reranker: WorkerReranker) -> None:
        with pytest.raises(error):
            await reranker.compose(QUERY, 1.0)
        # one that says it is not ready is left out from then on, and there is no other
        assert (await rerank(reranker))[1] == error.reason

    run([url], refused)


@pytest.mark.parametrize(
    "body", ["oops", "{}", '{"reranker": "j", "intent": {"target": "x", "source": "client"}}']
)
def test_an_intent_that_makes_no_sense(stub: tuple[StubWorker, str], body: str) -> None:
    worker, url = stub
    worker.compose_body = body

    async def nonsense(reranker: WorkerReranker) -> None:
        with pytest.raises(RerankerFailed):
            await reranker.compose(QUERY, 1.0)

    run([url], nonsense)


def test_no_worker_can_be_reached() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert run([url], rerank) == ({}, "reranker_unavailable")


def test_a_caller_that_stops_listening_stops_the_work(stub: tuple[StubWorker, str]) -> None:
    worker, url = stub
    worker.rerank = rerank_two_then_hang

    async def impatient(reranker: WorkerReranker) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await rerank(reranker)

    run([url], impatient)
    assert worker.dropped.wait(5)


@pytest.fixture
def two() -> Iterator[list[tuple[StubWorker, str]]]:
    with stub_worker() as one, stub_worker() as other:
        yield [one, other]


def queries(count: int = 8) -> list[RerankQuery]:
    return [RerankQuery("q", b"picture", f"text {number}", 448) for number in range(count)]


def test_a_query_keeps_its_worker_and_queries_are_spread(
    two: list[tuple[StubWorker, str]],
) -> None:
    async def ask(reranker: WorkerReranker) -> None:
        for query in queries() * 2:
            await reranker.compose(query, 1.0)
            await rerank(reranker, query)

    run([url for _, url in two], ask)
    texts = [{asked.modification_text for asked in worker.composed} for worker, _ in two]
    assert not texts[0] & texts[1]
    assert all(texts)
    for worker, _ in two:
        reranked = [asked.modification_text for asked in worker.reranked]
        assert reranked == [asked.modification_text for asked in worker.composed]


def test_the_order_of_the_addresses_does_not_matter(two: list[tuple[StubWorker, str]]) -> None:
    async def ask(reranker: WorkerReranker) -> None:
        for query in queries():
            await reranker.compose(query, 1.0)

    urls = [url for _, url in two]
    run(urls, ask)
    first = [asked.modification_text for asked in two[0][0].composed]
    run(urls[::-1], ask)
    assert [asked.modification_text for asked in two[0][0].composed] == first * 2


@pytest.mark.parametrize("script", [rerank_two_then_die, saying(end("shutting_down"))])
def test_what_a_lost_worker_leaves_the_next_one_reranks(
    two: list[tuple[StubWorker, str]], script: Script
) -> None:
    """Whichever of them is asked first fails; the other gets the candidates without a score."""

    def first_fails(request: RerankRequest) -> Lines:
        for worker, _ in two:
            worker.rerank = rerank_all
        return script(request)

    for worker, _ in two:
        worker.rerank = first_fails
    scores, reason = run([url for _, url in two], rerank)
    assert (set(scores), reason) == (set("abcd"), "")
    left = [len(worker.reranked[0].candidates) for worker, _ in two]
    assert sorted(left) in ([2, 4], [4, 4])


def test_what_one_worker_could_not_rerank_is_said_though_the_next_is_lost_at_its_end(
    two: list[tuple[StubWorker, str]],
) -> None:
    damaged = [{"image_id": "d", "reason": "damaged"}]

    def one_hands_back(request: RerankRequest) -> Lines:
        for worker, _ in two:
            worker.rerank = rerank_all_then_die
        return saying(end("shutting_down", failed=damaged))(request)

    for worker, _ in two:
        worker.rerank = one_hands_back
    scores, reason = run([url for _, url in two], rerank)
    assert (set(scores), reason) == (set("abc"), "candidates_failed")


def test_a_worker_that_is_lost_after_its_last_score_leaves_nothing_to_ask_for(
    two: list[tuple[StubWorker, str]],
) -> None:
    for worker, _ in two:
        worker.rerank = rerank_all_then_die
    assert run([url for _, url in two], rerank) == (ALL, "")
    assert sum(len(worker.reranked) for worker, _ in two) == 1


def test_scores_of_two_versions_are_never_mixed() -> None:
    """Of an answer that is cut off, the rest is scored by the same version or not at all."""
    asked: list[str] = []

    def as_if_updated(request: RerankRequest) -> Lines:
        version = ("stub-1", "stub-2", "stub-1")[len(asked)]
        asked.append(version)
        if len(asked) == 1:
            return rerank_two_then_die(request)
        lines = [chunk((c.image_id, 0.9), reranker=version) for c in request.candidates]
        return saying(*lines, end(reranker=version))(request)

    with stub_worker() as one, stub_worker() as two, stub_worker() as three:
        urls = [url for _, url in (one, two, three)]
        for worker, _ in (one, two, three):
            worker.rerank = as_if_updated
        assert run(urls[:2], rerank) == (TWO, "reranker_unavailable")
        asked.clear()
        assert run(urls, rerank) == (TWO | {"c": 0.9, "d": 0.9}, "")
    assert asked == ["stub-1", "stub-2", "stub-1"]


def test_a_full_worker_sends_its_queries_to_the_other(two: list[tuple[StubWorker, str]]) -> None:
    async def ask(reranker: WorkerReranker) -> list[tuple[dict[str, float], str]]:
        return [await rerank(reranker, query) for query in queries()]

    two[0][0].status = 429
    assert run([url for _, url in two], ask) == [(ALL, "")] * 8
    two[1][0].status = 429
    assert {reason for _, reason in run([url for _, url in two], ask)} == {"reranker_overloaded"}


def test_a_dead_worker_is_left_out_at_once_and_comes_back_by_itself() -> None:
    port = free_port()
    query_count = 6

    async def ask(reranker: WorkerReranker) -> None:
        for query in queries(query_count):
            assert await rerank(reranker, query) == (ALL, "")

    async def main(alive_url: str) -> None:
        settings = {"retry_after_s": 0.1, "max_retry_after_s": 0.2}
        urls = [f"http://127.0.0.1:{port}", alive_url]
        async with client(urls, watched=True, **settings) as reranker:
            await ask(reranker)  # one of them is not there, and no score is missing
            with stub_worker(port) as (late, _):
                give_up = time.monotonic() + 20
                while not late.reranked:
                    assert time.monotonic() < give_up, "the worker is never asked again"
                    await asyncio.sleep(0.05)
                    await ask(reranker)

    with stub_worker() as (_, alive_url):
        asyncio.run(main(alive_url))


def test_a_worker_that_is_not_ready_is_not_asked(stub: tuple[StubWorker, str]) -> None:
    worker, url = stub
    worker.ready = False

    async def main() -> None:
        async with client([url], watched=True, retry_after_s=0.1) as reranker:
            await asyncio.sleep(0.5)
            assert await rerank(reranker) == ({}, "reranker_unavailable")
            assert not worker.reranked
            worker.ready = True
            give_up = time.monotonic() + 20
            while (await rerank(reranker))[1]:
                assert time.monotonic() < give_up
                await asyncio.sleep(0.05)

    asyncio.run(main())


def test_waits_double_up_to_a_cap() -> None:
    async def main() -> None:
        async with httpx.AsyncClient() as http:
            pool = WorkerPool(
                http,
                WorkerSettings(urls=("http://gone",), retry_after_s=1, max_retry_after_s=5),
            )
            worker = pool.ranked_for(b"")[0]
            for wait_s in (1, 2, 4, 5, 5):
                pool.mark_down(worker, "gone")
                assert worker.probe_at is not None
                assert abs(worker.probe_at - time.monotonic() - wait_s) < 0.5
            assert pool.ranked_for(b"") == []
            pool.mark_healthy(worker, "v")
            assert pool.ranked_for(b"") == [worker]

    asyncio.run(main())
