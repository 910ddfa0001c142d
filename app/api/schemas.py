"""The public bodies of the HTTP interface."""

import math
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from models.composition.vector import CompositionMode, PartialWeights
from models.contracts.gallery import MAX_QUERY_LIMIT, AttributeValue, Facet
from models.contracts.intent import ComposedIntent, Roles
from models.contracts.rerank import MAX_CANDIDATES

MAX_TEXT_CHARS = 500
MAX_CONDITIONS, MAX_LIST_VALUES, MAX_FILTER_VALUES = 32, 256, 512
MAX_VALUE_CHARS = 512
MAX_PAGE = 100  # images of one answer to who browses
MAX_RERANK_WEIGHT = 1000  # from there on the retrieval score says nothing any more

ModificationText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_CHARS)
]
ImageId = Annotated[str, StringConstraints(min_length=1, max_length=512)]


def _countable(value: object) -> object:
    """Numbers that no column can hold would match nothing, or stop an engine."""
    whole = isinstance(value, int) and not -(2**63) <= value < 2**63
    if whole or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("a number must be finite, and a whole one within 64 bit")
    return value


Scalar = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS)] | bool | int | float,
    BeforeValidator(_countable),
]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class NumberRange(BaseModel):
    """Bounds of a numeric attribute."""

    model_config = ConfigDict(extra="forbid")

    gte: Bound | None = Field(None, description="at least")
    gt: Bound | None = Field(None, description="more than")
    lte: Bound | None = Field(None, description="at most")
    lt: Bound | None = Field(None, description="less than")

    @model_validator(mode="after")
    def _some_bound(self) -> "NumberRange":
        if not self.model_fields_set:
            raise ValueError("a range needs at least one of gte, gt, lte, lt")
        return self


def _shape(value: object) -> str:
    """Which kind of condition this is meant to be, so that errors speak of that kind only."""
    if isinstance(value, dict | NumberRange):
        return "range"
    return "list" if isinstance(value, list) else "value"


Condition = Annotated[
    Annotated[Scalar, Tag("value")]
    | Annotated[list[Scalar], Field(max_length=MAX_LIST_VALUES), Tag("list")]
    | Annotated[NumberRange, Tag("range")],
    Discriminator(_shape),
]


def filter_values(conditions: dict[str, Condition]) -> int:
    """How many values a filter names, a range as one."""
    return sum(len(c) if isinstance(c, list) else 1 for c in conditions.values())


def _no_more_values_than_allowed(conditions: dict[str, Condition]) -> dict[str, Condition]:
    values = filter_values(conditions)
    if values > MAX_FILTER_VALUES:
        raise ValueError(f"a filter has at most {MAX_FILTER_VALUES} values in all, found {values}")
    return conditions


Filter = Annotated[
    dict[str, Condition],
    Field(max_length=MAX_CONDITIONS),
    AfterValidator(_no_more_values_than_allowed),
]


class ReferenceImage(BaseModel):
    """The image to start from: its bytes, or an image of the gallery."""

    model_config = ConfigDict(extra="forbid")

    base64: str | None = Field(None, description="the file's bytes in base64")
    image_id: str | None = Field(None, description="a gallery image", max_length=512)

    @model_validator(mode="after")
    def _exactly_one(self) -> "ReferenceImage":
        if (self.base64 is None) == (self.image_id is None):
            raise ValueError("give exactly one of base64 and image_id")
        return self


