"""The `Reranker` port on an external engine: vLLM, or what speaks its `/v1/rerank`.

Candidates go out in chunks, several at a time, so that a deadline keeps what came before it;
searches take turns. Such an engine can be set up wrongly without any error, and its scores then say
nothing: it serves only while it passes a self-test, which is run at the start and after anything
went wrong. It composes no intents.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence

import httpx

from app.api.adapters.fair_slots import FairSlots, Share
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
    most_telling,
)
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import GalleryImage
from models.datasets.images import to_jpeg
from models.reranker.self_test import PROBES, Probe, SelfTestFailed, check_scores

_log = logging.getLogger(__name__)

_PROBE_PX = 256


class VllmReranker:
    """Reranks on one external engine, while that engine passes its self-test."""

    def __init__(
        self, http: httpx.AsyncClient, settings: ExternalRerankerSettings, store: ImageStore
    ) -> None:
        """Set where the engine is; `watch` must run beside it.

        Args:
            http: Carries the requests.
            settings: Where the engine is and how it is asked; its `url` is set.
            store: Where the candidates' re-rank copies are.
        """
        self._client, self._settings, self._store = ScoringClient(http, settings), settings, store
        self._slots = FairSlots(settings.max_concurrent_requests)
        self._down_reason: RerankerError | None = RerankerUnavailable(
            "the external reranker was not tested yet"
        )
        self._to_test = asyncio.Event()

    async def compose(
        self,
        query: RerankQuery,  # noqa: ARG002
        timeout_s: float,  # noqa: ARG002
    ) -> RerankerIntent:
        """Always raises `ComposeUnsupported`."""
        raise ComposeUnsupported("an external reranker gives scores only")

    async def rerank(
        self,
        query: RerankQuery,
        target: str | None,
        candidates: Sequence[GalleryImage],
        timeout_s: float,  # noqa: ARG002
    ) -> AsyncGenerator[RerankScores, None]:
        """Scores, 0 to 1, chunk by chunk, as they come; see the port."""
        size = self._settings.chunk_size
        request_text = query.modification_text + (f" (wanted: {target})" if target else "")
        scored, failure = 0, None
        with self._slots.share() as share:
            chunks = [
                asyncio.create_task(
                    self._score_chunk(query, request_text, candidates[start : start + size], share)
                )
                for start in range(0, len(candidates), size)
            ]
            try:
                for chunk in asyncio.as_completed(chunks):
                    try:
                        scores = await chunk
                    except RerankerError as error:
                        failure = most_telling(failure, error)
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
            raise CandidatesFailed(f"{len(candidates) - scored} candidates have no re-rank copy")

    async def watch(self) -> None:
        """Test the engine at the start and whenever something went wrong; runs until cancelled."""
        wait_s = self._settings.retry_after_s
        self._to_test.set()
        while True:
            await self._to_test.wait()
            self._to_test.clear()
            passed = await self._run_self_test()
            await asyncio.sleep(wait_s)
            if passed:
                wait_s = self._settings.retry_after_s
            else:
                self._to_test.set()
                wait_s = min(2 * wait_s, self._settings.max_retry_after_s)

    async def _run_self_test(self) -> bool:
        """Test the engine, and put it in service or out of it; returns whether it passed."""
        try:
            await self_test(self._client, self._settings.self_test_timeout_s)
        except RerankerOverloaded as error:
            if self._down_reason is None:
                return False  # it is busy, not broken: it stays in service, and is tested again
            self._mark_down(error)
        except CandidatesFailed as error:  # it refuses the probes, so it would refuse any image
            self._mark_down(RerankerFailed(str(error)))
        except RerankerError as error:
            self._mark_down(error)
        else:
            if self._down_reason is not None:
                _log.info("external reranker %s is in service", self._settings.model)
            self._down_reason = None
            return True
        return False

    def _mark_down(self, error: RerankerError) -> None:
        if str(error) != str(self._down_reason):  # logged once, not at every try
            _log.error("external reranker %s is left out: %s", self._client.address, error)
        self._down_reason = error

    async def _score_chunk(
        self, query: RerankQuery, request_text: str, chunk: Sequence[GalleryImage], share: Share
    ) -> dict[str, float]:
        """Image id → score, 0 to 1; candidates without a copy are left out."""
        async with self._slots.slot(share):
            if self._down_reason is not None:
                raise type(self._down_reason)(str(self._down_reason))
            copies = await asyncio.to_thread(self._copies, chunk, query.rerank_px)
            if not copies:
                return {}
            try:
                scores = await self._client.scores(
                    query.reference_jpeg, request_text, list(copies.values())
                )
            except RerankerUnavailable as error:
                self._mark_down(error)
                self._to_test.set()
                raise
            except (
                RerankerFailed,
                asyncio.CancelledError,
            ):  # odd or slow: it stays in service, but is tested
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
                _log.warning("%s cannot be scored: %s", image.image_id, error)
        return copies


async def self_test(client: ScoringClient, timeout_s: float) -> None:
    """Have an engine score drawn shapes with obvious answers.

    Args:
        client: Of the engine.
        timeout_s: For all of them together.

    Raises:
        RerankerError: It cannot be asked, or its scores tell nothing apart
            (`RerankerUntrusted`).
    """
    try:
        async with asyncio.timeout(timeout_s):
            check_scores([await _probe_scores(client, probe) for probe in PROBES])
    except SelfTestFailed as error:
        raise RerankerUntrusted(f"it failed its self-test: {error}") from error
    except TimeoutError as error:
        raise RerankerUnavailable("it did not finish its self-test in time") from error


async def _probe_scores(client: ScoringClient, probe: Probe) -> list[float]:
    reference, *candidates = await asyncio.to_thread(_draw, probe)
    return await client.scores(
        reference, f"{probe.modification_text} (wanted: {probe.target})", candidates
    )


def _draw(probe: Probe) -> list[bytes]:
    """The reference and the candidates of a probe, as JPEGs."""
    return [to_jpeg(shape.draw(), _PROBE_PX) for shape in (probe.reference, *probe.candidates)]
