"""Drives the device: takes the next job from the queue, does one step of it, delivers, repeats.

A step is a compose, the opening of a query (its prefix), or one chunk of one query's candidates.
Queries take turns, so a long one cannot hold up a short one, and every chunk is delivered when it
is done.
"""

import logging
import time

from app.worker.errors import IntentUnreadable
from app.worker.job_queue import JobQueue
from app.worker.jobs import ComposeJob, Job, RerankJob
from app.worker.judging import Judging
from app.worker.metrics import FAILED_CANDIDATES, PAIRS, STEP_SECONDS
from app.worker.ports import Prefix
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import FailedCandidate, Judgement

_log = logging.getLogger(__name__)


class Batcher:
    """The loop of the device's thread."""

    def __init__(self, queue: JobQueue, judging: Judging, chunk_size: int) -> None:
        self._queue = queue
        self._judging = judging
        self._chunk_size = chunk_size

    def run(self) -> None:
        """Work until the queue is closed. Called once, on the thread that owns the device."""
        while (job := self._queue.next_job(while_idle=self._judging.drop_expired)) is not None:
            try:
                self._step(job)
            except Exception:  # fails this query, and must not stop the worker for all others
                _log.exception("the judge failed on query %s", job.query.query_id)
                self._queue.end(job, "failed")

    def _step(self, job: Job) -> None:
        began = time.monotonic()
        if isinstance(job, ComposeJob):
            self._compose(job, began)
        elif isinstance(job, RerankJob) and job.prefix is None:
            prefix = self._judging.open(job.query, job.target)
            self._queue.opened(job, prefix, _seconds("open", began))
        elif isinstance(job, RerankJob) and job.prefix is not None:
            self._judge_chunk(job, job.prefix, began)

    def _compose(self, job: ComposeJob, began: float) -> None:
        answer: ComposedIntent | IntentUnreadable
        try:
            answer = self._judging.compose(job.query)
        except ValueError as error:
            _log.warning("no intent for query %s: %s", job.query.query_id, error)
            answer = IntentUnreadable("the judge found no intent in this reference and this text")
        self._queue.composed(job, answer, _seconds("compose", began))

    def _judge_chunk(self, job: RerankJob, prefix: Prefix, began: float) -> None:
        pictures, failed = self._queue.take(job, self._chunk_size)
        images = len(pictures) + len(failed)
        outcomes: list[Judgement | FailedCandidate] = []
        if pictures:
            outcomes = self._judging.score(prefix, pictures, wanted=lambda: not job.over)
        scores = [outcome for outcome in outcomes if isinstance(outcome, Judgement)]
        failed += [outcome for outcome in outcomes if isinstance(outcome, FailedCandidate)]
        PAIRS.inc(len(scores))
        FAILED_CANDIDATES.inc(len(failed))
        self._queue.judged(job, scores, failed, images, _seconds("chunk", began))


def _seconds(step: str, began: float) -> float:
    """Seconds since `began`, told to the metrics."""
    seconds = time.monotonic() - began
    STEP_SECONDS.labels(step).observe(seconds)
    return seconds
