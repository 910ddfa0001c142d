"""An engine that speaks vLLM's `/v1/rerank` and `/v1/score` over real HTTP, by a script.

Requests are checked against the documented schema (vLLM 0.16) and their images are decoded: the
score of a document is the share of blue in it: of the image that was really sent.
"""

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from tests.app.api.stub_worker import serving

MODEL = "Qwen/Qwen3-VL-Reranker-2B"


class ImageUrl(BaseModel):
    url: str = Field(pattern=r"^data:image/jpeg;base64,")


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class Content(BaseModel):
    """`ScoreMultiModalParam`."""

    model_config = ConfigDict(extra="forbid")
    content: list[Annotated[ImagePart | TextPart, Field(discriminator="type")]]


class _Scoring(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str
    documents: list[Content] = Field(min_length=1)
    instruction: str | None = None
    use_activation: bool | None = None


class RerankRequest(_Scoring):
    query: Content
    top_n: int = 0


class ScoreRequest(_Scoring):
    queries: Content


class StubReranker:
    """Answers as scripted; remembers what it was asked.

    Attributes:
        delay_s: Before every answer.
        slow_from: Requests from this number on take a minute.
        blind: Every score is about 0.5, as with a wrong prompt template.
        refuses: More documents than this at once are too many tokens.
        status: Of every answer.
        next_statuses: Of the next answers, before `status` holds again.
        body: Replaces every answer.
        key: The only bearer token that is let in.
        most_at_once: The most requests that were ever being answered together.
    """

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.slow_from: int | None = None
        self.blind = False
        self.refuses: int | None = None
        self.status = 200
        self.next_statuses: list[int] = []
        self.body: Any = None
        self.key: str | None = None
        self.most_at_once = 0
        self.asked: list[RerankRequest | ScoreRequest] = []
        self.dropped = threading.Event()
        self._now = 0

    async def answer(self, asked: RerankRequest | ScoreRequest, request: Request) -> JSONResponse:
        number = len(self.asked)
        self.asked.append(asked)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            slow = self.slow_from is not None and number >= self.slow_from
            for _ in range(int((60 if slow else self.delay_s) / 0.02)):
                await asyncio.sleep(0.02)
                if await request.is_disconnected():
                    self.dropped.set()
                    break
        finally:
            self._now -= 1
        return self._said(asked, request)

    def _said(self, asked: RerankRequest | ScoreRequest, request: Request) -> JSONResponse:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        if asked.model != MODEL:
            return _error(404, f"The model `{asked.model}` does not exist.")
        if self.refuses is not None and len(asked.documents) > self.refuses:
            return _error(400, "This model's maximum context length is 4096 tokens.")
        status = self.next_statuses.pop(0) if self.next_statuses else self.status
        if status != 200:
            return _error(status, "as told")
        if self.body is not None:
            return JSONResponse(self.body)
        scores = [0.5 if self.blind else blueness(document) for document in asked.documents]
        return JSONResponse(_answer(asked, scores))


def blueness(document: Content) -> float:
    (part,) = document.content
    assert isinstance(part, ImagePart)
    with Image.open(io.BytesIO(base64.b64decode(part.image_url.url.split(",")[1]))) as picture:
        red, green, blue = np.asarray(picture.convert("RGB"), float).mean(axis=(0, 1))
    return float(blue / max(1.0, red + green + blue))


def _answer(asked: RerankRequest | ScoreRequest, scores: list[float]) -> dict[str, Any]:
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    if isinstance(asked, ScoreRequest):
        data = [{"index": i, "object": "score", "score": s} for i, s in enumerate(scores)]
        return {"id": "score-1", "object": "list", "model": MODEL, "data": data, "usage": usage}
    ranked = sorted(enumerate(scores), key=lambda pair: -pair[1])  # the best first, as it does
    results = [
        {
            "index": index,
            "document": {"text": None, "multi_modal": asked.documents[index].model_dump()},
            "relevance_score": score,
        }
        for index, score in ranked
    ]
    return {"id": "rerank-1", "model": MODEL, "results": results, "usage": usage}


def _error(status: int, message: str) -> JSONResponse:
    about = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return JSONResponse({"error": about}, status)


@contextmanager
def stub_reranker(port: int | None = None) -> Iterator[tuple[StubReranker, str]]:
    """A running engine and its address."""
    stub, app = StubReranker(), FastAPI()

    @app.post("/v1/rerank")
    async def rerank(asked: RerankRequest, request: Request) -> JSONResponse:
        return await stub.answer(asked, request)

    @app.post("/v1/score")
    async def score(asked: ScoreRequest, request: Request) -> JSONResponse:
        return await stub.answer(asked, request)

    with serving(app, port) as url:
        yield stub, url
