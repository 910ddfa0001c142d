"""Which worker to ask: the same query always the same one, and none that is known to be gone.

A worker keeps the keys and values of a query's prompt, so compose and rerank of one query belong on
one machine. Rendezvous hashing does that without a shared table: every API process orders the
workers alike, and a worker that leaves moves no other's queries.

A worker that fails is left out at once and looked at in the background, after a wait that doubles
up to a cap; it comes back when its `/readyz` says so. No search ever pays for trying.

With `resolve_dns`, workers join and leave as the addresses behind the names do.
"""

import asyncio
import hashlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from app.api.settings import WorkerSettings
from models.contracts.rerank import WorkerInfo
from models.settings import without_password

_log = logging.getLogger(__name__)

_LOOK_TIMEOUT_S = 2.0  # a busy worker may be slow to say that it is ready
_TICK_S = 0.25
_RESOLVE_EVERY_S = 2.0


@dataclass
class WorkerState:
    """What is known of one worker.

    Attributes:
        url: Its address, without a slash at the end.
        live: Whether it is asked.
        failures: In a row.
        look_at: When to look whether it is ready, on the monotonic clock; None: no need to.
        reranker: Version of its reranker, once it told.
    """

    url: str
    live: bool = True
    failures: int = 0
    look_at: float | None = 0.0
    reranker: str | None = None

    def __str__(self) -> str:
        """Its address as it may be printed."""
        return without_password(self.url)


async def addresses_of(url: str) -> list[str]:
    """The URL once per IPv4 address of its host, in a stable order; an address is its own.

    Raises:
        OSError: The name is not known, or nobody answers who would know.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    endpoints = sorted({(str(address[0]), int(address[1])) for *_, address in found})
    return [f"{parts.scheme}://{host}:{port}{parts.path}" for host, port in endpoints]


class WorkerPool:
    """The workers there are, and which of them to ask."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: WorkerSettings,
        resolve: Callable[[str], Awaitable[Sequence[str]]] = addresses_of,
    ) -> None:
        self._http, self._settings, self._resolve = http, settings, resolve
        # what each URL stands for; a name stands for nobody until it is resolved
        self._behind: dict[str, Sequence[str]] = {
            url: [] if settings.resolve_dns else [url] for url in settings.urls
        }
        self._workers = [WorkerState(url) for urls in self._behind.values() for url in urls]

    def order(self, key: bytes) -> Sequence[WorkerState]:
        """The live workers, the one this key belongs to first."""
        live = [worker for worker in self._workers if worker.live]
        return sorted(live, key=lambda worker: _affinity(worker.url, key), reverse=True)

    def answered(self, worker: WorkerState, reranker: str) -> None:
        """It gave a whole answer."""
        worker.live, worker.failures, worker.look_at = True, 0, None
        worker.reranker = reranker

    def failed(self, worker: WorkerState, why: str) -> None:
        """It is gone: leave it out until it says that it is ready."""
        if worker.live:
            _log.warning("worker %s is left out: %s", worker, why)
        wait_s = min(
            self._settings.retry_after_s * 2 ** min(worker.failures, 30),
            self._settings.max_retry_after_s,
        )
        worker.live = False
        worker.failures += 1
        worker.look_at = time.monotonic() + wait_s

    def suspect(self, worker: WorkerState) -> None:
        """Slow or odd is not gone: keep asking it, but have a look."""
        if worker.live:
            worker.look_at = time.monotonic()

    async def watch(self) -> None:
        """Look after the workers, and after who they are; runs until cancelled."""
        async with asyncio.TaskGroup() as watching:
            watching.create_task(self._look_when_due())
            watching.create_task(self._follow_names())

    async def _follow_names(self) -> None:
        unknown: set[str] = set()
        while self._settings.resolve_dns:
            for url in self._behind:
                try:
                    self._behind[url] = await self._resolve(url)
                    unknown.discard(url)
                except OSError as error:  # those known stay: not to be found is not to be gone
                    if url not in unknown:
                        _log.warning("%s leads to no address: %s", without_password(url), error)
                    unknown.add(url)
            self._take_in([address for behind in self._behind.values() for address in behind])
            await asyncio.sleep(_RESOLVE_EVERY_S)

    def _take_in(self, urls: Sequence[str]) -> None:
        """Keep who is known, let go of who left; who joins is asked once it says it is ready."""
        known = {worker.url: worker for worker in self._workers}
        self._workers = [
            known.get(url) or WorkerState(url, live=False) for url in dict.fromkeys(urls)
        ]

    async def _look_when_due(self) -> None:
        """Look at new, suspected and failed workers when their time has come."""
        tick_s = min(_TICK_S, self._settings.retry_after_s)
        while True:
            now = time.monotonic()
            due = [w for w in self._workers if w.look_at is not None and w.look_at <= now]
            await asyncio.gather(*(self._look(worker) for worker in due))
            await asyncio.sleep(tick_s)

    async def _look(self, worker: WorkerState) -> None:
        timeout = httpx.Timeout(_LOOK_TIMEOUT_S, connect=self._settings.connect_timeout_s)
        try:
            ready = await self._http.get(f"{worker.url}/readyz", timeout=timeout)
            if ready.status_code != httpx.codes.OK:
                return self.failed(worker, f"not ready ({ready.status_code})")
            answer = await self._http.get(f"{worker.url}/v1/info", timeout=timeout)
            info = WorkerInfo.model_validate_json(answer.content)
        except httpx.HTTPError as error:
            return self.failed(worker, f"{type(error).__name__} {error}".strip())
        except ValidationError:
            return self.failed(worker, "its /v1/info is not what a worker says")
        if not worker.live or worker.reranker is None:
            _log.info("worker %s is in service: reranker %s", worker, info.reranker)
        return self.answered(worker, info.reranker)


def _affinity(url: str, key: bytes) -> bytes:
    return hashlib.sha256(url.encode() + b"\0" + key).digest()
