"""The external reranker against a real HTTP server that speaks vLLM's format, or fails to."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr, ValidationError

from app.__main__ import main as serve
from app.api.adapters.vllm_client import VllmReranker
from app.api.main import create_app
from app.api.search.ports import RerankQuery
from app.api.settings import ApiSettings, ExternalRerankerSettings, ScoringFormat, WorkerSettings
from app.web.errors import ComposeUnsupported, RerankerError
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import GalleryImage
from models.datasets.images import to_jpeg
from models.reranker.self_test import PROBES
from tests.app.api.stub_reranker import MODEL, RerankRequest, StubReranker, TextPart, stub_reranker
from tests.app.api.stub_worker import free_port, serving
from tests.conftest import BuiltGallery
from tests.fakes import gallery_image

T = TypeVar("T")

NAMES = "abcdefghij"
IMAGES = [gallery_image(name, f"{rank:064x}") for rank, name in enumerate(NAMES)]


def solid(blue: int) -> bytes:
    return to_jpeg(Image.new("RGB", (32, 32), (255 - blue, 0, blue)), 32)


QUERY = RerankQuery("query-1", solid(0), "the same but blue", rerank_px=448)


@pytest.fixture
def stub() -> Iterator[tuple[StubReranker, str]]:
    with stub_reranker() as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """Every image of `IMAGES`, bluer and bluer."""
    store = ImageStore(tmp_path / "images")
    for rank, image in enumerate(IMAGES):
        store.put(image.content_hash, 448, solid(25 * rank))
    return store


@asynccontextmanager
async def reranker_at(url: str, store: ImageStore, **changes: Any) -> AsyncIterator[VllmReranker]:
    values = {"url": url, "model": MODEL, "chunk_size": 3, "retry_after_s": 0.1} | changes
    async with httpx.AsyncClient(timeout=httpx.Timeout(None, connect=0.5)) as http:
        reranker = VllmReranker(http, ExternalRerankerSettings(**values), store)
        watching = asyncio.create_task(reranker.watch())
        try:
            yield reranker
        finally:
            watching.cancel()


async def rerank(
    reranker: VllmReranker, images: list[GalleryImage] = IMAGES
) -> tuple[dict[str, float], str]:
    """The scores that came, and what went wrong, if anything."""
    found: dict[str, float] = {}
    try:
        async for scores in reranker.rerank(QUERY, "a blue sofa", images, 5.0):
            found |= scores.by_image
    except RerankerError as error:
        return found, error.reason
    return found, ""


async def in_service(reranker: VllmReranker) -> None:
    give_up = time.monotonic() + 20
    while (await rerank(reranker, IMAGES[:1]))[1]:
        assert time.monotonic() < give_up, "the reranker is never in service"
        await asyncio.sleep(0.02)


def run(
    url: str, store: ImageStore, work: Callable[[VllmReranker], Awaitable[T]], **changes: Any
) -> T:
    """Work with a reranker that is in service."""

    async def main() -> T:
        async with reranker_at(url, store, **changes) as reranker:
            await in_service(reranker)
            return await work(reranker)

    return asyncio.run(main())


@pytest.mark.parametrize("format_", ["rerank", "score"])
def test_all_is_scored_in_chunks_and_asked_as_the_engine_documents(
    stub: tuple[StubReranker, str], store: ImageStore, format_: ScoringFormat
) -> None:
    engine, url = stub
    scores, reason = run(url, store, rerank, format=format_)
    assert reason == ""
    assert sorted(scores, key=scores.__getitem__) == list(NAMES), "bluer is better"
    asked = engine.asked[-4:]
    assert sorted(len(request.documents) for request in asked) == [1, 3, 3, 3]
    query = asked[0].query if isinstance(asked[0], RerankRequest) else asked[0].queries
    kinds = [part.type for part in query.content]
    assert kinds == ["image_url", "text"]
    assert isinstance(query.content[1], TextPart)
    assert query.content[1].text == "the same but blue (wanted: a blue sofa)"


def test_before_anything_else_it_tells_shapes_apart(
    stub: tuple[StubReranker, str], store: ImageStore
) -> None:
    engine, url = stub

    async def version(reranker: VllmReranker) -> str:
        return (await anext(reranker.rerank(QUERY, None, IMAGES, 5.0))).reranker

    assert run(url, store, version) == MODEL
    first = engine.asked[: len(PROBES)]
    assert [len(asked.documents) for asked in first] == [len(p.candidates) for p in PROBES]


def test_one_that_tells_nothing_apart_is_refused_and_taken_when_mended(
    stub: tuple[StubReranker, str], store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    engine, url = stub
    engine.blind = True

    async def main() -> None:
        async with reranker_at(url, store) as reranker:
            give_up = time.monotonic() + 20
            while (await rerank(reranker)) != ({}, "reranker_untrusted"):
                assert time.monotonic() < give_up
                await asyncio.sleep(0.02)
            assert len(engine.asked) % len(PROBES) == 0, "it was asked about the gallery"
            await asyncio.sleep(0.5)
            engine.blind = False
            await in_service(reranker)

    asyncio.run(main())
    assert caplog.text.count("gives obviously different pictures the same score (0.500") == 1


def test_requests_run_side_by_side_within_a_bound(
    stub: tuple[StubReranker, str], store: ImageStore
) -> None:
    engine, url = stub

    async def work(reranker: VllmReranker) -> None:
        engine.delay_s, engine.most_at_once = 0.2, 0
        searches = await asyncio.gather(*(rerank(reranker) for _ in range(3)))
        assert [len(scores) for scores, _ in searches] == [10, 10, 10]

    run(url, store, work, max_concurrent_requests=4)
    assert 2 <= engine.most_at_once <= 4


def test_a_small_search_does_not_wait_for_a_large_one(
    stub: tuple[StubReranker, str], store: ImageStore
) -> None:
    engine, url = stub

    async def work(reranker: VllmReranker) -> None:
        engine.delay_s, before = 0.05, len(engine.asked)
        large = asyncio.create_task(rerank(reranker))
        give_up = time.monotonic() + 20
        while len(engine.asked) == before:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        assert (await rerank(reranker, IMAGES[:1]))[1] == ""
        assert not large.done(), "ten requests of the large search went first"
        scores, reason = await large
        assert (set(scores), reason) == (set(NAMES), "")

    run(url, store, work, chunk_size=1, max_concurrent_requests=1)


def test_a_deadline_keeps_what_came_before_it_and_drops_the_rest(
    stub: tuple[StubReranker, str], store: ImageStore
) -> None:
    engine, url = stub

    async def work(reranker: VllmReranker) -> dict[str, float]:
        found: dict[str, float] = {}
        engine.slow_from = len(engine.asked) + 2
        async with aclosing(reranker.rerank(QUERY, None, IMAGES, 1.0)) as chunks:
            with suppress(TimeoutError):
                while True:
                    async with asyncio.timeout(1.0):
                        found |= (await anext(chunks)).by_image
        await asyncio.to_thread(engine.dropped.wait, 5)
        return found

    assert set(run(url, store, work, max_concurrent_requests=1)) == set(NAMES[:6])
    assert engine.dropped.is_set()


def test_images_the_engine_refuses_are_said_and_the_others_scored(
    stub: tuple[StubReranker, str], store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Too many tokens: its answer is 400, and that is about the images, not about the engine."""
    engine, url = stub

    async def work(reranker: VllmReranker) -> None:
        engine.refuses = 2
        scores, reason = await rerank(reranker)
        assert scores == {"j": pytest.approx(225 / 255, abs=0.02)}
        assert reason == "candidates_failed"
        assert (await rerank(reranker, IMAGES[:2]))[1] == ""

    run(url, store, work)
    assert "left out" not in caplog.text


