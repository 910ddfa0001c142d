"""Which jobs may wait for the device, and which is next.

Knows visual tokens and steps, nothing of threads: the job queue calls it under its lock.
"""

import math

from app.worker.metrics import QUEUED_VISUAL_TOKENS
from app.worker.scheduling.jobs import ComposeJob, Job, RerankJob

MAX_BATCH_WAIT_S = 0.005
"""How long a query waits for its chunk to fill, in seconds, before it runs with what is decoded.

A chunk of one costs the device nearly as much as a full one; a stalled file must not stall a query.
"""
_MAX_RETRY_AFTER_S = 60
_EWMA_DECAY = 0.9  # a step weighs nine tenths of the one after it


class Schedule:
    """The jobs that wait, and the device's recent speed.

    Attributes:
        queued_visual_tokens: Of all jobs that wait, what is left to do.
    """

    def __init__(self, chunk_size: int, max_queued_visual_tokens: int) -> None:
        self._chunk_size = chunk_size
        self._max_queued = max_queued_visual_tokens
        self._compose: list[ComposeJob] = []
        self._rerank: list[RerankJob] = []
        self._done_tokens = self._busy_s = 0.0
        self.queued_visual_tokens = 0

    @property
    def jobs(self) -> list[Job]:
        """All jobs that wait."""
        return [*self._compose, *self._rerank]

    def has_room(self, visual_tokens: int) -> bool:
        """Whether so much more may wait. A query larger than the bound may wait alone."""
        queued = self.queued_visual_tokens
        return queued == 0 or queued + visual_tokens <= self._max_queued

    def retry_after_s(self) -> int:
        """Whole seconds until the queue should be empty, by the device's recent speed."""
        if not self._done_tokens:
            return 1
        wait_s = self.queued_visual_tokens * self._busy_s / self._done_tokens
        return max(1, min(_MAX_RETRY_AFTER_S, math.ceil(wait_s)))

    def add(self, job: Job) -> None:
        """Let a job wait. It starts with the steps of the least served job."""
        if isinstance(job, RerankJob):
            job.steps_run = min((other.steps_run for other in self._rerank), default=0)
            self._rerank.append(job)
        elif isinstance(job, ComposeJob):
            self._compose.append(job)
        self._count(job.visual_tokens)

    def remove(self, job: Job) -> None:
        """Drop a job and what it had left to do."""
        if isinstance(job, RerankJob):
            self._rerank.remove(job)
        elif isinstance(job, ComposeJob):
            self._compose.remove(job)
        self._count(-job.visual_tokens)
        job.visual_tokens = 0

    def next_job(self, now: float) -> Job | None:
        """The job to serve at `now` (seconds of `time.monotonic`), if any is ready.

        Compose jobs first: nothing is retrieved before they are done. Then the rerank job with the
        fewest steps; ties go to the earliest deadline, then to the job admitted first.
        """
        if self._compose:
            return min(self._compose, key=lambda job: job.query.deadline)
        ready = [
            job for job in self._rerank if job.ready_at(self._chunk_size, MAX_BATCH_WAIT_S) <= now
        ]
        return min(ready, key=lambda job: (job.steps_run, job.query.deadline), default=None)

    def next_ready_at(self) -> float:
        """When the next rerank job is ready if no decode ends before, in seconds."""
        return min(
            (job.ready_at(self._chunk_size, MAX_BATCH_WAIT_S) for job in self._rerank),
            default=math.inf,
        )

    def done(self, job: Job, images: int, seconds: float) -> None:
        """Count a step: `images` of the job took `seconds` of the device."""
        tokens = images * job.query.reference.visual_tokens
        self._done_tokens = self._done_tokens * _EWMA_DECAY + tokens
        self._busy_s = self._busy_s * _EWMA_DECAY + seconds
        if not job.finished:
            job.visual_tokens -= tokens
            self._count(-tokens)

    def _count(self, visual_tokens: int) -> None:
        self.queued_visual_tokens += visual_tokens
        QUEUED_VISUAL_TOKENS.set(self.queued_visual_tokens)
