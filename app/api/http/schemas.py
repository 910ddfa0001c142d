"""The public bodies of the HTTP interface."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.api.search.types import SearchOptions
from models.contracts.gallery import AttributeValue, Facet
from models.contracts.intent import ComposedIntent
from models.contracts.rerank import MAX_TEXT_CHARS
from models.query.weights import CompositionMode

MAX_PAGE = 100  # images of one page of the gallery

ModificationText = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_CHARS)
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


FORM_FIELDS_IN_JSON = ("filter", "among", "intent", "weights")  # a form has text for everything


class SearchRequest(SearchOptions):
    """`POST /search` as JSON."""

    reference_image: ReferenceImage
    modification_text: ModificationText = Field(
        description="what should be different", examples=["the same but blue"]
    )


class ResultItem(BaseModel):
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
    contradicts: bool = Field(
        description="whether its own attributes say that it is none of what was asked for: it "
        "stands behind all that fit, unless `attribute_check` is `off`"
    )
    image_url: str
    thumbnail_url: str
    caption: str | None
    attributes: dict[str, AttributeValue]


class Composition(BaseModel):
    """How the query was composed."""

    mode: CompositionMode
    intent: ComposedIntent | None = Field(
        description="what the text wants of the reference; null for the baselines"
    )


class Coverage(BaseModel):
    """What was and was not done."""

    candidates: int = Field(description="candidates of the coarse stage")
    reranked: int = Field(description="of these, re-ranked")
    degraded: bool = Field(description="whether the answer is less than what was asked for")
    reasons: list[str] = Field(
        description="stable words. `rerank_disabled`: no reranker is set up; "
        "`reranker_unavailable`, `reranker_overloaded`, `reranker_failed`: the reranker cannot be "
        "reached, has too much to do, failed or answered nonsense; `reranker_untrusted`: an "
        "external reranker failed its self-test, so it is not asked; `deadline`: time was up "
        "before all was re-ranked; `candidates_failed`: some images could not be scored; "
        "`intent_fallback`: the reranker was asked for the intent and did not give one, or no "
        "intent could be found at all; `not_understood`: words of the text had no effect, see "
        "`intent.not_understood`; `nothing_fits`: by its own attributes, the first result is none "
        "of what was asked for"
    )


class Models(BaseModel):
    """Which models answered."""

    encoder: str = Field(description="fingerprint")
    reranker: str | None = Field(
        description="version that gave the rerank scores, which are all by one version, or, where "
        "there are none, the intent; null where no reranker had a part in this answer"
    )


class SearchResponse(BaseModel):
    """The answer of `POST /search`."""

    request_id: str
    composition: Composition
    results: list[ResultItem]
    coverage: Coverage
    timings_ms: dict[str, float] = Field(
        description="stage → milliseconds; `total` counts from the end of the `upload`, as the "
        "deadline does"
    )
    models: Models


class Progress(BaseModel):
    """Event `progress` of `POST /search/stream`."""

    reranked: int = Field(description="candidates scored so far")
    of: int = Field(description="candidates to score")


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
    max_top_k: int = Field(description="most results that a search may ask for")


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
