"""Where jobs wait: any thread brings work or takes it back, the device's asks what is next.

Owns the one lock of the worker. Whatever ends a job (done, deadline, client gone, shutdown), it
ends once; what nobody waits for any more never reaches the device.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition

from app.worker.errors import QueueFull, ShuttingDown
from app.worker.inference.images import CandidateImage
from app.worker.inference.model import Prefix
from app.worker.metrics import (
    DROPPED,
    EXPIRED,
    FAILED_JOBS,
    HANDED_BACK,
    QUEUE_WAIT_SECONDS,
    REJECTED,
)
from app.worker.scheduling.jobs import ComposeJob, EndStatus, Job, RerankJob
from app.worker.scheduling.policy import Schedule
from indexer.gallery.errors import ServiceError
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import Candidate, CandidateScore, FailedCandidate, RerankChunk

_log = logging.getLogger(__name__)

_ENDED = {"deadline": EXPIRED, "shutting_down": HANDED_BACK, "failed": FAILED_JOBS}


class JobQueue:
    """Admits, orders and ends jobs."""

    def __init__(
        self, schedule: Schedule, fetch: Callable[[Candidate], "Future[CandidateImage]"], ahead: int
    ) -> None:
        """Begin empty and open.

        Args:
            schedule: Who is next.
            fetch: Begins to decode a candidate.
            ahead: How many candidates of a query are decoded before the device wants them.
        """
        self._schedule = schedule
        self._fetch = fetch
        self._ahead = ahead
        self._changed = Condition()  # guards the schedule and every job in it
        self._admitting = True
        self._closed = False

    @property
    def queued_visual_tokens(self) -> int:
        """What waits for the device."""
        return self._schedule.queued_visual_tokens

    def check_open(self) -> None:
        """Refuse everything once nothing is admitted any more.

        Raises:
            ShuttingDown: It is so.
        """
        if not self._admitting:
            raise ShuttingDown("the worker is shutting down")

    def check_admits(self, visual_tokens: int = 1) -> None:
        """Refuse what cannot be admitted, before anything is done for it.

        Args:
            visual_tokens: What it costs; not known before the reference is decoded.

        Raises:
            QueueFull: Too much is queued already.
            ShuttingDown: Nothing is admitted any more.
        """
        with self._changed:
            self.check_open()
            if not self._schedule.has_room(visual_tokens):
                REJECTED.inc()
                raise QueueFull(self.queued_visual_tokens, self._schedule.retry_after_s())

    def submit(self, job: Job) -> None:
        """Admit a job.

        Raises:
            QueueFull: Too much is queued already.
            ShuttingDown: Nothing is admitted any more.
        """
        with self._changed:
            self.check_admits(job.visual_tokens)
            self._schedule.add(job)
            self._fetch_ahead(job)
            self._changed.notify_all()

    def leave(self, job: Job) -> None:
        """Drop a job whose client is gone, if it is not over."""
        with self._changed:
            if not job.over:
                DROPPED.labels(job.kind).inc()
                self._forget(job)

    def end(self, job: Job, status: EndStatus) -> None:
        """End a job, if it is not over."""
        with self._changed:
            if job.over:
                return
            if status in _ENDED:
                _ENDED[status].labels(job.kind).inc()
            took_ms = round((time.monotonic() - job.admitted_at) * 1000)
            fields = {"query_id": job.query.query_id, "status": status, "took_ms": took_ms}
            _log.info("%s ended", job.kind, extra={"fields": fields})
            self._forget(job)
            job.end(status)

    def stop_admitting(self) -> None:
        """From now on new jobs are refused; those admitted go on."""
        with self._changed:
            self._admitting = False

    def wait_idle(self, timeout_s: float) -> bool:
        """Block until every job is over; returns whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._schedule.jobs, timeout_s)

    def close(self) -> None:
        """Hand back what is left, also what the device has in hand; `next_job` gives no more."""
        with self._changed:
            self._admitting = False
            for job in self._schedule.jobs:
                self.end(job, "shutting_down")
            self._closed = True
            self._changed.notify_all()

    def next_job(self, while_idle: Callable[[], float | None]) -> Job | None:
        """Wait for the next job to serve; None once closed.

        Args:
            while_idle: Called before every wait; returns seconds until it should be called again.
        """
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for job in [job for job in self._schedule.jobs if job.query.deadline <= now]:
                    self.end(job, "deadline")
                found = self._schedule.next_job(now)
                if found is not None:
                    self._note_wait(found, now)
                    return found
                wait_s = min(while_idle() or math.inf, self._schedule.next_ripe_at() - now)
                self._changed.wait(None if wait_s == math.inf else max(0.0, wait_s))
        return None

    def take(self, job: RerankJob, most: int) -> tuple[list[CandidateImage], list[FailedCandidate]]:
        """The next candidates of a job; decoding goes on while the device is busy with them."""
        with self._changed:
            taken = job.take(most)
            self._fetch_ahead(job)
            return taken

    def composed(
        self, job: ComposeJob, answer: ComposedIntent | ServiceError, seconds: float
    ) -> None:
        """A compose took so many seconds of the device."""
        with self._changed:
            self._schedule.done(job, 1, seconds)
            if not job.over:
                job.deliver(answer)
                self.end(job, "complete")

    def opened(self, job: RerankJob, prefix: Prefix, seconds: float) -> None:
        """A query's prefix is there; its candidates can be judged."""
        with self._changed:
            self._schedule.done(job, 1, seconds)
            if not job.over:
                job.prefix = prefix
                self._after_turn(job)

    def scored(
        self,
        job: RerankJob,
        scores: Sequence[CandidateScore],
        failed: Sequence[FailedCandidate],
        images: int,
        seconds: float,
    ) -> None:
        """A chunk of so many images is judged."""
        with self._changed:
            self._schedule.done(job, images, seconds)
            if job.over:
                return
            job.failed += failed
            if scores:
                job.deliver(RerankChunk(scores=list(scores), reranker=job.reranker_version))
            self._after_turn(job)

    def _after_turn(self, job: RerankJob) -> None:
        """To the back of the round, or, with every candidate scored or failed, out of it."""
        job.turns += 1
        job.ready_since = time.monotonic()
        if not job.candidates_left:
            self.end(job, "complete")

    def _fetch_ahead(self, job: Job) -> None:
        if isinstance(job, RerankJob):
            job.fetch_ahead(self._ahead, self._fetch, self._wake)

    def _wake(self, _: object) -> None:
        """A candidate is decoded: somebody may be ripe."""
        with self._changed:
            self._changed.notify_all()

    def _note_wait(self, job: Job, now: float) -> None:
        if not job.began:
            job.began = True
            QUEUE_WAIT_SECONDS.labels(job.kind).observe(now - job.admitted_at)

    def _forget(self, job: Job) -> None:
        job.over = True
        self._schedule.remove(job)
        job.abandon()
        self._changed.notify_all()
