"""Drives the device: gets the next job from the queue, does one step of it, delivers, repeats.

A step is a compose, the prefill of a query, or one chunk of one query's candidates. Queries take
turns, so a long one cannot hold up a short one, and every chunk is delivered when it is scored.
"""

import logging
import time
from collections.abc import Callable

from app.worker.errors import IntentParseError
from app.worker.inference.model import PrefixState
from app.worker.inference.scoring import Scorer
from app.worker.metrics import CANDIDATES_FAILED, CANDIDATES_SCORED, STEP_SECONDS
from app.worker.scheduling.jobs import ComposeJob, Job, RerankJob
from app.worker.scheduling.queue import JobQueue
from models.contracts.rerank import CandidateScore, FailedCandidate

_log = logging.getLogger(__name__)

_MAX_FAILURES_IN_A_ROW = 3  # from here on the device is checked: the queries may not be at fault


class Engine:
    """The loop of the device's thread."""

    def __init__(
        self,
        queue: JobQueue,
        scorer: Scorer,
        chunk_size: int,
        check_device: Callable[[], None],
        on_device_lost: Callable[[], None],
    ) -> None:
        """Set what it works with.

        Args:
            queue: Where jobs come from and answers go.
            scorer: Runs the reranker.
            chunk_size: Most candidates scored together.
            check_device: Does what a working device can do; called after some failures in a row.
            on_device_lost: Called when that fails: nothing will be scored any more.
        """
        self._queue = queue
        self._scorer = scorer
        self._chunk_size = chunk_size
        self._check_device, self._on_device_lost = check_device, on_device_lost
        self._failures = 0

    def run(self) -> None:
        """Work until the queue is closed. Called once, on the thread that owns the device."""
        while (job := self._queue.next_job(while_idle=self._scorer.drop_expired)) is not None:
            try:
                worked = self._step(job)
            except Exception:  # fails this query, and must not stop the worker for all others
                _log.exception("the reranker failed on query %s", job.query.query_id)
                self._queue.end(job, "failed")
                worked = False
            self._failures = 0 if worked else self._failures + 1
            if self._failures == _MAX_FAILURES_IN_A_ROW:
                self._probe_device()

    def _probe_device(self) -> None:
        """Bad queries may come in a row; a lost device fails at what it could do at start-up."""
        self._failures = 0
        try:
            self._check_device()
        except Exception:
            _log.exception("the device does not work any more; the worker ends")
            self._on_device_lost()

    def _step(self, job: Job) -> bool:
        """Do one step; returns whether the reranker did anything of it."""
        started_at = time.monotonic()
        if isinstance(job, ComposeJob):
            self._compose(job, started_at)
        elif isinstance(job, RerankJob) and job.prefix is None:
            prefix = self._scorer.prefill(job.query, job.target)
            self._queue.prefilled(job, prefix, _observe("prefill", started_at))
        elif isinstance(job, RerankJob) and job.prefix is not None:
            return self._score_chunk(job, job.prefix, started_at)
        return True

    def _compose(self, job: ComposeJob, started_at: float) -> None:
        answer = self._scorer.compose(job.query) or IntentParseError(
            "the reranker found no intent in this reference and this text"
        )
        self._queue.composed(job, answer, _observe("compose", started_at))

    def _score_chunk(self, job: RerankJob, prefix: PrefixState, started_at: float) -> bool:
        images, failed = self._queue.pop_ready(job, self._chunk_size)
        count = len(images) + len(failed)
        outcomes: list[CandidateScore | FailedCandidate] = []
        if images:
            outcomes = self._scorer.score(prefix, images, wanted=lambda: not job.finished)
        scores = [outcome for outcome in outcomes if isinstance(outcome, CandidateScore)]
        failed += [outcome for outcome in outcomes if isinstance(outcome, FailedCandidate)]
        CANDIDATES_SCORED.inc(len(scores))
        CANDIDATES_FAILED.inc(len(failed))
        self._queue.scored(job, scores, failed, count, _observe("score", started_at))
        return bool(scores) or not outcomes


def _observe(step: str, started_at: float) -> float:
    """Seconds since `started_at`; the histogram gets them too."""
    seconds = time.monotonic() - started_at
    STEP_SECONDS.labels(step).observe(seconds)
    return seconds
