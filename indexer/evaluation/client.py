"""Asks a running API the queries of a benchmark, many at a time.

A refusal for want of room (429) and an API that is not ready (503) are waited out; anything else
that is no answer ends the run with a sentence. What was answered is kept, see `answers`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from indexer.evaluation.types import FLAGS, Answer, Configuration, Query
from models.contracts.gallery import address_of
from models.errors import JobError

_WAITS_S = 60  # for an API that is full or not ready
_REFUSED = (429, 503)
_PAGE = 100


class SearchFailed(JobError):
    """The API cannot be reached, or refuses a query; the message says what would help."""


class SearchClient:
    """One API. Use `open_client`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def describe(self) -> dict[str, Any]:
        """What is being measured: `images`, `encoder_fingerprint` and the rest of `GET /gallery`.

        Raises:
            SearchFailed: It cannot be had.
        """
        return await self._json("GET", "/gallery")

    async def gallery_images(self) -> list[tuple[str, dict[str, Any]]]:
        """Id and attributes of every image of the gallery, in a stable order.

        Raises:
            SearchFailed: They cannot be had.
        """
        found: list[tuple[str, dict[str, Any]]] = []
        offset = ""
        while True:
            page = await self._json("GET", f"/gallery/images?limit={_PAGE}{offset}")
            found += [(image["image_id"], image["attributes"]) for image in page["images"]]
            if page["next_offset"] is None:
                return found
            offset = f"&offset={page['next_offset']}"

    async def search(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
        """One `POST /search`.

        Returns:
            Its answer, and the milliseconds it took, without waiting for room.

        Raises:
            SearchFailed: The API refused the query or went away.
        """
        give_up = time.monotonic() + _WAITS_S
        while True:
            began = time.perf_counter()
            response = await self._send("POST", "/search", json=body)
            took_ms = (time.perf_counter() - began) * 1000
            if response.status_code not in _REFUSED or time.monotonic() > give_up:
                return _content(response), took_ms
            await asyncio.sleep(float(response.headers.get("retry-after", 1)))

    async def picture(self, image_id: str) -> bytes:
        """The service's copy of an image; raises `SearchFailed`."""
        response = await self._send("GET", f"/images/{address_of(image_id)}")
        if not response.is_success:
            _content(response)
        return response.content

    async def ask(
        self, query: Query, configuration: Configuration, depth: int, timeout_ms: int
    ) -> Answer:
        """One query, searched one way; raises `SearchFailed`."""
        content, took_ms = await self.search(request_of(query, configuration, depth, timeout_ms))
        coverage = content["coverage"]
        return Answer(
            query_id=query.query_id,
            ranked_ids=tuple(result["image_id"] for result in content["results"]),
            latency_ms=round(took_ms, 2),
            reasons=tuple(coverage["reasons"]) if coverage["degraded"] else (),
            flags=tuple(flag for flag in FLAGS if flag in coverage["reasons"]),
            reranker=content["models"]["reranker"],
        )

    async def _json(self, method: str, path: str) -> dict[str, Any]:
        return _content(await self._send(method, path))

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise SearchFailed(
                f"no answer from {self._http.base_url} ({error or type(error).__name__}); start "
                "the API, or give its address with --api; the same command goes on from here"
            ) from None


@asynccontextmanager
async def open_client(api: str, concurrency: int, timeout_ms: int) -> AsyncIterator[SearchClient]:
    """A client for an API.

    Args:
        api: Its address.
        concurrency: Most requests at a time.
        timeout_ms: The deadline that searches are given; the connection waits a little longer.
    """
    limits = httpx.Limits(max_connections=concurrency)
    timeout = httpx.Timeout(timeout_ms / 1000 + 10)
    async with httpx.AsyncClient(base_url=api, limits=limits, timeout=timeout) as http:
        yield SearchClient(http)


def request_of(
    query: Query, configuration: Configuration, depth: int, timeout_ms: int
) -> dict[str, Any]:
    """The body of `POST /search` for one query, searched one way, `depth` results deep."""
    composed = configuration.composition in ("facets", "mllm")
    body: dict[str, Any] = {
        "reference_image": {"image_id": query.reference_id},
        "modification_text": query.text,
        "top_k": depth,
        "retrieval_depth": max(depth, configuration.rerank_depth),
        "rerank_depth": configuration.rerank_depth,
        "timeout_ms": timeout_ms,
        "composition": "intersection" if composed else configuration.composition,
        "exclude_reference": query.excludes_reference,
        "attribute_check": "demote" if configuration.attribute_check else "off",
    }
    if composed:
        body["intent_source"] = configuration.composition
    if query.among:
        body["among"] = list(query.among)
    if query.filter:
        body["filter"] = dict(query.filter)
    return body


async def ask_all(
    client: SearchClient,
    queries: Sequence[Query],
    configuration: Configuration,
    *,
    depth: int,
    timeout_ms: int,
    concurrency: int,
) -> AsyncIterator[Answer]:
    """Answers as they come, `concurrency` queries at a time; raises `SearchFailed`."""
    waiting = iter(queries)
    running: set[asyncio.Task[Answer]] = set()
    try:
        while True:
            for query in waiting:
                running.add(
                    asyncio.create_task(client.ask(query, configuration, depth, timeout_ms))
                )
                if len(running) >= concurrency:
                    break
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()


def _content(response: httpx.Response) -> dict[str, Any]:
    """The JSON of an answer; a problem document's sentence otherwise."""
    try:
        content = response.json()
    except ValueError:
        content = {}
    if response.is_success and isinstance(content, dict) and content:
        return content
    said = content.get("detail") if isinstance(content, dict) else None
    hint = ""
    if response.status_code == 404:
        hint = "; is the gallery in service the one these queries are about?"
    raise SearchFailed(
        f"the API answers {response.request.url.path} with {response.status_code}: "
        f"{said or response.text[:200] or 'nothing'}{hint}"
    )
