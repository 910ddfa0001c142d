"""What the API and the worker agree on: the requests and answers of `/v1/compose`, `/v1/rerank`.

A rerank answer is a stream of lines (NDJSON): any number of `RerankChunk`, then one `RerankEnd`. A
stream without its `RerankEnd` was cut off; the chunks before it still hold. Every line names the
version of the reranker: scores of two versions cannot be compared.
"""

from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints

from models.contracts.intent import ComposedIntent

MAX_TEXT_CHARS = 500  # of a modification text, also in the API
MAX_CANDIDATES = 1000
MAX_DEADLINE_MS = 600_000

Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_CHARS)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComposeRequest(_Contract):
    """Ask what the modification text wants of the reference image."""

    query_id: str = Field(min_length=1, max_length=100, description="the API's request id")
    reference_image: Base64Bytes = Field(description="the reference at re-rank size, as JPEG")
    modification_text: Text
    deadline_ms: int = Field(
        ge=1, le=MAX_DEADLINE_MS, description="answer within, counted from arrival"
    )


class ComposeResponse(_Contract):
    """The composed intent; its source is `mllm`."""

    intent: ComposedIntent
    reranker: str = Field(description="version of the reranker")


class Candidate(_Contract):
    """A gallery image to score; the worker reads its re-rank copy from the image store."""

    image_id: str = Field(min_length=1)
    content_hash: str = Field(min_length=1, pattern=r"^[0-9A-Za-z]+$")
    rerank_px: int = Field(ge=1, le=65_535, description="longer side of that copy")

    @property
    def copy_key(self) -> tuple[str, int]:
        """What names its copy, in the image store and in every cache."""
        return self.content_hash, self.rerank_px


class RerankRequest(ComposeRequest):
    """Ask for each candidate whether it fits. Candidates are scored in the order given."""

    target: Text | None = Field(
        None, description="the target image in words; composed by the reranker where null"
    )
    candidates: list[Candidate] = Field(min_length=1, max_length=MAX_CANDIDATES)


class CandidateScore(_Contract):
    """One candidate's score."""

    image_id: str
    score: float = Field(ge=0, le=1, description="σ(z_yes − z_no)")


class RerankChunk(_Contract):
    """Candidates scored together."""

    type: Literal["chunk"] = "chunk"
    scores: list[CandidateScore]
    reranker: str = Field(description="version of the reranker")


class FailedCandidate(_Contract):
    """A candidate that got no score."""

    image_id: str
    reason: str = Field(description="a sentence")


class RerankEnd(_Contract):
    """The last line of every complete answer.

    `status`: `complete` (every candidate is scored or failed), `deadline` (time was up),
    `shutting_down` (the worker stops and hands back the rest), `failed` (the reranker failed).
    """

    type: Literal["end"] = "end"
    status: Literal["complete", "deadline", "shutting_down", "failed"]
    failed: list[FailedCandidate] = []
    reranker: str = Field(description="version of the reranker")


class WorkerInfo(_Contract):
    """What `/v1/info` says of a worker."""

    reranker: str = Field(description="version of the reranker")
    composes: bool = Field(True, description="whether it answers `/v1/compose`")
    device: str = Field(description="where the reranker runs, and why there")
    chunk_size: int = Field(description="most candidates scored together")
    max_queued_visual_tokens: int = Field(description="beyond this, requests are refused")
    queued_visual_tokens: int = Field(description="visual tokens that are left to score")
