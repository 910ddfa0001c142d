"""The `Reranker` port on HTTP: asks workers, tries the next one, checks every answer.

The only limit of time of its own is that of connecting. A caller that stops waiting closes the
connection, and the worker cancels the work.
"""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.api.adapters.worker_pool import WorkerPool, WorkerState
from app.api.search.ports import RerankerIntent, RerankQuery, RerankScores
from app.web.errors import (
    CandidatesFailed,
    RerankerError,
    RerankerFailed,
    RerankerOverloaded,
    RerankerUnavailable,
    RerankTimeout,
    most_telling,
)
from models.contracts.gallery import GalleryImage
from models.contracts.rerank import (
    Candidate,
    ComposeRequest,
    ComposeResponse,
    RerankChunk,
    RerankEnd,
    RerankRequest,
)

_LINE: TypeAdapter[RerankChunk | RerankEnd] = TypeAdapter(
    Annotated[RerankChunk | RerankEnd, Field(discriminator="type")]
)
_MAX_LINE_BYTES = 2_000_000  # more than a thousand failed candidates with their reasons
_MAX_QUERY_ID_CHARS = 100
_JSON = {"content-type": "application/json"}


class WorkerReranker:
    """Composes and reranks on the worker that a query belongs to."""

    def __init__(self, http: httpx.AsyncClient, pool: WorkerPool) -> None:
        self._http, self._pool = http, pool

    async def compose(self, query: RerankQuery, timeout_s: float) -> RerankerIntent:
        """The intent by the reranker; see the port."""
        until = asyncio.get_running_loop().time() + timeout_s
        failure: RerankerError | None = None
        for worker in self._pool.ranked_for(_key(query)):
            body = ComposeRequest(**_fields(query, until))
            try:
                async with self._post(worker, "/v1/compose", body) as answer:
                    composed = _composed(await _whole(answer))
            except (RerankerUnavailable, RerankerOverloaded) as error:
                failure = most_telling(failure, error)
                continue
            self._pool.mark_healthy(worker, composed.reranker)
            return RerankerIntent(composed.intent, composed.reranker)
        raise failure or RerankerUnavailable("no worker can be reached")

    async def rerank(
        self,
        query: RerankQuery,
        target: str | None,
        candidates: Sequence[GalleryImage],
        timeout_s: float,
    ) -> AsyncGenerator[RerankScores, None]:
        """Scores as they come; what a lost worker leaves, the next one gets. See the port.

        Once there are scores, a worker with another version of the reranker is passed over: scores
        of two versions cannot be compared, and those that are delivered cannot be taken back.
        """
        until = asyncio.get_running_loop().time() + timeout_s
        pending = PendingScores(candidates, query.rerank_px)
        failure: RerankerError | None = None
        for worker in self._pool.ranked_for(_key(query)):
            body = RerankRequest(
                **_fields(query, until), target=target, candidates=pending.candidates
            )
            try:
                async with self._post(worker, "/v1/rerank", body) as answer:
                    async for line in _lines(answer):
                        if isinstance(line, RerankEnd):
                            self._pool.mark_healthy(worker, line.reranker)
                            if line.status == "shutting_down":
                                self._pool.mark_down(worker, "it is shutting down")
                            pending.finish(line)
                            return
                        if scores := pending.record(line):
                            yield scores
                self._pool.probe_soon(worker)
                pending.check_all_scored()
                return
            except (RerankerUnavailable, RerankerOverloaded) as error:
                failure = most_telling(failure, error)
                if not pending.candidates:  # lost between its last score and its last line
                    pending.check_all_scored()
                    return
        raise failure or RerankerUnavailable("no worker can be reached")

    @asynccontextmanager
    async def _post(
        self, worker: WorkerState, path: str, body: BaseModel
    ) -> AsyncIterator[httpx.Response]:
        """A worker's answer with status 200, as it comes in.

        Raises:
            RerankerError: There is no such answer.
        """
        url, content = worker.url + path, body.model_dump_json()
        try:
            async with self._http.stream("POST", url, content=content, headers=_JSON) as answer:
                if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                    self._pool.mark_down(worker, "not ready (503)")
                _check_status(answer.status_code)
                yield answer
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._pool.mark_down(worker, f"{type(error).__name__} {error}".strip())
            raise RerankerUnavailable(f"{worker} cannot be reached") from error
        except httpx.TransportError as error:
            self._pool.probe_soon(worker)
            raise RerankerUnavailable(f"{worker} was lost: {type(error).__name__}") from error
        except httpx.HTTPError as error:
            raise RerankerFailed(f"{worker} breaks HTTP: {error}") from error
        except asyncio.CancelledError:  # time was up, or the client left
            self._pool.probe_soon(worker)
            raise


