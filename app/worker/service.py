"""The use case: a request becomes a job, what the device delivers becomes the answer.

Knows asyncio and the job queue, nothing of HTTP. What a job delivers is carried from the device's
thread to the event loop of its request.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from app.web.errors import InvalidReferenceImage
from app.worker.errors import ComposeUnsupported
from app.worker.inference.model import AnyReranker, PreparedImage, Query
from app.worker.scheduling.jobs import ComposeJob, Job, RerankJob
from app.worker.scheduling.queue import JobQueue
from indexer.gallery.errors import ServiceError
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import (
    ComposeRequest,
    ComposeResponse,
    RerankChunk,
    RerankEnd,
    RerankRequest,
)
from models.datasets.images import ImageLimits, InvalidImage, decode_image

T = TypeVar("T")


class ThreadsafeQueue(Generic[T]):
    """Carries what any thread delivers to the event loop it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[T] = asyncio.Queue()

    def deliver(self, item: T) -> None:
        """Hand an item over; returns at once."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    async def get(self) -> T:
        """The next item, waiting for it."""
        return await self._queue.get()


class Submission:
    """A job in the queue until its request ends, and no longer than its deadline.

    The event loop watches the deadline, so that it holds even while the device is busy.
    """

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self._queue = queue
        self._job = job
        queue.submit(job)
        left_s = max(0.0, job.query.deadline - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(left_s, queue.end, job, "deadline")

    def cancel(self) -> None:
        """End the job, if it has not ended: its request has."""
        self._timer.cancel()
        self._queue.cancel(self._job)


class RerankStream:
    """The answer of a rerank, line by line."""

    def __init__(
        self, submission: Submission, lines: ThreadsafeQueue[RerankChunk | RerankEnd]
    ) -> None:
        self._submission = submission
        self._lines = lines

    async def lines(self) -> AsyncIterator[RerankChunk | RerankEnd]:
        """Chunks as they are scored, then the end."""
        while True:
            line = await self._lines.get()
            yield line
            if isinstance(line, RerankEnd):
                return

    def cancel(self) -> None:
        """To be called once the stream is not read any more, also after its end."""
        self._submission.cancel()


class RerankerService:
    """Composes and re-ranks."""

    def __init__(self, reranker: AnyReranker, queue: JobQueue, limits: ImageLimits) -> None:
        self._reranker = reranker
        self._queue = queue
        self._limits = limits

    async def compose(self, request: ComposeRequest, arrived_at: float) -> ComposeResponse:
        """The intent of a query. Cancelling the call cancels the job.

        Args:
            request: Reference, text and deadline.
            arrived_at: When, in seconds of `time.monotonic`; the deadline counts from there.

        Raises:
            ComposeUnsupported: The reranker only scores.
            DeadlineExceeded: Not composed in time.
            IntentParseError: The reranker found no intent.
            InvalidReferenceImage: The reference image cannot be used.
            ComposeFailed: The reranker failed.
            QueueFull: Too much is queued already.
            ShuttingDown: The worker stops.
        """
        if not self._reranker.composes:
            raise ComposeUnsupported(
                f"the reranker {self._reranker.version} only scores, it composes nothing"
            )
        query = await self._query(request, arrived_at)
        answers: ThreadsafeQueue[ComposedIntent | ServiceError] = ThreadsafeQueue()
        submission = Submission(self._queue, ComposeJob(query, answers.deliver))
        try:
            answer = await answers.get()
        finally:
            submission.cancel()
        if isinstance(answer, ServiceError):
            raise answer
        return ComposeResponse(intent=answer, reranker=self._reranker.version)

    async def rerank(self, request: RerankRequest, arrived_at: float) -> RerankStream:
        """Start to score candidates; the stream must be cancelled once it is not read any more.

        Raises:
            InvalidReferenceImage: The reference image cannot be used.
            QueueFull: Too much is queued already.
            ShuttingDown: The worker stops.
        """
        query = await self._query(request, arrived_at)
        lines: ThreadsafeQueue[RerankChunk | RerankEnd] = ThreadsafeQueue()
        job = RerankJob(
            query, request.target, request.candidates, self._reranker.version, lines.deliver
        )
        return RerankStream(Submission(self._queue, job), lines)

    async def _query(self, request: ComposeRequest, arrived_at: float) -> Query:
        self._queue.check_admits()  # a full worker does not decode what it will refuse
        reference, reference_hash = await asyncio.to_thread(self._read, request.reference_image)
        return Query(
            request.query_id,
            reference,
            reference_hash,
            request.modification_text,
            deadline=arrived_at + request.deadline_ms / 1000,
        )

    def _read(self, data: bytes) -> tuple[PreparedImage, str]:
        try:
            image = decode_image(data, self._limits)
        except InvalidImage as error:
            raise InvalidReferenceImage(f"the reference image cannot be used: {error}") from error
        return self._reranker.prepare(image), hashlib.sha256(data).hexdigest()
