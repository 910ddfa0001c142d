"""Which worker to ask: for one query always the same, and none that is known to be down.

A worker keeps the keys and values of a query's prompt, so compose and rerank of one query belong on
one machine. Rendezvous hashing does that without a shared table: every API process orders the
workers alike, and a worker that leaves moves the queries of no other.

A worker that fails is left out at once and probed in the background, after a wait that doubles up
to a cap; it comes back when its `/readyz` says so. A search never waits for a probe.

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

_PROBE_TIMEOUT_S = 2.0  # a busy worker may be slow to answer
_TICK_S = 0.25
_RESOLVE_EVERY_S = 2.0


@dataclass
class WorkerState:
    """What is known of one worker.

    Attributes:
        url: Its address, without a slash at the end.
        live: Whether searches ask it.
        failures: How many in a row.
        probe_at: When to probe it, in seconds of `time.monotonic`; None: not at all.
        reranker: Version of its reranker; None before its first answer.
    """

    url: str
    live: bool = True
    failures: int = 0
    probe_at: float | None = 0.0
    reranker: str | None = None

    def __str__(self) -> str:
        """Its address as it may be printed."""
        return without_password(self.url)


async def addresses_of(url: str) -> list[str]:
    """The URL once per IPv4 address of its host, in a stable order; an address is its own.

    Raises:
        OSError: The name is not known, or no name server answers.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
    )
    endpoints = sorted({(str(address[0]), int(address[1])) for *_, address in found})
    return [f"{parts.scheme}://{host}:{port}{parts.path}" for host, port in endpoints]


class WorkerPool:
    """The workers, which of them are up, and in which order a query asks them."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        settings: WorkerSettings,
        resolve: Callable[[str], Awaitable[Sequence[str]]] = addresses_of,
    ) -> None:
        self._http, self._settings, self._resolve = http, settings, resolve
        # URL of the settings → URLs of workers; none before a name is resolved
        self._addresses: dict[str, Sequence[str]] = {
            url: [] if settings.resolve_dns else [url] for url in settings.urls
        }
        self._workers = [WorkerState(url) for urls in self._addresses.values() for url in urls]

    def ranked_for(self, key: bytes) -> Sequence[WorkerState]:
        """The live workers, the one that the key belongs to first."""
        live = [worker for worker in self._workers if worker.live]
        return sorted(live, key=lambda worker: _affinity(worker.url, key), reverse=True)

    def mark_healthy(self, worker: WorkerState, reranker: str) -> None:
        """Note a whole answer, by this version of the reranker."""
        worker.live, worker.failures, worker.probe_at = True, 0, None
        worker.reranker = reranker

    def mark_down(self, worker: WorkerState, why: str) -> None:
        """Leave it out until a probe finds it ready; `why` is for the log."""
        if worker.live:
            _log.warning("worker %s is left out: %s", worker, why)
        wait_s = min(
            self._settings.retry_after_s * 2 ** min(worker.failures, 30),
            self._settings.max_retry_after_s,
        )
        worker.live = False
        worker.failures += 1
        worker.probe_at = time.monotonic() + wait_s

    def probe_soon(self, worker: WorkerState) -> None:
        """Keep asking it, and probe it at once: it was slow or odd."""
        if worker.live:
            worker.probe_at = time.monotonic()

    async def watch(self) -> None:
        """Probe the workers and resolve their names; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe_when_due())
            tasks.create_task(self._resolve_names())

    async def _resolve_names(self) -> None:
        unknown: set[str] = set()
        while self._settings.resolve_dns:
            for url in self._addresses:
                try:
                    self._addresses[url] = await self._resolve(url)
                    unknown.discard(url)
                except OSError as error:  # the workers known stay: a name server may be down
                    if url not in unknown:
                        _log.warning("%s leads to no address: %s", without_password(url), error)
                    unknown.add(url)
            self._set_members([address for found in self._addresses.values() for address in found])
            await asyncio.sleep(_RESOLVE_EVERY_S)

    def _set_members(self, urls: Sequence[str]) -> None:
        """Keep the workers known, drop those that left; new ones wait for a probe to be asked."""
        known = {worker.url: worker for worker in self._workers}
        self._workers = [
            known.get(url) or WorkerState(url, live=False) for url in dict.fromkeys(urls)
        ]

    async def _probe_when_due(self) -> None:
        """Probe each worker when its time has come: new, odd and failed ones."""
        tick_s = min(_TICK_S, self._settings.retry_after_s)
        while True:
            now = time.monotonic()
            due = [w for w in self._workers if w.probe_at is not None and w.probe_at <= now]
            await asyncio.gather(*(self._probe(worker) for worker in due))
            await asyncio.sleep(tick_s)

    async def _probe(self, worker: WorkerState) -> None:
        timeout = httpx.Timeout(_PROBE_TIMEOUT_S, connect=self._settings.connect_timeout_s)
        try:
            ready = await self._http.get(f"{worker.url}/readyz", timeout=timeout)
            if ready.status_code != httpx.codes.OK:
                return self.mark_down(worker, f"not ready ({ready.status_code})")
            answer = await self._http.get(f"{worker.url}/v1/info", timeout=timeout)
            info = WorkerInfo.model_validate_json(answer.content)
        except httpx.HTTPError as error:
            return self.mark_down(worker, f"{type(error).__name__} {error}".strip())
        except ValidationError:
            return self.mark_down(worker, "its /v1/info is malformed")
        if not worker.live or worker.reranker is None:
            _log.info("worker %s is in service: reranker %s", worker, info.reranker)
        return self.mark_healthy(worker, info.reranker)


def _affinity(url: str, key: bytes) -> bytes:
    return hashlib.sha256(url.encode() + b"\0" + key).digest()
