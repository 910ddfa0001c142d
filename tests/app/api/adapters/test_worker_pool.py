"""Workers behind one name: resolved, joined and dropped with it, and asked by address."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest
from pydantic import ValidationError

from app.api.adapters.rerankers import supervised
from app.api.adapters.worker_pool import WorkerPool, addresses_of
from app.api.settings import ExternalRerankerSettings, WorkerSettings
from tests.app.api.stub_worker import free_port, stub_worker

NAME = "http://worker:8100"


class Directory:
    """Who is behind the name, as the test says; None: the name is not known."""

    def __init__(self) -> None:
        self.urls: list[str] | None = []

    async def resolve(self, url: str) -> list[str]:
        assert url == NAME
        if self.urls is None:
            raise OSError("name or service not known")
        return self.urls


async def until(pool: WorkerPool, holds: Callable[[set[str]], bool]) -> None:
    """Wait until the pool asks whom it should."""
    give_up = time.monotonic() + 20
    while not holds({worker.url for worker in pool.ranked_for(b"a query")}):
        assert time.monotonic() < give_up, pool.ranked_for(b"a query")
        await asyncio.sleep(0.05)


def watched(work: Callable[[WorkerPool, Directory], object]) -> None:
    """Run `work` beside a pool that follows a name."""
    directory = Directory()
    settings = WorkerSettings(urls=(NAME,), resolve_dns=True, retry_after_s=0.1)

    async def main() -> None:
        async with httpx.AsyncClient() as http:
            pool = WorkerPool(http, settings, directory.resolve)
            watching = asyncio.create_task(pool.watch())
            await work(pool, directory)  # type: ignore[misc]
            watching.cancel()

    asyncio.run(main())


def test_addresses_join_when_ready_and_leave_with_the_name() -> None:
    with stub_worker() as (_, one), stub_worker() as (slow, other):
        slow.ready = False

        async def story(pool: WorkerPool, directory: Directory) -> None:
            assert pool.ranked_for(b"a query") == []
            directory.urls = [one, other]
            await until(pool, lambda asked: asked == {one})
            slow.ready = True
            await until(pool, lambda asked: asked == {one, other})
            directory.urls = [other]
            await until(pool, lambda asked: asked == {other})

        watched(story)


def test_a_name_that_is_lost_for_a_while_costs_no_worker() -> None:
    with stub_worker() as (_, one), stub_worker() as (_, other):

        async def story(pool: WorkerPool, directory: Directory) -> None:
            directory.urls = [one]
            await until(pool, lambda asked: asked == {one})
            (before,) = pool.ranked_for(b"a query")
            directory.urls = None
            await asyncio.sleep(2.5)
            directory.urls = [one, other]
            await until(pool, lambda asked: asked == {one, other})
            assert before in pool.ranked_for(b"a query"), "what was known of it is forgotten"

        watched(story)


def test_a_name_becomes_addresses_with_its_port_and_path() -> None:
    port = free_port()
    found = asyncio.run(addresses_of(f"http://localhost:{port}/reranker"))
    assert found == [f"http://127.0.0.1:{port}/reranker"]
    assert asyncio.run(addresses_of("http://10.1.2.3:8100")) == ["http://10.1.2.3:8100"]
    with pytest.raises(OSError, match=r".+"):
        asyncio.run(addresses_of("http://nobody.invalid:8100"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("worker:8100", "it does not begin with http:// or https://"),
        ("http://:8100", "it names no host"),
        ("http://wor ker:8100", "it has a blank in it"),
        ("http://worker:port", "its port is no number from 1 to 65535"),
        ("http://worker:99999", "its port is no number from 1 to 65535"),
        ("http://worker:0", "its port is no number from 1 to 65535"),
        ("http://[::1:8100", "its host is not written as hosts are"),
        (f"http://{'w' * 70}:8100", "its host is not written as hosts are"),
        ("http://worker:8100?a=b", "it goes on behind the path"),
    ],
)
def test_an_address_that_cannot_be_is_refused_and_why(url: str, why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        WorkerSettings(urls=("http://fine:8100", url))
    (error,) = refused.value.errors()
    shown = url.partition("?")[0]  # a key may stand behind it
    assert f"{shown!r} is no address of a worker, like `http://worker:8100`: {why}" in error["msg"]
    with pytest.raises(ValidationError, match="is no address of a reranker"):
        ExternalRerankerSettings(url=url, model="m")


def test_a_refused_address_is_named_without_its_password() -> None:
    with pytest.raises(ValidationError) as refused:
        WorkerSettings(urls=("http://me:secret@worker:port",))
    assert "secret" not in refused.value.errors()[0]["msg"]


def test_a_watch_that_fails_is_said_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory()
    failures = [ValueError("an error of the resolver's own")]

    async def resolve(url: str) -> list[str]:
        if failures:
            raise failures.pop()
        return await directory.resolve(url)

    async def main(alive: str) -> None:
        directory.urls = [alive]
        settings = WorkerSettings(urls=(NAME,), resolve_dns=True)
        async with httpx.AsyncClient() as http:
            pool = WorkerPool(http, settings, resolve)
            async with supervised(pool.watch, retry_after_s=0.05):
                await until(pool, lambda asked: asked == {alive})

    with stub_worker() as (_, alive):
        asyncio.run(main(alive))
    assert "an error of the resolver's own" in caplog.text


def test_a_certificate_names_no_address() -> None:
    with pytest.raises(ValidationError, match="certificate"):
        WorkerSettings(urls=("https://worker:8100",), resolve_dns=True)