class SearchOptions(BaseModel):
    """What can be asked besides image and text; the same in JSON and multipart."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERY_LIMIT,
        description="how many results; default: 10, or as many as the service allows",
    )
    composition: CompositionMode = Field(
        "intersection",
        description="how image and text become one query; the rest are baselines, "
        "or how a preset's encoder was trained. Default: as the service is set up, which is "
        "`intersection` unless its preset says otherwise",
    )
    retrieval_depth: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERY_LIMIT,
        description="how many candidates the coarse stage gives, but no fewer than "
        "`top_k`; default: 100, or as many as the service allows, and no fewer than are re-ranked",
    )
    rerank_depth: int | None = Field(
        None,
        ge=0,
        le=MAX_CANDIDATES,
        description="how many candidates to re-rank, no more than `retrieval_depth`; "
        "0 turns the second stage off; default: as the service is set up",
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
    intent: Roles | None = Field(None, description="edited roles, instead of composed ones")
    intent_source: Literal["mllm", "facets"] | None = Field(
        None, description="who composes the intent: the judge, or the gallery's attributes; "
        "default: as the service is set up",
    )  # fmt: skip
    weights: PartialWeights | None = Field(
        None, description="weights of the roles; what is left out is as in the preset"
    )
    rerank_weight: float | None = Field(
        None, ge=0, le=MAX_RERANK_WEIGHT, allow_inf_nan=False,
        description="w in retrieval score + w · rerank score; default: as the service is set up",
    )  # fmt: skip


FORM_FIELDS_IN_JSON = ("filter", "among", "intent", "weights")  # a form has text for everything


class SearchRequest(SearchOptions):
    """`POST /search` as JSON."""

    reference_image: ReferenceImage
    modification_text: ModificationText = Field(
        description="what should be different", examples=["the same but blue"]
    )


class SearchResult(BaseModel):
    """One gallery image that was found."""

    rank: int = Field(description="1 is best")
    image_id: str
    score: float = Field(
        description="what the order is by: retrieval score + weight · rerank score where "
        "re-ranked, else the retrieval score; what is not re-ranked keeps its place"
    )
    retrieval_rank: int = Field(description="rank in the coarse stage")
    retrieval_score: float = Field(description="cosine with the query embedding, −1 to 1")
    rerank_score: float | None = Field(description="0 to 1; null for what was not re-ranked")
    image_url: str
    thumbnail_url: str
    caption: str | None
    attributes: dict[str, AttributeValue]


class Composition(BaseModel):
    """How the query was composed."""

    mode: CompositionMode
    intent: ComposedIntent | None = Field(description="the roles; null for the baselines")


class Coverage(BaseModel):
    """What was and was not done."""

    candidates: int = Field(description="candidates of the coarse stage")
    reranked: int = Field(description="of these, re-ranked")
    degraded: bool = Field(description="whether the answer is less than what was asked for")
    reasons: list[str] = Field(
        description="stable words. `rerank_disabled`: no judge is set up; `worker_unavailable`, "
        "`worker_overloaded`, `worker_failed`: the judge cannot be reached, has too much to do, "
        "failed or answered nonsense; `judge_untrusted`: an external judge tells nothing apart, so "
        "it is not asked; `deadline`: time was up before all was re-ranked; "
        "`candidates_failed`: some pictures could not be judged; `intent_fallback`: the judge was "
        "asked for the intent and did not give one, or no roles could be found at all"
    )


class Models(BaseModel):
    """Which models answered."""

    encoder: str = Field(description="fingerprint")
    judge: str | None = Field(
        description="version that gave the rerank scores, which are all by one version, or, where "
        "there are none, the intent; null where no judge had a part in this answer"
    )


class SearchResponse(BaseModel):
    """The answer of `POST /search`."""

    request_id: str
    composition: Composition
    results: list[SearchResult]
    coverage: Coverage
    timings_ms: dict[str, float] = Field(
        description="stage → milliseconds; `total` counts from the end of the `upload`, as the "
        "deadline does"
    )
    models: Models


class Progress(BaseModel):
    """Event `progress` of `POST /search/stream`."""

    reranked: int = Field(description="candidates judged so far")
    of: int = Field(description="candidates to judge")


class GalleryResponse(BaseModel):
    """The answer of `GET /gallery`."""

    images: int
    encoder_fingerprint: str
    built_at: str
    noun_facet: str | None
    facets: list[Facet]
    explains: bool = Field(description="whether `GET /explain` works with the encoder in service")
    notice: str | None = Field(description="what the encoder in service does not know, if narrow")
    default_composition: CompositionMode = Field(description="of a search that names none")


class GalleryItem(BaseModel):
    """One image of `GET /gallery/images`."""

    image_id: str
    image_url: str
    thumbnail_url: str
    caption: str | None
    attributes: dict[str, AttributeValue]


class GalleryPage(BaseModel):
    """The answer of `GET /gallery/images`."""

    images: list[GalleryItem]
    next_offset: str | None = Field(description="give as `offset` for the next page; null: the end")


class GallerySample(BaseModel):
    """The answer of `GET /gallery/random`."""

    images: list[GalleryItem]


class ExplainResponse(BaseModel):
    """The answer of `GET /explain`."""

    image_id: str
    phrase: str
    against: list[str] = Field(description="what else each place could have been")
    reliable: bool = Field(
        description="false: the phrase says what kind of thing is there, and the encoder in "
        "service is not known to tell where; colours and the like are"
    )
    rows: int
    columns: int
    box: tuple[float, float, float, float] = Field(
        description="what the grid covers: left, top, right, bottom as shares of the image's "
        "sides; inside 0 to 1 where the encoder crops, outside where it pads"
    )
    relevance: list[list[float]] = Field(
        description="rows of the grid, top to bottom: the share of the phrase among all of "
        "`against` and itself, 0 to 1"
    )


class Readiness(BaseModel):
    """The answer of `GET /readyz`."""

    ready: bool
    reasons: list[str] = Field(description="sentences; empty when ready")
