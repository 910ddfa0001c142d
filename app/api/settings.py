"""The API's settings: environment variables with the prefix `CIR_API__`."""

from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from indexer.gallery.settings import GallerySettings
from models.contracts.gallery import MAX_QUERY_LIMIT
from models.contracts.rerank import MAX_CANDIDATES, MAX_DEADLINE_MS
from models.presets import ComposesIntents, DefaultMode, Preset, RerankDepth, RerankWeight
from models.presets.source import PresetSettings
from models.query.weights import CompositionWeights, UnderstoodWeights
from models.settings import (
    EncoderSettings,
    LogLevel,
    SettingsGroup,
    read_settings,
    without_password,
)


class WorkerSettings(SettingsGroup):
    """Where the reranker's workers are, and how long to do without one that failed."""

    urls: tuple[str, ...] = Field(
        (),
        description='workers, a JSON list like `["http://worker:8100"]`; without any, '
        "`python -m app` starts one itself",
    )
    resolve_dns: bool = Field(
        False,
        description="each name in `URLS` stands for all workers behind its addresses, looked up "
        "every 2 s, `http://` only; `false`: an address is one worker",
    )
    connect_timeout_s: float = Field(0.5, gt=0, le=600, description="longest wait for a connection")
    retry_after_s: float = Field(
        0.5,
        gt=0,
        le=3600,
        description="how long a worker that failed is left out at first; doubles each time",
    )
    max_retry_after_s: float = Field(
        10, gt=0, le=3600, description="how long a worker that failed is left out at most"
    )

    @field_validator("urls")
    @classmethod
    def _are_addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        addresses = (_address(url, "a worker, like `http://worker:8100`") for url in urls)
        return tuple(dict.fromkeys(addresses))

    @model_validator(mode="after")
    def _names_can_be_resolved(self) -> "WorkerSettings":
        secured = [url for url in self.urls if url.startswith("https://")]
        if self.resolve_dns and secured:
            raise ValueError(
                "resolve_dns asks workers by address, which the certificate of "
                f"{without_password(secured[0])!r} "
                "does not name; use http://, or list the workers and leave resolve_dns off"
            )
        return self


ScoringFormat = Literal["rerank", "score"]


