"""What vLLM's `/v1/rerank` and `/v1/score` take and give, for images on both sides.

As documented for vLLM 0.16 (`RerankRequest`, `ScoreRequest`, `ScoreMultiModalParam`): a query and a
list of documents, each `{"content": [parts]}`, a part being a text or an `image_url`. Older
versions take neither an image in the query nor a list of such documents. Images travel as data
URLs: the engine is never given an address to fetch.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from app.api.settings import ExternalRerankerSettings, ScoringFormat
from app.web.errors import CandidatesFailed, RerankerFailed, RerankerOverloaded, RerankerUnavailable
from models.settings import without_password

PATHS: dict[ScoringFormat, str] = {"rerank": "/v1/rerank", "score": "/v1/score"}
_INSTRUCTION = (
    "The query is a picture and a text that says what should be different about it. Judge whether "
    "the document shows the picture that is wished for."
)
_Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Ranked(BaseModel):
    index: int
    relevance_score: _Score


class _RerankAnswer(BaseModel):
    results: list[_Ranked]


class _Scored(BaseModel):
    index: int
    score: _Score


class _ScoreAnswer(BaseModel):
    data: list[_Scored]


def request_body(
    format_: ScoringFormat,
    model: str,
    reference_jpeg: bytes,
    request_text: str,
    candidate_jpegs: Sequence[bytes],
) -> dict[str, Any]:
    """One query against some candidates.

    Args:
        format_: Of the request.
        model: The name the model is served under.
        reference_jpeg: The reference image.
        request_text: What should be different, in words.
        candidate_jpegs: The documents; scores come in their order.
    """
    query = {"content": [_image_part(reference_jpeg), {"type": "text", "text": request_text}]}
    return {
        "model": model,
        "query" if format_ == "rerank" else "queries": query,
        "documents": [{"content": [_image_part(jpeg)]} for jpeg in candidate_jpegs],
        "instruction": _INSTRUCTION,
        "use_activation": True,  # scores from 0 to 1, not logits
    }


def read_scores(format_: ScoringFormat, answer: bytes, count: int) -> list[float]:
    """The scores of an answer, in the order of the documents, each 0 to 1.

    Raises:
        RerankerFailed: It is malformed, or not about exactly these documents.
    """
    by_index: list[tuple[int, float]]
    try:
        if format_ == "rerank":
            ranked = _RerankAnswer.model_validate_json(answer).results
            by_index = sorted((found.index, found.relevance_score) for found in ranked)
        else:
            scored = _ScoreAnswer.model_validate_json(answer).data
            by_index = sorted((found.index, found.score) for found in scored)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RerankerFailed(
            f"the external reranker's answer is none of `{PATHS[format_]}` with scores from 0 to "
            f"1: {where}: {first['msg']}"
        ) from None
    if [index for index, _ in by_index] != list(range(count)):
        raise RerankerFailed(
            f"the external reranker was asked about {count} images and answered about "
            f"{[index for index, _ in by_index]}"
        )
    return [score for _, score in by_index]


def _image_part(jpeg: bytes) -> dict[str, Any]:
    url = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


_MAX_REASON_CHARS = 300


class ScoringClient:
    """Asks one engine; keeps no state.

    Attributes:
        address: Of the engine, as it may be printed.
    """

    def __init__(self, http: httpx.AsyncClient, settings: ExternalRerankerSettings) -> None:
        self._http, self._settings = http, settings
        self._url = f"{settings.url}{PATHS[settings.format]}"
        self.address = without_password(self._url)
        self._headers = {"content-type": "application/json"}
        if settings.api_key is not None:
            self._headers["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"

    async def scores(
        self, reference_jpeg: bytes, request_text: str, candidate_jpegs: Sequence[bytes]
    ) -> list[float]:
        """The score of each candidate, 0 to 1, in their order.

        Raises:
            CandidatesFailed: The engine refuses these images.
            RerankerOverloaded: It is overloaded.
            RerankerUnavailable: It cannot be reached, or refuses our key.
            RerankerFailed: It failed, or its answer is malformed.
        """
        content = await asyncio.to_thread(self._body, reference_jpeg, request_text, candidate_jpegs)
        try:
            answer = await self._http.post(self._url, content=content, headers=self._headers)
        except httpx.TransportError as error:
            raise RerankerUnavailable(
                f"{self.address} cannot be reached: {type(error).__name__} {error}".strip()
            ) from error
        except httpx.HTTPError as error:
            raise RerankerFailed(f"{self.address} breaks HTTP: {error}") from error
        _check_status(answer)
        return read_scores(self._settings.format, answer.content, len(candidate_jpegs))

    def _body(
        self, reference_jpeg: bytes, request_text: str, candidate_jpegs: Sequence[bytes]
    ) -> bytes:
        """Off the event loop: base64 of a chunk is a few hundred kilobytes."""
        settings = self._settings
        body = request_body(
            settings.format, settings.model, reference_jpeg, request_text, candidate_jpegs
        )
        return json.dumps(body).encode()


def _check_status(answer: httpx.Response) -> None:
    if answer.status_code == httpx.codes.OK:
        return
    said = f"{answer.status_code}: {answer.text[:_MAX_REASON_CHARS]}"
    match answer.status_code:
        case httpx.codes.TOO_MANY_REQUESTS:
            raise RerankerOverloaded("the external reranker is overloaded")
        case httpx.codes.SERVICE_UNAVAILABLE | httpx.codes.BAD_GATEWAY:
            raise RerankerUnavailable(f"the external reranker is not there, {said}")
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            raise RerankerUnavailable(
                f"the external reranker refuses our key, {said}; set "
                f"CIR_API__EXTERNAL_RERANKER__API_KEY"
            )
        case httpx.codes.BAD_REQUEST | httpx.codes.UNPROCESSABLE_ENTITY:
            raise CandidatesFailed(
                f"the external reranker refused a request, {said} (images on both sides need "
                "vLLM 0.16 or newer and room for two in --max-model-len)"
            )
        case _:
            raise RerankerFailed(f"the external reranker answered {said}")
