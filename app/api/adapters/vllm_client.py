"""The `Reranker` port on somebody else's reranker: vLLM, or what speaks its `/v1/rerank`.

Candidates go out in chunks, several at a time, so that a deadline keeps what came before it. Such
an engine can be set up wrongly without any error, its scores then say nothing; so it is asked for
nothing until it has told plain shapes apart, and again after anything went wrong. It composes no
intents.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence

import httpx

from app.api.adapters.vllm_protocol import ScoringClient
from app.api.search.ports import RerankerIntent, RerankQuery, RerankScores
from app.api.settings import ExternalRerankerSettings
from app.web.errors import (
    CandidatesFailed,
    ComposeUnsupported,
    RerankerError,
    RerankerFailed,
    RerankerOverloaded,
    RerankerUnavailable,
    RerankerUntrusted,
)
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import GalleryImage
from models.datasets.images import to_jpeg
from models.reranker.self_test import PROBES, Probe, SelfTestFailed, check_scores

_log = logging.getLogger(__name__)

_PROBE_PX = 256


class VllmReranker:
    """Rerankers on one external engine, while that engine passes its self-test."""

    def __init__(
        self, http: httpx.AsyncClient, settings: ExternalRerankerSettings, store: ImageStore
    ) -> None:
        """Put together; `watch` must run beside it.

        Args:
            http: Carries the requests.
            settings: Where the engine is and how it is asked; its `url` is set.
            store: Where the candidates' copies are.
        """
        self._client, self._settings, self._store = ScoringClient(http, settings), settings, store
        self._requests = asyncio.Semaphore(settings.max_concurrent_requests)
        self._out: RerankerError | None = RerankerUnavailable(
            "the external reranker was not tested yet"
        )
        self._to_test = asyncio.Event()

    async def compose(
        self,
        query: RerankQuery,  # noqa: ARG002
        timeout_s: float,  # noqa: ARG002
    ) -> RerankerIntent:
        """Never; see the port."""
        raise ComposeUnsupported("an external reranker gives scores only")

    async def rerank(
        self,
        query: RerankQuery,
        target: str | None,
        candidates: Sequence[GalleryImage],
        timeout_s: float,  # noqa: ARG002
    ) -> AsyncGenerator[RerankScores, None]:
        """Scores chunk by chunk, as they come; see the port."""
        size = self._settings.chunk_size
        request_text = query.modification_text + (f" (wanted: {target})" if target else "")
        chunks = [
            asyncio.create_task(
                self._reranker(query, request_text, candidates[start : start + size])
            )
            for start in range(0, len(candidates), size)
        ]
        scored, failure = 0, None
        try:
            for chunk in asyncio.as_completed(chunks):
                try:
                    scores = await chunk
                except RerankerError as error:
                    failure = _worse(failure, error)
                    continue
                scored += len(scores)
                yield RerankScores(scores, self._settings.model)
        finally:  # time was up, or the client left: nothing is left running
            for task in chunks:
                task.cancel()
            await asyncio.gather(*chunks, return_exceptions=True)
        if failure is not None:
            raise failure
        if scored < len(candidates):
            raise CandidatesFailed(f"{len(candidates) - scored} candidates have no copy to judge")

    async def watch(self) -> None:
        """Test it at the start and whenever something went wrong; runs until cancelled."""
        wait_s = self._settings.retry_after_s
        self._to_test.set()
        while True:
            await self._to_test.wait()
            self._to_test.clear()
            passes = await self._passes()
            await asyncio.sleep(wait_s)
            if passes:
                wait_s = self._settings.retry_after_s
            else:
                self._to_test.set()
                wait_s = min(2 * wait_s, self._settings.max_retry_after_s)

    async def _passes(self) -> bool:
        """Run the self-test and act on it: in service, or out of it with a reason."""
        try:
            await self_test(self._client, self._settings.self_test_timeout_s)
        except RerankerOverloaded as error:
            if self._out is None:
                return False  # busy is not broken: used on, and tested again
            self._leave_out(error)
        except CandidatesFailed as error:  # not these pictures: any
            self._leave_out(RerankerFailed(str(error)))
        except RerankerError as error:
            self._leave_out(error)
        else:
            if self._out is not None:
                _log.info("external reranker %s is in service", self._settings.model)
            self._out = None
            return True
        return False

    def _leave_out(self, error: RerankerError) -> None:
        if str(error) != str(self._out):  # say it once, not at every try
            _log.error("external reranker %s is left out: %s", self._client.address, error)
        self._out = error

    async def _reranker(
        self, query: RerankQuery, request_text: str, chunk: Sequence[GalleryImage]
    ) -> dict[str, float]:
        """The scores of one chunk; candidates without a copy are left out."""
        async with self._requests:
            if self._out is not None:
                raise type(self._out)(str(self._out))
            copies = await asyncio.to_thread(self._copies, chunk, query.rerank_px)
            if not copies:
                return {}
            try:
                scores = await self._client.scores(
                    query.reference_jpeg, request_text, list(copies.values())
                )
            except RerankerUnavailable as error:
                self._leave_out(error)
                self._to_test.set()
                raise
            except (RerankerFailed, asyncio.CancelledError):  # odd or slow: used on, but tested
                self._to_test.set()
                raise
        return dict(zip(copies, scores, strict=True))

    def _copies(self, chunk: Sequence[GalleryImage], side_px: int) -> dict[str, bytes]:
        """Image id → its stored copy, where there is one."""
        copies = {}
        for image in chunk:
            try:
                path = self._store.path_of(image.content_hash, side_px)
                copies[image.image_id] = path.read_bytes()
            except OSError as error:
                _log.warning("%s cannot be judged: %s", image.image_id, error)
        return copies


async def self_test(client: ScoringClient, timeout_s: float) -> None:
    """Ask an engine about pictures that nobody can mistake.

    Raises:
        RerankerError: It cannot be asked, or what it answers tells nothing apart
            (`RerankerUntrusted`).
    """
    try:
        async with asyncio.timeout(timeout_s):
            check_scores([await _probed(client, probe) for probe in PROBES])
    except SelfTestFailed as error:
        raise RerankerUntrusted(f"it failed its self-test: {error}") from error
    except TimeoutError as error:
        raise RerankerUnavailable("it did not finish its self-test in time") from error


async def _probed(client: ScoringClient, probe: Probe) -> list[float]:
    reference, *shown = await asyncio.to_thread(_drawn, probe)
    return await client.scores(
        reference, f"{probe.modification_text} (wanted: {probe.target})", shown
    )


def _drawn(probe: Probe) -> list[bytes]:
    """The reference and the candidates of a probe, as JPEGs."""
    return [to_jpeg(shape.draw(), _PROBE_PX) for shape in (probe.reference, *probe.candidates)]


def _worse(one: RerankerError | None, other: RerankerError) -> RerankerError:
    """Which of two failures to report: pictures that were refused say least."""
    return other if one is None or isinstance(one, CandidatesFailed) else one
