"""`POST /search` and `POST /search/stream`: one search, told at its end or as it goes.

Both end with the client: a closed connection stops the work, down to the worker.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.api.http.dependencies import Services, ServicesDep
from app.api.http.openapi import SEARCH_BODY, SEARCH_ERRORS, STREAM_EVENTS
from app.api.http.requests import decode_query, parse_search
from app.api.http.responses import search_response
from app.api.http.schemas import Composition, Progress, SearchResponse
from app.api.search.metrics import StageTimer
from app.api.search.types import (
    IntentResolved,
    RerankProgress,
    Retrieved,
    SearchEvent,
    SearchQuery,
    SearchResult,
)
from app.web.problems import problem_of

router = APIRouter(tags=["search"])

_CLIENT_CLOSED_REQUEST = 499


@router.post(
    "/search", response_model=SearchResponse, responses=SEARCH_ERRORS, openapi_extra=SEARCH_BODY
)
async def search(request: Request, services: ServicesDep) -> SearchResponse | Response:
    """Find the gallery images that look like the reference image with the text's change made."""
    async with _admitted(request, services) as (query, timer):
        searching = asyncio.create_task(services.search.search(query, timer))
        disconnecting = asyncio.create_task(wait_for_disconnect(request))
        try:
            await asyncio.wait({searching, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
            if not searching.done():
                return Response(status_code=_CLIENT_CLOSED_REQUEST)  # cannot be delivered
            result = searching.result()
        finally:
            disconnecting.cancel()
            searching.cancel()
    return search_response(request, result)


@asynccontextmanager
async def _admitted(
    request: Request, services: Services
) -> AsyncIterator[tuple[SearchQuery, StageTimer]]:
    """A query to be searched for while inside; its time runs from the end of its upload.

    Refused before its body is read where there is no room now, and once more when it is here: a
    slow upload takes no place.
    """
    timer = StageTimer()
    services.search.check_room()
    with timer.stage("upload"):
        received = await parse_search(request)
    timer.restart()
    with services.search.admitted(received.fields.timeout_ms):
        with timer.stage("decode"):
            query = await decode_query(received, services.image_limits)
        yield query, timer


@dataclass(frozen=True)
class StartedSearch:
    """A search whose first event is there: from here on, errors are events.

    Attributes:
        first: The first event.
        others: Those that follow, as they come.
    """

    first: SearchEvent
    others: AsyncGenerator[SearchEvent, None]


async def start_search(
    request: Request, services: ServicesDep
) -> AsyncGenerator[StartedSearch, None]:
    """Everything that can be refused is refused here, with a status; stops the work at the end."""
    async with (
        _admitted(request, services) as (query, timer),
        aclosing(services.search.events(query, timer)) as events,
    ):
        yield StartedSearch(await anext(events), events)


@router.post(
    "/search/stream",
    response_class=EventSourceResponse,
    responses=SEARCH_ERRORS | STREAM_EVENTS,
    openapi_extra=SEARCH_BODY,
)
async def search_stream(
    request: Request, started: Annotated[StartedSearch, Depends(start_search)]
) -> AsyncIterable[ServerSentEvent]:
    """The same search as server-sent events: `intent`, `coarse`, `progress` …, then `result`."""
    yield _server_sent(request, started.first)
    try:
        async for event in started.others:
            yield _server_sent(request, event)
    except Exception as error:
        yield ServerSentEvent(event="error", data=problem_of(error))


def _server_sent(request: Request, event: SearchEvent) -> ServerSentEvent:
    match event:
        case IntentResolved(mode, intent):
            return ServerSentEvent(event="intent", data=Composition(mode=mode, intent=intent))
        case RerankProgress(reranked, of):
            return ServerSentEvent(event="progress", data=Progress(reranked=reranked, of=of))
        case Retrieved(result):
            return ServerSentEvent(event="coarse", data=search_response(request, result))
        case SearchResult():
            return ServerSentEvent(event="result", data=search_response(request, event))


async def wait_for_disconnect(request: Request) -> None:
    """Return when the client hangs up; its body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