class PendingScores:
    """Which candidates have no answer yet, and which version of the reranker gave the answers.

    Refuses answers that were not asked for, and scores of a second version.
    """

    def __init__(self, candidates: Sequence[GalleryImage], rerank_px: int) -> None:
        self._pending = {
            image.image_id: Candidate(
                image_id=image.image_id, content_hash=image.content_hash, rerank_px=rerank_px
            )
            for image in candidates
        }
        self._failed = 0
        self._reranker: str | None = None

    @property
    def candidates(self) -> list[Candidate]:
        """Those without an answer, in the order given."""
        return list(self._pending.values())

    def record(self, chunk: RerankChunk) -> RerankScores | None:
        """Note the scores of a chunk; None for one without scores.

        Raises:
            RerankerFailed: Some were not asked for, or came twice.
            RerankerUnavailable: It is by another version than the scores before it.
        """
        if not chunk.scores:
            return None
        if self._reranker not in (None, chunk.reranker):
            raise RerankerUnavailable(f"{self._reranker} gave scores, and this is {chunk.reranker}")
        self._reranker = chunk.reranker
        for score in chunk.scores:
            self._take(score.image_id)
        scores = {score.image_id: score.score for score in chunk.scores}
        return RerankScores(scores, chunk.reranker)

    def finish(self, end: RerankEnd) -> None:
        """Note the last line.

        Raises:
            RerankerError: Some candidates are left without a score.
        """
        for candidate in end.failed:
            self._take(candidate.image_id)
        self._failed += len(end.failed)
        if end.status == "deadline":
            raise RerankTimeout("the worker ran out of time")
        if end.status == "failed":
            raise RerankerFailed("the reranker failed")
        if self._pending and end.status == "complete":
            raise RerankerFailed(f"the worker said nothing of {len(self._pending)} candidates")
        if self._pending:
            raise RerankerUnavailable("the worker is shutting down")
        self.check_all_scored()

    def check_all_scored(self) -> None:
        """Check an answer whose last line never came.

        Raises:
            RerankerUnavailable: Some candidates are without an answer.
            CandidatesFailed: All have one, and for some it is not a score.
        """
        if self._pending:
            raise RerankerUnavailable("the worker's answer was cut off")
        if self._failed:
            raise CandidatesFailed(f"{self._failed} candidates could not be scored")

    def _take(self, image_id: str) -> None:
        if self._pending.pop(image_id, None) is None:
            raise RerankerFailed(f"the worker answered {image_id!r} unasked or twice")


def _key(query: RerankQuery) -> bytes:
    text = query.modification_text.encode()
    return hashlib.sha256(query.reference_jpeg + b"\0" + text).digest()


def _fields(query: RerankQuery, until: float) -> dict[str, object]:
    left_s = until - asyncio.get_running_loop().time()
    return {
        "query_id": query.query_id[:_MAX_QUERY_ID_CHARS],
        "reference_image": base64.b64encode(query.reference_jpeg),
        "modification_text": query.modification_text,
        "deadline_ms": max(1, int(left_s * 1000)),
    }


def _check_status(status: int) -> None:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise RerankerOverloaded("the worker is overloaded")
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        raise RerankerUnavailable("the worker is not ready")
    if status == httpx.codes.GATEWAY_TIMEOUT:
        raise RerankTimeout("the worker ran out of time")
    if status != httpx.codes.OK:
        raise RerankerFailed(f"the worker answered {status}")


def _composed(data: bytes) -> ComposeResponse:
    try:
        composed = ComposeResponse.model_validate_json(data)
    except ValidationError as error:
        raise RerankerFailed(f"the composed intent is malformed: {error}") from None
    if composed.intent.source != "mllm":
        raise RerankerFailed(f"the worker claims an intent of {composed.intent.source!r}")
    return composed


async def _whole(answer: httpx.Response) -> bytes:
    data = bytearray()
    async for piece in answer.aiter_bytes():
        data += piece
        _check_length(data)
    return bytes(data)


async def _lines(answer: httpx.Response) -> AsyncGenerator[RerankChunk | RerankEnd, None]:
    """The answer's lines, checked; blank ones are left out."""
    rest = bytearray()
    async for piece in answer.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        _check_length(rest)
        for line in lines:
            if line.strip():
                yield _parsed(bytes(line))


def _parsed(line: bytes) -> RerankChunk | RerankEnd:
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise RerankerFailed(f"a line of the worker is malformed: {error}") from None


def _check_length(data: bytearray) -> None:
    if len(data) > _MAX_LINE_BYTES:
        raise RerankerFailed(
            f"the worker answers without end, over {_MAX_LINE_BYTES:,} bytes a line"
        )
