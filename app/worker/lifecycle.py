"""The life of a worker: warm up, self-test, serve, drain, stop."""

import asyncio
import gc
import logging

from app.worker.engine import Engine
from app.worker.errors import NotReady
from app.worker.inference.caches import ImageFeatureCache, PrefixCache
from app.worker.inference.device import DeviceThread
from app.worker.inference.images import CandidateImages
from app.worker.inference.model import AnyReranker
from app.worker.inference.scoring import Scorer
from app.worker.process import request_shutdown
from app.worker.scheduling.policy import Schedule
from app.worker.scheduling.queue import JobQueue
from app.worker.service import RerankerService
from app.worker.settings import WorkerSettings
from indexer.gallery.image_store import ImageStore
from models.contracts.rerank import WorkerInfo
from models.datasets.images import ImageLimits

_log = logging.getLogger(__name__)

_CHUNKS_AHEAD = 3  # one on the device, one ready, one in decoding
_JOIN_S = 5.0  # a step takes far less; a device that hangs is left behind


class WorkerRuntime:
    """The reranker, the thread it runs on, and what serves requests with it."""

    def __init__(
        self, settings: WorkerSettings, reranker: AnyReranker, device: DeviceThread
    ) -> None:
        self._settings = settings
        self._reranker = reranker
        self._device = device
        self._not_ready: str | None = "the reranker is warming up"
        self._draining: asyncio.Task[None] | None = None
        features = ImageFeatureCache(settings.feature_cache_mb * 1_000_000)
        self._images = CandidateImages(
            ImageStore(settings.image_store), reranker, features, settings.decode_threads
        )
        self._queue = JobQueue(
            Schedule(settings.chunk_size, settings.max_queued_visual_tokens),
            self._images.fetch,
            ahead=_CHUNKS_AHEAD * settings.chunk_size,
        )
        prefixes = PrefixCache(settings.prefix_cache_queries, settings.prefix_ttl_s)
        self._engine = Engine(
            self._queue,
            Scorer(reranker, features, prefixes),
            settings.chunk_size,
            check_device=lambda: reranker.warm_up(settings.chunk_size),
            on_device_lost=self._on_device_lost,
        )
        limits = ImageLimits(settings.max_upload_bytes, settings.max_pixels)
        self._service = RerankerService(reranker, self._queue, limits)

    @property
    def service(self) -> RerankerService:
        """The use case that answers requests.

        Raises:
            NotReady: Not yet, or not any more.
        """
        self.check_ready()
        return self._service

    def check_ready(self) -> None:
        """Check that jobs are admitted.

        Raises:
            NotReady: They are not; says why.
        """
        if self._not_ready is None:
            self._queue.check_open()
        else:
            raise NotReady(self._not_ready)

    def info(self) -> WorkerInfo:
        """Which reranker runs here, on what, and how much waits."""
        return WorkerInfo(
            reranker=self._reranker.version,
            composes=self._reranker.composes,
            device=self._reranker.device_reason,
            chunk_size=self._settings.chunk_size,
            max_queued_visual_tokens=self._settings.max_queued_visual_tokens,
            queued_visual_tokens=self._queue.queued_visual_tokens,
        )

    async def warm_up(self) -> None:
        """Run the reranker once at its usual size and test it, then serve.

        After a failure the process stays, not ready: a restart would not mend its reranker, and
        its `/readyz` says what is wrong.
        """
        try:
            await asyncio.wrap_future(self._device.call(self._warm_up))
        except Exception:
            _log.exception("not ready: the reranker's warm-up failed")
            self._not_ready = "the reranker's warm-up failed; the log has the details"
            return
        if (failure := await asyncio.wrap_future(self._device.call(self._self_test))) is not None:
            if self._settings.self_test:
                _log.error("not ready: the reranker's self-test failed: %s", failure)
                self._not_ready = f"the reranker's self-test failed: {failure}"
                return
            _log.warning("serving although the reranker's self-test failed: %s", failure)
        self._device.call(self._engine.run)
        self._not_ready = None
        _log.info("reranker %s ready on %s", self._reranker.version, self._reranker.device_reason)

    def begin_drain(self) -> "asyncio.Task[None]":
        """Stop admitting at once; finish what is queued within the grace, hand back the rest."""
        if self._draining is None:
            self._queue.stop_admitting()
            self._draining = asyncio.ensure_future(self._drain())
        return self._draining

    async def stop(self) -> None:
        """Drain, then release the device and everything else."""
        await self.begin_drain()
        if not await asyncio.to_thread(self._device.stop, _JOIN_S):
            _log.error("the device does not answer; its thread is left behind")
        self._images.close()

    async def _drain(self) -> None:
        if not await asyncio.to_thread(self._queue.wait_idle, self._settings.shutdown_grace_s):
            _log.warning("the grace is over; the jobs that are left are handed back")
        self._queue.close()

    def _on_device_lost(self) -> None:
        """End the process: its supervisor starts another, with a device of its own."""
        self._not_ready = "the reranker's device does not work any more; the worker ends"
        request_shutdown()

    def _self_test(self) -> str | None:
        """A sentence that says what shows that the reranker does not work; None if it does."""
        try:
            self._reranker.self_test()
        except Exception as error:
            _log.debug("the reranker's self-test", exc_info=True)
            return str(error)
        return None

    def _warm_up(self) -> None:
        self._reranker.warm_up(self._settings.chunk_size)
        # what is alive now stays alive: the collector need not walk it again
        gc.collect()
        gc.freeze()
