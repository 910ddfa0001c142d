"""The encoder's thread, so that the event loop never runs torch: what waits when it is free is
encoded together.

Nothing waits on purpose: a batch is what came while the one before it was encoded.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from PIL import Image

from models.encoder.encoder import ImageTextEncoder
from models.encoder.text_cache import TextEmbeddingCache
from models.encoder.types import Embedding
from models.query.text_requests import TextRequests, answer_together

T = TypeVar("T")

_MOST_AT_ONCE = 16  # jobs in a batch: what its last one waits for is bounded


def _leave_a_core() -> None:
    """A CPU keeps one core for the event loop and the gallery, unless `OMP_NUM_THREADS` is set:
    PyTorch waits for all of its threads at every step, so one that has no core holds up the rest.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) - 1)))


@dataclass(frozen=True, eq=False)
class _Job(Generic[T]):
    """What one caller wants: its picture's embedding, if it has one, starts a computation."""

    start: Callable[[Embedding | None], TextRequests[T]]
    picture: torch.Tensor | None  # float32 (3, H, W)
    alone: bool
    result: Future[T]


class EncoderQueue:
    """Runs jobs in the order in which they come, as many together as wait.

    Attributes:
        texts: Text embeddings that are remembered; for the encoder's thread, but for `unknown`.
    """

    def __init__(self, encoder: ImageTextEncoder) -> None:
        self._encoder = encoder
        self.texts = TextEmbeddingCache(encoder.encode_texts, encoder.embedding_dim)
        self._thread = ThreadPoolExecutor(1, "encoder", _leave_a_core)
        self._waiting: deque[_Job] = deque()  # type: ignore[type-arg]  # each of its own T

    def close(self) -> None:
        """Finish what is running or waiting."""
        self._thread.shutdown()

    async def run(
        self,
        start: Callable[[Embedding | None], TextRequests[T]],
        picture: Image.Image | None = None,
        alone: bool = False,
    ) -> T:
        """Run one job. Cancelling it while it waits leaves it out of its batch.

        Args:
            start: From the picture's embedding, (D,), to a computation that asks for texts.
            picture: RGB; prepared beside what the encoder does.
            alone: Whether no other job is to wait for this one's end, once both are running.

        Raises:
            Exception: Whatever the picture, the encoder or the computation raised, for this job.
        """
        prepared = None
        if picture is not None:
            prepared = await asyncio.to_thread(self._encoder.preprocess, picture)
        job = _Job(start, prepared, alone, Future())
        self._waiting.append(job)
        self._thread.submit(self._encode_waiting)  # once per job: the later ones find less, or none
        return await asyncio.wrap_future(job.result)

    def _encode_waiting(self) -> None:
        batch: list[_Job] = []  # type: ignore[type-arg]
        while self._waiting and len(batch) < _MOST_AT_ONCE:
            if batch and self._waiting[0].alone:
                break
            job = self._waiting.popleft()
            if job.result.set_running_or_notify_cancel():
                batch.append(job)
                if job.alone:
                    break
        if batch:
            self._encode(batch)

    def _encode(self, jobs: Sequence[_Job[T]]) -> None:
        try:
            outcomes = self._outcomes(jobs)
        except Exception as error:
            if len(jobs) > 1:  # one of them, or their number, was too much for the encoder
                for job in jobs:
                    self._encode([job])
                return
            outcomes = [error]
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, Exception):
                job.result.set_exception(outcome)
            else:
                job.result.set_result(outcome)

    def _outcomes(self, jobs: Sequence[_Job[T]]) -> list[T | Exception]:
        """Two encoder passes for all jobs: one for the pictures, one for the texts."""
        pictures = [job.picture for job in jobs if job.picture is not None]
        rows = iter(self._encoder.encode_preprocessed(pictures) if pictures else ())
        computations = [job.start(None if job.picture is None else next(rows)) for job in jobs]
        return answer_together(computations, self.texts.encode)
