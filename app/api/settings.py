"""The API's settings: environment variables with the prefix `CIR_API__`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.contracts.rerank import MAX_CANDIDATES
from models.settings import EncoderSettings, QdrantSettings


class WorkerSettings(BaseModel):
    """Where the judge's workers are, and how long to do without one that failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: tuple[str, ...] = Field((), description="workers (JSON list); none: no second stage")
    expand_names: bool = Field(
        False, description="each name in `urls` stands for all workers behind its addresses, which "
        "may come and go; false: an address is one worker",
    )  # fmt: skip
    connect_timeout_s: float = Field(0.5, gt=0, description="longest wait for a connection")
    retry_after_s: float = Field(
        0.5, gt=0, description="a worker that failed is left out this long, then twice as long, …"
    )
    max_retry_after_s: float = Field(10, gt=0, description="… but never longer than this")

    @field_validator("urls")
    @classmethod
    def _are_addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is no address of a worker, like `http://worker:8100`")
        return tuple(dict.fromkeys(url.rstrip("/") for url in urls))

    @model_validator(mode="after")
    def _names_can_be_expanded(self) -> "WorkerSettings":
        secured = [url for url in self.urls if url.startswith("https://")]
        if self.expand_names and secured:
            raise ValueError(
                f"expand_names asks workers by address, which the certificate of {secured[0]!r} "
                "does not name; use http://, or list the workers and leave expand_names off"
            )
        return self


class ApiSettings(BaseSettings):
    """Everything that can be set; frozen, built once in the composition root."""

    model_config = SettingsConfigDict(
        env_prefix="CIR_API__", env_nested_delimiter="__", frozen=True, protected_namespaces=()
    )

    preset: str = Field(
        "demo",
        description="encoder and weights that belong together; a name or a .json file",
    )
    encoder: EncoderSettings | None = Field(None, description="overrides the preset's encoder")
    qdrant: QdrantSettings = QdrantSettings()
    image_store: Path = Field(Path("data/images"), description="prepared copies, read only")
    worker: WorkerSettings = WorkerSettings()
    judge_composes: bool | None = Field(
        None, description="whether the judge is asked for intents; default: as the preset says"
    )
    compose_timeout_ms: int = Field(
        800,
        ge=1,
        description="longest wait for the judge to compose an intent, and never more than half of "
        "what is left",
    )
    default_rerank_depth: int | None = Field(
        None,
        ge=0,
        le=MAX_CANDIDATES,
        description="re-ranked in a search that does not say; default: as the preset says",
    )
    max_rerank_depth: int = Field(
        200, ge=0, le=MAX_CANDIDATES, description="most candidates re-ranked per search"
    )
    rerank_weight: float | None = Field(
        None, ge=0, description="w in retrieval score + w · rerank score; default: of the preset"
    )
    rerank_px: int = Field(
        448, ge=16, description="longer side of an uploaded reference for the judge; the indexer's"
    )
    answer_reserve_ms: int = Field(
        30, ge=0, description="re-ranking stops this long before the deadline, to answer in time"
    )
    max_upload_bytes: int = Field(10_000_000, ge=1, description="largest reference image")
    max_pixels: int = Field(50_000_000, ge=1, description="largest reference image, width × height")
    max_top_k: int = Field(100, ge=1, description="most results per search")
    max_retrieval_depth: int = Field(1000, ge=1, description="most candidates per search")
    timeout_ms: int = Field(2000, ge=1, description="deadline of a search that names none")
    max_concurrent_searches: int = Field(32, ge=1, description="beyond this: 429, Retry-After")
    log_level: str = Field("info", description="debug, info, warning or error")