def test_a_candidate_without_a_copy_is_left_out(
    stub: tuple[StubReranker, str], store: ImageStore
) -> None:
    store.path_of(IMAGES[4].content_hash, 448).unlink()
    scores, reason = run(stub[1], store, rerank)
    assert set(scores) == set(NAMES) - {"e"}
    assert reason == "candidates_failed"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, "reranker_overloaded"),
        (503, "reranker_unavailable"),
        (502, "reranker_unavailable"),
        (500, "reranker_failed"),
        (404, "reranker_failed"),
    ],
)
def test_an_engine_that_refuses(
    stub: tuple[StubReranker, str], store: ImageStore, status: int, reason: str
) -> None:
    engine, url = stub

    async def work(reranker: VllmReranker) -> None:
        engine.status = status
        assert await rerank(reranker) == ({}, reason)
        engine.status = 200
        await in_service(reranker)

    run(url, store, work)


@pytest.mark.parametrize(
    "body",
    [
        {"oops": 1},
        {"results": [{"index": 0}]},
        {"results": [{"index": 0, "relevance_score": 0.5}]},  # of two
        {"results": [{"index": i, "relevance_score": 0.5} for i in (0, 0)]},
        {"results": [{"index": i, "relevance_score": 0.5} for i in (0, 7)]},
        {"results": [{"index": i, "relevance_score": 3.7} for i in (0, 1)]},  # logits
        {"results": [{"index": i, "relevance_score": None} for i in (0, 1)]},
        {"data": [{"index": i, "score": 0.5} for i in (0, 1)]},  # the other format
    ],
)
def test_an_answer_that_makes_no_sense(
    stub: tuple[StubReranker, str], store: ImageStore, body: Any
) -> None:
    engine, url = stub

    async def work(reranker: VllmReranker) -> None:
        engine.body = body
        assert await rerank(reranker, IMAGES[:2]) == ({}, "reranker_failed")

    run(url, store, work)


