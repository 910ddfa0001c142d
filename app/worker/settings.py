"""The worker's settings: environment variables with the prefix `CIR_WORKER__`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from models.presets import load_preset, overridden
from models.settings import LogLevel, ProcessSettings, RerankerSettings, read_settings


class WorkerSettings(ProcessSettings):
    """Everything that can be set; frozen, built once in the composition root."""

    model_config = SettingsConfigDict(env_prefix="CIR_WORKER__")

    preset: str = Field(
        "demo",
        description="encoder, reranker and weights that belong together; a name or a .json file",
    )
    reranker: RerankerSettings | None = Field(None, description="overrides the preset's reranker")
    self_test: bool = Field(
        True, description="serve only with a reranker that passes its self-test; false: warn"
    )
    image_store: Path = Field(Path("data/images"), description="prepared copies, read only")
    chunk_size: int = Field(8, ge=1, le=256, description="most candidates judged together")
    max_queued_visual_tokens: int = Field(
        65_536,
        ge=1,
        le=1_000_000_000,
        description="beyond this: 429, Retry-After; one larger query is taken alone",
    )
    prefix_cache_queries: int = Field(
        16, ge=0, le=10_000, description="queries whose prefix is kept on the device"
    )
    prefix_ttl_s: float = Field(
        30, gt=0, le=86_400, description="a prefix not used for this long is let go"
    )
    feature_cache_mb: int = Field(
        512,
        ge=0,
        le=1_000_000,
        description="device memory for visual features of recent candidates",
    )
    decode_threads: int = Field(4, ge=1, le=64, description="threads that decode candidates")
    max_upload_bytes: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="largest reference image"
    )
    max_pixels: int = Field(
        50_000_000, ge=1, le=1_000_000_000, description="largest reference image, width × height"
    )
    shutdown_grace_s: float = Field(
        10,
        ge=0,
        le=3600,
        description="on SIGTERM, finish queued work for this long; hand back the rest",
    )
    parent_pid: int | None = Field(
        None, ge=1, le=2**31 - 1, description="process id; the worker ends when it is gone"
    )
    log_level: LogLevel = Field("info", description="debug, info, warning or error")

    def effective_reranker(self) -> RerankerSettings:
        """The preset's reranker with everything that is set otherwise.

        Raises:
            ValueError: There is no such preset, or it has no reranker and none is set.
        """
        of_preset = load_preset(self.preset).reranker
        if of_preset is not None:
            return overridden(of_preset, self.reranker)
        if self.reranker is None:
            raise ValueError(
                f"the preset {self.preset!r} has no reranker; run the API without a worker, or "
                f"name "
                "a reranker with CIR_WORKER__RERANKER__BASE"
            )
        return self.reranker


def settings_from_environment(preset: str | None = None) -> WorkerSettings:
    """What the environment sets.

    Args:
        preset: Where the environment names none.

    Raises:
        ValueError: It holds unknown or bad settings, or they lead to no reranker.
    """
    settings = read_settings(WorkerSettings)
    if preset is not None and "preset" not in settings.model_fields_set:
        settings = read_settings(WorkerSettings, preset=preset)
    settings.effective_reranker()
    return settings
