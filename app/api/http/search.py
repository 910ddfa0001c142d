"""`POST /search` and `POST /search/stream`: one search, told at its end or as it goes.

Both end with the client: who hangs up stops the work, down to the worker.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.api.http.dependencies import EmbedderDep, ImageLimitsDep, SearchDep
from app.api.http.openapi import SEARCH_BODY, SEARCH_ERRORS, STREAM_EVENTS
from app.api.http.requests import decode_query, parse_search
from app.api.http.responses import composition, search_response
from app.api.http.schemas import Progress, SearchResponse
from app.api.search.metrics import StageTimer
from app.api.search.ports import QueryEncoder
from app.api.search.service import SearchService
from app.api.search.types import (
    IntentResolved,
    RerankProgress,
    Retrieved,
    SearchQuery,
    SearchResult,
    Stage,
)
from app.web.problems import problem_of
from models.datasets.images import ImageLimits

router = APIRouter(tags=["search"])

_CLIENT_LEFT = 499


@router.post(
    "/search", response_model=SearchResponse, responses=SEARCH_ERRORS, openapi_extra=SEARCH_BODY
)
async def search(
    request: Request, service: SearchDep, limits: ImageLimitsDep, embedder: EmbedderDep
) -> SearchResponse | Response:
    """Find the gallery images that look like the reference image with the text's change made."""
    async with _admitted(request, service, limits) as (query, timer):
        searching = asyncio.create_task(service.search(query, timer))
        leaving = asyncio.create_task(_left(request))
        try:
            await asyncio.wait({searching, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not searching.done():
                return Response(status_code=_CLIENT_LEFT)  # nobody will read it
            outcome = searching.result()
        finally:
            leaving.cancel()
            searching.cancel()
    return search_response(request, query.options, outcome, timer, embedder.fingerprint)


@asynccontextmanager
async def _admitted(
    request: Request, service: SearchService, limits: ImageLimits
) -> AsyncIterator[tuple[SearchQuery, StageTimer]]:
    """A query to be searched for while inside; its time runs from the end of its upload.

    Refused before its body is read where there is no room now, and once more when it is here:
    an upload that takes its time holds nobody else's place.
    """
    timer = StageTimer()
    service.check_room()
    with timer.stage("upload"):
        received = await parse_search(request)
    timer.restart()
    with service.admitted(received.fields.timeout_ms):
        with timer.stage("decode"):
            query = service.completed(await decode_query(received, limits))
        yield query, timer


@dataclass(frozen=True)
class StartedSearch:
    """A search whose first stage is done: from here on, errors are events."""

    query: SearchQuery
    timer: StageTimer
    first: Stage
    others: AsyncGenerator[Stage, None]


async def start_search(
    request: Request, service: SearchDep, limits: ImageLimitsDep
) -> AsyncGenerator[StartedSearch, None]:
    """Everything that can be refused is refused here, with a status; stops the work at the end."""
    async with (
        _admitted(request, service, limits) as (query, timer),
        aclosing(service.stages(query, timer)) as stages,
    ):
        yield StartedSearch(query, timer, await anext(stages), stages)


@router.post(
    "/search/stream",
    response_class=EventSourceResponse,
    responses=SEARCH_ERRORS | STREAM_EVENTS,
    openapi_extra=SEARCH_BODY,
)
async def search_stream(
    request: Request,
    begun: Annotated[StartedSearch, Depends(start_search)],
    embedder: EmbedderDep,
) -> AsyncIterable[ServerSentEvent]:
    """The same search as server-sent events: `intent`, `coarse`, `progress` …, then `result`."""
    yield _event(request, begun, begun.first, embedder)
    try:
        async for stage in begun.others:
            yield _event(request, begun, stage, embedder)
    except Exception as error:
        yield ServerSentEvent(event="error", data=problem_of(error))


def _event(
    request: Request, begun: StartedSearch, stage: Stage, embedder: QueryEncoder
) -> ServerSentEvent:
    options = begun.query.options
    match stage:
        case IntentResolved(intent):
            return ServerSentEvent(event="intent", data=composition(options, intent))
        case RerankProgress(reranked, of):
            return ServerSentEvent(event="progress", data=Progress(reranked=reranked, of=of))
        case Retrieved(outcome):
            name = "coarse"
        case SearchResult() as outcome:
            name = "result"
    answer = search_response(request, options, outcome, begun.timer, embedder.fingerprint)
    return ServerSentEvent(event=name, data=answer)


async def _left(request: Request) -> None:
    """Until the client hangs up; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