class ExternalRerankerSettings(SettingsGroup):
    """A server with vLLM's `/v1/rerank` or `/v1/score` that reranks instead of workers."""

    url: str | None = Field(
        None,
        description="address of a server with vLLM's `/v1/rerank` or `/v1/score`, like "
        "`http://vllm:8000`: reranks instead of workers",
    )
    model: str = Field("", description="the name that server serves the model under")
    format: ScoringFormat = Field(
        "rerank",
        description="which of vLLM's two endpoints; answers of `score` hold no images, where the "
        "engine has it",
    )
    api_key: SecretStr | None = Field(None, description="sent as a bearer token")
    chunk_size: int = Field(8, ge=1, le=256, description="candidates per request")
    max_concurrent_requests: int = Field(
        16, ge=1, le=4096, description="requests at once, of all searches"
    )
    connect_timeout_s: float = Field(0.5, gt=0, le=600, description="longest wait for a connection")
    self_test_timeout_s: float = Field(
        60, gt=0, le=3600, description="longest wait for the self-test"
    )
    retry_after_s: float = Field(
        1,
        gt=0,
        le=3600,
        description="how long until one that failed is tested again at first; doubles each time",
    )
    max_retry_after_s: float = Field(
        60, gt=0, le=3600, description="how long until one that failed is tested again at most"
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        return url and _address(url, "a reranker, like `http://vllm:8000`")

    @model_validator(mode="after")
    def _names_its_model(self) -> "ExternalRerankerSettings":
        if self.url is not None and not self.model:
            raise ValueError(
                "an external reranker needs `model`, the name the engine serves it under, like "
                "`Qwen/Qwen3-VL-Reranker-2B`"
            )
        return self


class ApiSettings(PresetSettings):
    """Everything that can be set, preset included; frozen, built once in the composition root."""

    model_config = SettingsConfigDict(env_prefix="CIR_API__")
    old_names = {
        "EXTERNAL_JUDGE": "EXTERNAL_RERANKER",
        "QDRANT": "GALLERY",
        "JUDGE_COMPOSES": "RERANKER_COMPOSES",
        "ANSWER_RESERVE_MS": "RESPONSE_MARGIN_MS",
        "WORKER__EXPAND_NAMES": "WORKER__RESOLVE_DNS",
    }

    encoder: EncoderSettings
    composition: CompositionWeights
    understood: UnderstoodWeights
    composition_mode: DefaultMode
    gallery: GallerySettings = GallerySettings()
    image_store: Path = Field(
        Path("data/images"), description="folder of the prepared copies, read only"
    )
    worker: WorkerSettings = WorkerSettings()
    external_reranker: ExternalRerankerSettings = ExternalRerankerSettings()
    reranker_composes: ComposesIntents
    compose_timeout_ms: int = Field(
        800,
        ge=1,
        le=MAX_DEADLINE_MS,
        description="longest wait for the reranker to compose an intent, and never more than "
        "half of what is left of the search",
    )
    default_rerank_depth: RerankDepth
    max_rerank_depth: int = Field(
        200, ge=0, le=MAX_CANDIDATES, description="most candidates reranked per search"
    )
    rerank_weight: RerankWeight
    response_margin_ms: int = Field(
        30,
        ge=0,
        le=60_000,
        description="how long before the deadline reranking stops, to answer in time",
    )
    max_upload_bytes: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="largest file of a reference image"
    )
    upload_timeout_s: float = Field(
        30,
        gt=0,
        le=3600,
        description="longest upload, and a second more for each 50 kB that came; then 408",
    )
    max_held_upload_bytes: int = Field(
        128_000_000,
        ge=1,
        le=100_000_000_000,
        description="bodies of all requests together; beyond, those over 64 kB get 503 with "
        "`Retry-After`",
    )
    max_pixels: int = Field(
        50_000_000,
        ge=1,
        le=1_000_000_000,
        description="largest reference image, width × height; none may be more than 100 times as "
        "long as wide",
    )
    max_top_k: int = Field(100, ge=1, lt=MAX_QUERY_LIMIT, description="most results per search")
    max_retrieval_depth: int = Field(
        1000, ge=1, lt=MAX_QUERY_LIMIT, description="most candidates per search"
    )
    timeout_ms: int = Field(
        2000,
        ge=1,
        le=MAX_DEADLINE_MS,
        description="deadline of a search that names none, from the end of its upload",
    )
    max_concurrent_searches: int = Field(
        32,
        ge=1,
        le=10_000,
        description="searches at a time; beyond, or where candidates would take more than half of "
        "a search's time: 429 with `Retry-After`",
    )
    log_level: LogLevel = Field("info", description="least level of the log, JSON lines on stderr")

    @model_validator(mode="after")
    def _has_one_reranker(self) -> "ApiSettings":
        if self.worker.urls and self.external_reranker.url is not None:
            raise ValueError(
                "CIR_API__WORKER__URLS and CIR_API__EXTERNAL_RERANKER__URL name two rerankers; "
                "keep one"
            )
        return self

    @classmethod
    def of_preset(cls, preset: Preset) -> dict[str, Any]:
        """Encoder, composition, and how far the reranker is used."""
        return {
            "encoder": preset.encoder.model_dump(),
            "composition": preset.composition.model_dump(),
            "understood": preset.understood.model_dump(),
            "composition_mode": preset.composition_mode,
            "reranker_composes": preset.reranking.reranker_composes,
            "default_rerank_depth": preset.reranking.rerank_depth,
            "rerank_weight": preset.reranking.rerank_weight,
        }


def settings_from_environment() -> ApiSettings:
    """What environment and preset set.

    Raises:
        SettingsError: There are unknown or bad settings, or no such preset.
    """
    return read_settings(ApiSettings)


def _address(url: str, whose: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        ValueError: It is none; the sentence says why.
    """
    problem = _url_problem(url)
    if problem is not None:
        raise ValueError(f"{without_password(url)!r} is no address of {whose}: {problem}")
    return url.rstrip("/")


def _url_problem(url: str) -> str | None:
    if not url.startswith(("http://", "https://")):
        return "it does not begin with http:// or https://"
    if any(character.isspace() for character in url):
        return "it has a blank in it"
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
    except ValueError:  # of brackets that do not close, or of a name too long
        return "its host is not written as hosts are"
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "its port is no number from 1 to 65535"
    if not host:
        return "it names no host"
    return "it goes on behind the path" if parts.query or parts.fragment else None
