"""One request to an external reranker: pictures out, scores back, or an error with a sentence."""

import asyncio
import json
from collections.abc import Sequence

import httpx

from app.api.scoring_protocol import PATHS, read_scores, request_body
from app.api.settings import ExternalJudgeSettings
from app.errors import CandidatesFailed, JudgeFailed, JudgeOverloaded, JudgeUnavailable
from models.settings import without_password

_MAX_REASON_CHARS = 300


class ScoringClient:
    """Asks one engine; remembers nothing.

    Attributes:
        address: Where it asks, as it may be printed.
    """

    def __init__(self, http: httpx.AsyncClient, settings: ExternalJudgeSettings) -> None:
        self._http, self._settings = http, settings
        self._url = f"{settings.url}{PATHS[settings.format]}"
        self.address = without_password(self._url)
        self._headers = {"content-type": "application/json"}
        if settings.api_key is not None:
            self._headers["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"

    async def scores(
        self, reference_jpeg: bytes, wish: str, candidate_jpegs: Sequence[bytes]
    ) -> list[float]:
        """How well each candidate fits, 0 to 1, in their order.

        Raises:
            CandidatesFailed: The engine refuses these pictures.
            JudgeOverloaded: It has enough to do.
            JudgeUnavailable: It cannot be reached, or lets nobody in.
            JudgeFailed: It failed, or its answer makes no sense.
        """
        content = await asyncio.to_thread(self._body, reference_jpeg, wish, candidate_jpegs)
        try:
            answer = await self._http.post(self._url, content=content, headers=self._headers)
        except httpx.TransportError as error:
            raise JudgeUnavailable(
                f"{self.address} cannot be reached: {type(error).__name__} {error}".strip()
            ) from error
        except httpx.HTTPError as error:
            raise JudgeFailed(f"{self.address} does not speak HTTP as we do: {error}") from error
        _check_status(answer)
        return read_scores(self._settings.format, answer.content, len(candidate_jpegs))

    def _body(self, reference_jpeg: bytes, wish: str, candidate_jpegs: Sequence[bytes]) -> bytes:
        """Off the event loop: base64 of a chunk is a few hundred kilobytes."""
        settings = self._settings
        body = request_body(settings.format, settings.model, reference_jpeg, wish, candidate_jpegs)
        return json.dumps(body).encode()


def _check_status(answer: httpx.Response) -> None:
    if answer.status_code == httpx.codes.OK:
        return
    said = f"{answer.status_code}: {answer.text[:_MAX_REASON_CHARS]}"
    match answer.status_code:
        case httpx.codes.TOO_MANY_REQUESTS:
            raise JudgeOverloaded("the external judge has enough to do")
        case httpx.codes.SERVICE_UNAVAILABLE | httpx.codes.BAD_GATEWAY:
            raise JudgeUnavailable(f"the external judge is not there, {said}")
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            raise JudgeUnavailable(
                f"the external judge refuses our key, {said}; set CIR_API__EXTERNAL_JUDGE__API_KEY"
            )
        case httpx.codes.BAD_REQUEST | httpx.codes.UNPROCESSABLE_ENTITY:
            raise CandidatesFailed(
                f"the external judge refused a request, {said} (pictures on both sides need vLLM "
                "0.16 or newer and room for two in --max-model-len)"
            )
        case _:
            raise JudgeFailed(f"the external judge answered {said}")
