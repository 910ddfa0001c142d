"""Drives the device: takes the next job from the queue, does one step of it, delivers, repeats.

A step is a compose, the opening of a query (its prefix), or one chunk of one query's candidates.
Queries take turns, so a long one cannot hold up a short one, and every chunk is delivered when it
is done.
"""

import logging
import time
from collections.abc import Callable

from app.worker.errors import IntentParseError
from app.worker.inference.model import Prefix
from app.worker.inference.scoring import Scorer
from app.worker.metrics import FAILED_CANDIDATES, PAIRS, STEP_SECONDS
from app.worker.scheduling.jobs import ComposeJob, Job, RerankJob
from app.worker.scheduling.queue import JobQueue
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import CandidateScore, FailedCandidate

_log = logging.getLogger(__name__)


_FAILURES_IN_A_ROW = 3  # one query's fault, or the device's? from here on that is found out


class Engine:
    """The loop of the device's thread."""

    def __init__(
        self,
        queue: JobQueue,
        rerank_scores: Scorer,
        chunk_size: int,
        check_device: Callable[[], None],
        on_device_lost: Callable[[], None],
    ) -> None:
        """Put together.

        Args:
            queue: Where jobs come from and answers go.
            rerank_scores: What does them.
            chunk_size: Most candidates judged together.
            check_device: Does what a working device can do; asked after some failures in a row.
            on_device_lost: Called, once, when that fails: nothing will be judged any more.
        """
        self._queue = queue
        self._scoring = rerank_scores
        self._chunk_size = chunk_size
        self._check_device, self._give_up = check_device, on_device_lost
        self._failures = 0

    def run(self) -> None:
        """Work until the queue is closed. Called once, on the thread that owns the device."""
        while (job := self._queue.next_job(while_idle=self._scoring.drop_expired)) is not None:
            try:
                worked = self._step(job)
            except Exception:  # fails this query, and must not stop the worker for all others
                _log.exception("the reranker failed on query %s", job.query.query_id)
                self._queue.end(job, "failed")
                worked = False
            self._failures = 0 if worked else self._failures + 1
            if self._failures == _FAILURES_IN_A_ROW:
                self._probe_device()

    def _probe_device(self) -> None:
        """Bad queries may come in a row; a lost device fails at what it could do at start-up."""
        self._failures = 0
        try:
            self._check_device()
        except Exception:
            _log.exception("the device does not work any more; the worker ends")
            self._give_up()

    def _step(self, job: Job) -> bool:
        """Do one step; returns whether the reranker did anything of it."""
        began = time.monotonic()
        if isinstance(job, ComposeJob):
            self._compose(job, began)
        elif isinstance(job, RerankJob) and job.prefix is None:
            prefix = self._scoring.open(job.query, job.target)
            self._queue.opened(job, prefix, _seconds("open", began))
        elif isinstance(job, RerankJob) and job.prefix is not None:
            return self._score_chunk(job, job.prefix, began)
        return True

    def _compose(self, job: ComposeJob, began: float) -> None:
        answer: ComposedIntent | IntentParseError
        try:
            answer = self._scoring.compose(job.query)
        except ValueError as error:
            _log.warning("no intent for query %s: %s", job.query.query_id, error)
            answer = IntentParseError(
                "the reranker found no intent in this reference and this text"
            )
        self._queue.composed(job, answer, _seconds("compose", began))

    def _score_chunk(self, job: RerankJob, prefix: Prefix, began: float) -> bool:
        pictures, failed = self._queue.take(job, self._chunk_size)
        images = len(pictures) + len(failed)
        outcomes: list[CandidateScore | FailedCandidate] = []
        if pictures:
            outcomes = self._scoring.score(prefix, pictures, wanted=lambda: not job.over)
        scores = [outcome for outcome in outcomes if isinstance(outcome, CandidateScore)]
        failed += [outcome for outcome in outcomes if isinstance(outcome, FailedCandidate)]
        PAIRS.inc(len(scores))
        FAILED_CANDIDATES.inc(len(failed))
        self._queue.scored(job, scores, failed, images, _seconds("chunk", began))
        return bool(scores) or not outcomes


def _seconds(step: str, began: float) -> float:
    """Seconds since `began`, told to the metrics."""
    seconds = time.monotonic() - began
    STEP_SECONDS.labels(step).observe(seconds)
    return seconds
