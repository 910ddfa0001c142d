"""Work that waits for the device: compose jobs and rerank jobs, and how far each has come.

Plain state, changed only under the queue's lock; it knows neither threads nor the reranker.
"""

import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import ClassVar, Literal

from app.web.errors import DeadlineExceeded
from app.worker.errors import ComposeFailed, ShuttingDown
from app.worker.inference.images import CandidateImage, UnusableCandidate
from app.worker.inference.model import PrefixState, Query
from indexer.gallery.errors import ServiceError
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import Candidate, FailedCandidate, RerankChunk, RerankEnd

EndStatus = Literal["complete", "deadline", "shutting_down", "failed"]


class Job(ABC):
    """Something to do for a query.

    Attributes:
        query: The query.
        visual_tokens: What is left to do. A candidate counts as much as the reference: both are
            sent at the one re-rank size, and the candidates are not decoded yet.
        admitted_at: In seconds of `time.monotonic`.
        finished: It has ended, whatever the reason; the device must not work on it.
        started: The device has worked on it.
    """

    kind: ClassVar[str]

    def __init__(self, query: Query, images: int) -> None:
        self.query = query
        self.visual_tokens = images * query.reference.visual_tokens
        self.admitted_at = time.monotonic()
        self.finished = False
        self.started = False

    @abstractmethod
    def end(self, status: EndStatus) -> None:
        """Deliver that nothing more comes, and why."""

    def release(self) -> None:  # noqa: B027 (most jobs hold nothing)
        """Drop what it holds, and cancel work in progress for it."""


class ComposeJob(Job):
    """Wants the intent of a query."""

    kind = "compose"

    def __init__(
        self, query: Query, deliver: Callable[[ComposedIntent | ServiceError], None]
    ) -> None:
        super().__init__(query, images=1)
        self.deliver = deliver

    def end(self, status: EndStatus) -> None:
        """Deliver the error that stands for the status; nothing where the intent is delivered."""
        if status == "deadline":
            self.deliver(DeadlineExceeded("no intent was composed before the deadline"))
        elif status == "shutting_down":
            self.deliver(ShuttingDown("the worker is shutting down"))
        elif status == "failed":
            self.deliver(ComposeFailed("the reranker failed to compose an intent"))


class RerankJob(Job):
    """Wants the scores of candidates.

    Attributes:
        target: The target image in words; None: to be composed.
        prefix: What candidates are scored behind, once the query is prefilled.
        steps_run: Device steps it has had; a newcomer starts with those of the least served job.
        ready_since: When it could first use the device again, in seconds of `time.monotonic`.
        failed: Candidates that got no score.
        reranker_version: Of the reranker that scores it.
    """

    kind = "rerank"

    def __init__(
        self,
        query: Query,
        target: str | None,
        candidates: Sequence[Candidate],
        reranker_version: str,
        deliver: Callable[[RerankChunk | RerankEnd], None],
    ) -> None:
        super().__init__(query, images=1 + len(candidates))
        self.target = target
        self.deliver = deliver
        self.prefix: PrefixState | None = None
        self.steps_run = 0
        self.ready_since = self.admitted_at
        self.failed: list[FailedCandidate] = []
        self.reranker_version = reranker_version
        self._waiting = deque(candidates)
        self._fetching: list[tuple[Candidate, Future[CandidateImage]]] = []

    @property
    def candidates_left(self) -> int:
        """Candidates that no step has got yet."""
        return len(self._waiting) + len(self._fetching)

    def end(self, status: EndStatus) -> None:
        """Deliver the last line."""
        self.deliver(RerankEnd(status=status, failed=self.failed, reranker=self.reranker_version))

    def release(self) -> None:
        """Drop the prefix and the candidates; cancel decodes that have not started."""
        for _, future in self._fetching:
            future.cancel()
        self._fetching.clear()
        self._waiting.clear()
        self.prefix = None

    def fetch_ahead(
        self,
        depth: int,
        fetch: Callable[[Candidate], "Future[CandidateImage]"],
        wake: Callable[[object], None],
    ) -> None:
        """Keep `depth` candidates in decoding or ready: no more, images take memory.

        Args:
            depth: How many.
            fetch: Starts to decode a candidate.
            wake: Called when one is decoded, on any thread.
        """
        while self._waiting and len(self._fetching) < depth:
            candidate = self._waiting.popleft()
            future = fetch(candidate)
            self._fetching.append((candidate, future))
            future.add_done_callback(wake)

    def ready_at(self, chunk_size: int, max_batch_wait_s: float) -> float:
        """When its next step may run, in seconds of `time.monotonic`.

        0 (at once) for a prefill or a full chunk, `max_batch_wait_s` after `ready_since` for a
        part of a chunk, infinity while no candidate is decoded.
        """
        if self.prefix is None:
            return 0.0
        ready = sum(future.done() for _, future in self._fetching)
        if ready >= min(chunk_size, self.candidates_left):
            return 0.0
        return self.ready_since + max_batch_wait_s if ready else math.inf

    def pop_ready(self, limit: int) -> tuple[list[CandidateImage], list[FailedCandidate]]:
        """Decoded candidates in the order given, skipping those still in decoding.

        Args:
            limit: Most images; candidates that turn out unusable come on top.
        """
        images: list[CandidateImage] = []
        failed: list[FailedCandidate] = []
        still: list[tuple[Candidate, Future[CandidateImage]]] = []
        for candidate, future in self._fetching:
            if len(images) == limit or not future.done():
                still.append((candidate, future))
                continue
            try:
                images.append(future.result())
            except UnusableCandidate as error:
                failed.append(FailedCandidate(image_id=candidate.image_id, reason=str(error)))
        self._fetching = still
        return images, failed
