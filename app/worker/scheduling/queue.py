"""Where jobs wait: any thread submits and cancels them, the device's gets the next one.

Owns the one lock of the worker. Whatever ends a job (done, deadline, client gone, shutdown), it
ends once, and a job that has ended gets no further step of the device.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition

from app.worker.errors import QueueFull, ShuttingDown
from app.worker.inference.images import CandidateImage
from app.worker.inference.model import PrefixState
from app.worker.metrics import JOBS, QUEUE_WAIT_SECONDS, REJECTED
from app.worker.scheduling.jobs import ComposeJob, EndStatus, Job, RerankJob
from app.worker.scheduling.policy import Schedule
from indexer.gallery.errors import ServiceError
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import Candidate, CandidateScore, FailedCandidate, RerankChunk

_log = logging.getLogger(__name__)


class JobQueue:
    """Admits, orders and ends jobs."""

    def __init__(
        self, schedule: Schedule, fetch: Callable[[Candidate], "Future[CandidateImage]"], ahead: int
    ) -> None:
        """Start empty and open.

        Args:
            schedule: Says which job is next.
            fetch: Starts to decode a candidate.
            ahead: How many candidates of a query are decoded ahead of the device.
        """
        self._schedule = schedule
        self._fetch = fetch
        self._ahead = ahead
        self._changed = Condition()  # guards the schedule and every job in it
        self._admitting = True
        self._closed = False

    @property
    def queued_visual_tokens(self) -> int:
        """What is left to do for all jobs."""
        return self._schedule.queued_visual_tokens

    def check_open(self) -> None:
        """Refuse everything once nothing is admitted any more.

        Raises:
            ShuttingDown: Nothing is.
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

    def cancel(self, job: Job) -> None:
        """End a job whose client is gone, if it has not ended."""
        with self._changed:
            if not job.finished:
                JOBS.labels(job.kind, "cancelled").inc()
                self._remove(job)

    def end(self, job: Job, status: EndStatus) -> None:
        """End a job, if it has not ended."""
        with self._changed:
            if job.finished:
                return
            JOBS.labels(job.kind, status).inc()
            took_ms = round((time.monotonic() - job.admitted_at) * 1000)
            fields = {"query_id": job.query.query_id, "status": status, "took_ms": took_ms}
            _log.info("%s ended", job.kind, extra={"fields": fields})
            self._remove(job)
            job.end(status)

    def stop_admitting(self) -> None:
        """From now on new jobs are refused; those admitted go on."""
        with self._changed:
            self._admitting = False

    def wait_idle(self, timeout_s: float) -> bool:
        """Block until every job has ended; returns whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._schedule.jobs, timeout_s)

    def close(self) -> None:
        """End what is left, also the job that the device works on; `next_job` gives no more."""
        with self._changed:
            self._admitting = False
            for job in self._schedule.jobs:
                self.end(job, "shutting_down")
            self._closed = True
            self._changed.notify_all()

    def next_job(self, while_idle: Callable[[], float | None]) -> Job | None:
        """Wait for the next job to serve; None once closed. Ends jobs whose deadline has passed.

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
                wait_s = min(while_idle() or math.inf, self._schedule.next_ready_at() - now)
                self._changed.wait(None if wait_s == math.inf else max(0.0, wait_s))
        return None

    def pop_ready(
        self, job: RerankJob, limit: int
    ) -> tuple[list[CandidateImage], list[FailedCandidate]]:
        """The next candidates of a job, at most `limit`; more get decoded meanwhile."""
        with self._changed:
            popped = job.pop_ready(limit)
            self._fetch_ahead(job)
            return popped

    def composed(
        self, job: ComposeJob, answer: ComposedIntent | ServiceError, seconds: float
    ) -> None:
        """Deliver an intent that took so many seconds of the device."""
        with self._changed:
            self._schedule.done(job, 1, seconds)
            if not job.finished:
                job.deliver(answer)
                self.end(job, "complete")

    def prefilled(self, job: RerankJob, prefix: PrefixState, seconds: float) -> None:
        """A query's prefix is there, after so many seconds: its candidates can be scored."""
        with self._changed:
            self._schedule.done(job, 1, seconds)
            if not job.finished:
                job.prefix = prefix
                self._after_step(job)

    def scored(
        self,
        job: RerankJob,
        scores: Sequence[CandidateScore],
        failed: Sequence[FailedCandidate],
        images: int,
        seconds: float,
    ) -> None:
        """Deliver the outcome of a chunk of `images` that took so many seconds of the device."""
        with self._changed:
            self._schedule.done(job, images, seconds)
            if job.finished:
                return
            job.failed += failed
            if scores:
                job.deliver(RerankChunk(scores=list(scores), reranker=job.reranker_version))
            self._after_step(job)

    def _after_step(self, job: RerankJob) -> None:
        """Wait for the next step, or end with every candidate scored or failed."""
        job.steps_run += 1
        job.ready_since = time.monotonic()
        if not job.candidates_left:
            self.end(job, "complete")

    def _fetch_ahead(self, job: Job) -> None:
        if isinstance(job, RerankJob):
            job.fetch_ahead(self._ahead, self._fetch, self._wake)

    def _wake(self, _: object) -> None:
        """A candidate is decoded: its job may be ready."""
        with self._changed:
            self._changed.notify_all()

    def _note_wait(self, job: Job, now: float) -> None:
        if not job.started:
            job.started = True
            QUEUE_WAIT_SECONDS.labels(job.kind).observe(now - job.admitted_at)

    def _remove(self, job: Job) -> None:
        job.finished = True
        self._schedule.remove(job)
        job.release()
        self._changed.notify_all()
