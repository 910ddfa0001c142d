"""What goes into a search and what comes out of it, stage by stage."""

from dataclasses import dataclass
from typing import Annotated, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.search.ranking import RankedCandidate
from models.contracts.filter import Filter
from models.contracts.gallery import MAX_QUERY_LIMIT
from models.contracts.intent import ComposedIntent, Intent
from models.contracts.rerank import MAX_CANDIDATES
from models.query.weights import CompositionMode, PartialWeights

MAX_RERANK_WEIGHT = 1000  # beyond it the retrieval score has no influence


@dataclass(frozen=True)
class Upload:
    """An uploaded reference image.

    Attributes:
        picture: Decoded, RGB; large ones at a fraction of their size.
        content_hash: SHA-256 of the bytes it came as, in hexadecimal.
    """

    picture: Image.Image
    content_hash: str


ImageId = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class SearchOptions(BaseModel):
    """What can be asked besides image and text; the same in JSON and multipart."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERY_LIMIT,
        description="how many results; default: 10, or as many as the service allows",
    )
    composition: CompositionMode | None = Field(
        None,
        description="how image and text become one query; the rest are baselines, "
        "or how a preset's encoder was trained. Default: as the service is set up, which is "
        "`intersection` unless its preset says otherwise",
    )
    retrieval_depth: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERY_LIMIT,
        description="how many candidates are retrieved, but no fewer than "
        "`top_k`; default: 100, or as many as the service allows, and no fewer than are re-ranked",
    )
    rerank_depth: int | None = Field(
        None,
        ge=0,
        le=MAX_CANDIDATES,
        description="how many candidates to re-rank, no more than `retrieval_depth`; "
        "0 turns re-ranking off; default: as the service is set up",
    )
    timeout_ms: int | None = Field(
        None, ge=1, le=60_000, description="answer within this time, from the end of the upload"
    )
    filter: Filter | None = Field(
        None,
        description="attribute → value, list of values (any of them), or range",
        examples=[{"category": ["sofa", "chair"], "price": {"lte": 500}}],
    )
    among: list[ImageId] | None = Field(
        None, min_length=1, max_length=1000, description="search only among these gallery images"
    )
    exclude_reference: bool = Field(True, description="leave out the reference gallery image")
    intent: Intent | None = Field(None, description="an edited intent, instead of a composed one")
    intent_source: Literal["mllm", "facets"] | None = Field(
        None,
        description="who composes the intent: the reranker, or the gallery's attributes; "
        "default: as the service is set up",
    )
    attribute_check: Literal["demote", "off"] = Field(
        "demote",
        description="candidates whose own attributes contradict the query go behind the others "
        "(`demote`), or stay where they are",
    )
    weights: PartialWeights | None = Field(
        None, description="weights of the roles; what is left out is as in the preset"
    )
    rerank_weight: float | None = Field(
        None,
        ge=0,
        le=MAX_RERANK_WEIGHT,
        allow_inf_nan=False,
        description="w in retrieval score + w · rerank score; default: as the service is set up",
    )


@dataclass(frozen=True)
class SearchQuery:
    """What a client asks.

    Attributes:
        reference: An uploaded picture, or the id of a gallery image.
        modification_text: What should be different.
        options: Everything else.
    """

    reference: Upload | str
    modification_text: str
    options: SearchOptions


@dataclass(frozen=True)
class IntentResolved:
    """How the query is composed.

    Attributes:
        mode: Which way.
        intent: What the text wants of the reference; None for the baselines.
    """

    mode: CompositionMode
    intent: ComposedIntent | None


@dataclass(frozen=True)
class SearchResult:
    """What was found, and how.

    Attributes:
        mode: How the query was composed.
        intent: What the text wants of the reference; None for the baselines.
        top_k: How many results were asked for.
        ranked: All candidates, in their final order.
        reranked: How many of them the reranker scored.
        reasons: Stable words, see `http.schemas.Coverage`.
        degraded: Whether the answer is less than what was asked for.
        contradicting: Ids of the candidates whose own attributes contradict the query.
        timings_ms: Stage → milliseconds, and their `total`; see `StageTimer`.
        encoder: Fingerprint of the encoder.
        reranker: Version of the reranker if it had a part in this; else None.
    """

    mode: CompositionMode
    intent: ComposedIntent | None
    top_k: int
    ranked: list[RankedCandidate]
    reranked: int
    reasons: list[str]
    degraded: bool
    contradicting: frozenset[str]
    timings_ms: dict[str, float]
    encoder: str
    reranker: str | None


@dataclass(frozen=True)
class Retrieved:
    """The answer as it would be without re-ranking."""

    result: SearchResult


@dataclass(frozen=True)
class RerankProgress:
    """So many of the candidates to re-rank have a score."""

    reranked: int
    of: int


SearchEvent = IntentResolved | Retrieved | RerankProgress | SearchResult
