"""A worker that speaks the contract over real HTTP, by a script; and how to serve it."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from app.web.server import http_server
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import (
    CandidateScore,
    ComposeRequest,
    ComposeResponse,
    RerankChunk,
    RerankEnd,
    RerankRequest,
    WorkerInfo,
)

VERSION = "stub-1"
INTENT = ComposedIntent(target="a blue sofa", desired=("blue",), source="mllm")
Lines = AsyncIterator[str]
Script = Callable[[RerankRequest], Lines]


def chunk(*scores: tuple[str, float], reranker: str = VERSION) -> str:
    scored = [CandidateScore(image_id=image_id, score=score) for image_id, score in scores]
    return RerankChunk(scores=scored, reranker=reranker).model_dump_json() + "\n"


def end(status: Any = "complete", reranker: str = VERSION, **fields: Any) -> str:
    return RerankEnd(status=status, reranker=reranker, **fields).model_dump_json() + "\n"


def score_of(rank: int) -> float:
    """The last candidate scores best: a complete re-ranking reverses the order."""
    return min(1.0, 0.1 + rank / 100)


async def rerank_all(request: RerankRequest) -> Lines:
    for rank, candidate in enumerate(request.candidates):
        yield chunk((candidate.image_id, score_of(rank)))
    yield end()


async def rerank_two_then_die(request: RerankRequest) -> Lines:
    for rank, candidate in enumerate(request.candidates[:2]):
        yield chunk((candidate.image_id, score_of(rank)))
    await asyncio.sleep(0.05)  # so that what was said goes out before the connection breaks
    raise ConnectionError("killed")


async def rerank_all_then_die(request: RerankRequest) -> Lines:
    for rank, candidate in enumerate(request.candidates):
        yield chunk((candidate.image_id, score_of(rank)))
    await asyncio.sleep(0.05)
    raise ConnectionError("killed")


async def rerank_two_then_hang(request: RerankRequest) -> Lines:
    for rank, candidate in enumerate(request.candidates[:2]):
        yield chunk((candidate.image_id, score_of(rank)))
    await asyncio.sleep(60)
    yield end()


def saying(*lines: str) -> Script:
    async def script(request: RerankRequest) -> Lines:
        for line in lines:
            yield line

    return script


class StubWorker:
    """Answers as scripted; remembers what it was asked.

    Attributes:
        rerank: The lines of a rerank answer.
        compose_delay_s: Before a compose answer.
        status: Of every answer of `/v1/compose` and `/v1/rerank`.
        dropped: Set when a client hung up on a rerank answer.
    """

    def __init__(self) -> None:
        self.rerank: Script = rerank_all
        self.compose_delay_s = 0.0
        self.compose_body: str | None = None
        self.status = 200
        self.ready = True
        self.composed: list[ComposeRequest] = []
        self.reranked: list[RerankRequest] = []
        self.dropped = threading.Event()
        self.app = FastAPI()
        self.app.post("/v1/compose")(self._compose)
        self.app.post("/v1/rerank")(self._rerank)
        self.app.get("/v1/info")(self._info)
        self.app.get("/readyz")(self._readyz)

    def _readyz(self) -> Response:
        return Response(status_code=200 if self.ready else 503)

    def _info(self) -> WorkerInfo:
        return WorkerInfo(
            reranker="stub-1", device="stub", chunk_size=1, max_queued_visual_tokens=1,
            queued_visual_tokens=0,
        )  # fmt: skip

    async def _compose(self, request: Request) -> Response:
        self.composed.append(ComposeRequest.model_validate_json(await request.body()))
        await asyncio.sleep(self.compose_delay_s)
        body = self.compose_body
        if body is None:
            body = ComposeResponse(intent=INTENT, reranker="stub-1").model_dump_json()
        return Response(body, self.status, media_type="application/json")

    async def _rerank(self, request: Request) -> Response:
        asked = RerankRequest.model_validate_json(await request.body())
        self.reranked.append(asked)
        if self.status != 200:
            return Response(status_code=self.status)
        return StreamingResponse(self._noticing(asked), media_type="application/x-ndjson")

    async def _noticing(self, asked: RerankRequest) -> Lines:
        try:
            async for line in self.rerank(asked):
                yield line
        except asyncio.CancelledError:
            self.dropped.set()
            raise


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(app: FastAPI, port: int | None = None) -> Iterator[str]:
    """A real server on a thread; gives its address, and is gone afterwards."""
    port = port or free_port()
    server = http_server(app, "127.0.0.1", port, grace_s=1)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        give_up = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < give_up
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def stub_worker(port: int | None = None) -> Iterator[tuple[StubWorker, str]]:
    """A stub in service, and its address."""
    stub = StubWorker()
    with serving(stub.app, port) as url:
        yield stub, url
