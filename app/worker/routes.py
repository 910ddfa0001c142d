"""The worker's HTTP interface: parse, call one method, shape the reply."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import Receive, Scope, Send

from app.worker.errors import NotReady
from app.worker.lifecycle import WorkerRuntime
from app.worker.service import RerankStream
from models.contracts.rerank import ComposeRequest, ComposeResponse, RerankRequest, WorkerInfo

router = APIRouter()


def _worker(request: Request) -> WorkerRuntime:
    return cast(WorkerRuntime, request.app.state.worker)


WorkerDep = Annotated[WorkerRuntime, Depends(_worker)]


@router.post("/v1/compose", tags=["reranker"], response_model=ComposeResponse)
async def compose(
    body: ComposeRequest, request: Request, worker: WorkerDep
) -> ComposeResponse | Response:
    """The intent of a composed query."""
    composing = asyncio.ensure_future(worker.service.compose(body, request.state.arrived_at))
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({composing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return composing.result() if composing.done() else Response()  # the client is gone
    finally:
        composing.cancel()
        leaving.cancel()


@router.post(
    "/v1/rerank",
    tags=["reranker"],
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
async def rerank(body: RerankRequest, request: Request, worker: WorkerDep) -> StreamingResponse:
    """How well each candidate fits: a line per chunk as it is scored, then the end."""
    return _LinesResponse(await worker.service.rerank(body, request.state.arrived_at))


@router.get("/v1/info", tags=["reranker"])
async def info(worker: WorkerDep) -> WorkerInfo:
    """Which reranker runs here, on what, and how much waits."""
    return worker.info()


@router.get("/healthz", tags=["service"], response_class=PlainTextResponse)
async def healthz() -> str:
    """The process is alive."""
    return "ok"


@router.get("/readyz", tags=["service"])
async def readyz(worker: WorkerDep) -> JSONResponse:
    """Whether jobs are admitted: 200, or 503 with the reason."""
    try:
        worker.check_ready()
    except NotReady as error:
        return JSONResponse({"ready": False, "reasons": [str(error)]}, 503)
    return JSONResponse({"ready": True, "reasons": []})


@router.get("/metrics", tags=["service"], response_class=PlainTextResponse)
async def metrics() -> PlainTextResponse:
    """Counters and histograms for Prometheus."""
    return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _LinesResponse(StreamingResponse):
    """A line as soon as there is one; however the response ends, the stream is cancelled.

    A client can be gone before the first line is asked for: a `finally` in the generator would
    not run then.
    """

    def __init__(self, stream: RerankStream) -> None:
        super().__init__(_encoded(stream), media_type="application/x-ndjson")
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stream.cancel()


async def _encoded(stream: RerankStream) -> AsyncIterator[str]:
    async for line in stream.lines():
        yield line.model_dump_json() + "\n"


async def _disconnected(request: Request) -> None:
    """Wait until the client is gone; the body is read already, nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