def test_the_key_is_sent_and_a_wrong_one_is_said(
    stub: tuple[StubReranker, str], store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    engine, url = stub
    engine.key = "open sesame"
    scores, reason = run(url, store, rerank, api_key=SecretStr("open sesame"))
    assert (len(scores), reason) == (10, "")

    async def main() -> None:
        async with reranker_at(url, store, api_key=SecretStr("guessed")) as reranker:
            await asyncio.sleep(0.3)
            assert await rerank(reranker) == ({}, "reranker_unavailable")

    asyncio.run(main())
    assert "refuses our key" in caplog.text
    assert "CIR_API__EXTERNAL_RERANKER__API_KEY" in caplog.text
    assert "guessed" not in caplog.text


def test_an_engine_that_dies_is_left_out_at_once_and_comes_back_by_itself(
    store: ImageStore,
) -> None:
    port = free_port()

    async def main() -> None:
        async with reranker_at(
            f"http://127.0.0.1:{port}", store, max_retry_after_s=0.2
        ) as reranker:
            assert await rerank(reranker) == ({}, "reranker_unavailable")  # not there at the start
            for _ in range(2):
                with stub_reranker(port):
                    await in_service(reranker)
                    assert (await rerank(reranker))[1] == ""
                assert await rerank(reranker) == ({}, "reranker_unavailable")
                began = time.monotonic()
                await rerank(reranker)
                assert time.monotonic() - began < 0.1, "a search paid for trying"

    asyncio.run(main())


def test_one_that_hangs_fails_its_self_test(
    stub: tuple[StubReranker, str], store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    engine, url = stub
    engine.slow_from = 0

    async def main() -> None:
        async with reranker_at(url, store, self_test_timeout_s=0.2) as reranker:
            await asyncio.sleep(0.6)
            assert await rerank(reranker) == ({}, "reranker_unavailable")

    asyncio.run(main())
    assert "did not finish its self-test in time" in caplog.text


def test_busy_is_not_broken(
    stub: tuple[StubReranker, str], store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A self-test that finds the engine full changes nothing."""
    engine, url = stub

    async def work(reranker: VllmReranker) -> None:
        engine.next_statuses = [500, 429]  # the search's, and the self-test's that it brings
        assert (await rerank(reranker, IMAGES[:3]))[1] == "reranker_failed"
        give_up = time.monotonic() + 20
        while engine.next_statuses:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.01)
        assert (await rerank(reranker))[1] == ""

    run(url, store, work)
    assert "left out" not in caplog.text


def test_it_composes_nothing(stub: tuple[StubReranker, str], store: ImageStore) -> None:
    async def work(reranker: VllmReranker) -> None:
        with pytest.raises(ComposeUnsupported):
            await reranker.compose(QUERY, 1.0)

    run(stub[1], store, work)


def test_the_service_reranks_with_it_and_composes_with_facets(
    stub: tuple[StubReranker, str], built_gallery: BuiltGallery
) -> None:
    settings = ApiSettings(
        gallery=built_gallery.gallery,
        image_store=built_gallery.image_store,
        external_reranker=ExternalRerankerSettings(url=stub[1], model=MODEL),
        reranker_composes=True,  # it cannot
        timeout_ms=20_000,
        rerank_weight=1.0,
    )
    body = {
        "reference_image": {"image_id": "test-000000"},
        "modification_text": "the same but blue",
        "rerank_depth": 20,
        "top_k": 20,
    }
    with serving(create_app(settings)) as url, httpx.Client(base_url=url, timeout=30) as http:
        give_up = time.monotonic() + 60
        while http.get("/readyz").status_code != 200:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        answer = http.post("/search", json=body).json()
        while answer["coverage"]["reasons"]:
            assert time.monotonic() < give_up, answer["coverage"]
            answer = http.post("/search", json=body).json()
        assert answer["coverage"]["reranked"] == 20
        assert answer["composition"]["intent"]["source"] == "facets"
        assert answer["models"]["reranker"] == MODEL
        scores = [result["rerank_score"] for result in answer["results"]]
        assert max(scores) - min(scores) > 0.05
        asked_for = http.post("/search", json=body | {"intent_source": "mllm"}).json()
        assert asked_for["coverage"]["reasons"] == ["intent_fallback"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"url": "vllm:8000", "model": MODEL}, "is no address of a reranker"),
        ({"url": "http://vllm:8000"}, "needs `model`"),
    ],
)
def test_bad_settings_are_said(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ExternalRerankerSettings(**values)


def test_two_rerankers_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValidationError, match="name two rerankers; keep one"):
        ApiSettings(
            worker=WorkerSettings(urls=("http://worker:8100",)),
            external_reranker=ExternalRerankerSettings(url="http://vllm:8000", model=MODEL),
        )
    monkeypatch.setenv("CIR_API__WORKER__URLS", '["http://worker:8100"]')
    monkeypatch.setenv("CIR_API__EXTERNAL_RERANKER__URL", "http://vllm:8000")
    monkeypatch.setenv("CIR_API__EXTERNAL_RERANKER__MODEL", MODEL)
    assert serve([]) == 2
    assert "name two rerankers" in capsys.readouterr().err
