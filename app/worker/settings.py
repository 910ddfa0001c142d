"""The worker's settings: environment variables with the prefix `CIR_WORKER__`."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from models.errors import InputError
from models.presets import Preset
from models.presets.source import PresetSettings
from models.settings import LogLevel, RerankerSettings, is_set, read_settings


class WorkerSettings(PresetSettings):
    """Everything that can be set, preset included; frozen, built once in the composition root."""

    model_config = SettingsConfigDict(env_prefix="CIR_WORKER__")
    old_names = {
        "JUDGE": "RERANKER",
        "PREFIX_CACHE": "PREFIX_CACHE_QUERIES",
        "PARENT": "PARENT_PID",
    }

    reranker: RerankerSettings | None
    self_test: bool = Field(
        True,
        description="serve only with a reranker that passes its self-test; `false`: warn and serve",
    )
    image_store: Path = Field(
        Path("data/images"), description="folder of the prepared copies, read only"
    )
    chunk_size: int = Field(
        8, ge=1, le=256, description="most candidates scored in one forward pass"
    )
    max_queued_visual_tokens: int = Field(
        65_536,
        ge=1,
        le=1_000_000_000,
        description="visual tokens of the candidates that wait; beyond: 429 with `Retry-After`; "
        "one larger query is taken alone",
    )
    prefix_cache_queries: int = Field(
        16, ge=0, le=10_000, description="queries whose prefix (keys, values) the device keeps"
    )
    prefix_ttl_s: float = Field(30, gt=0, le=86_400, description="how long a prefix is kept unused")
    feature_cache_mb: int = Field(
        512,
        ge=0,
        le=1_000_000,
        description="device memory for visual features of recent candidates",
    )
    decode_threads: int = Field(4, ge=1, le=64, description="threads that decode candidates")
    max_upload_bytes: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="largest file of a reference image"
    )
    max_pixels: int = Field(
        50_000_000, ge=1, le=1_000_000_000, description="largest reference image, width × height"
    )
    shutdown_grace_s: float = Field(
        10,
        ge=0,
        le=3600,
        description="on SIGTERM, queued work is finished for this long and the rest handed back",
    )
    parent_pid: int | None = Field(
        None,
        ge=1,
        le=2**31 - 1,
        description="process id; the worker ends when that "
        "process is gone; `python -m app` sets it",
    )
    log_level: LogLevel = Field("info", description="least level of the log, JSON lines on stderr")

    @classmethod
    def of_preset(cls, preset: Preset) -> dict[str, Any]:
        """The reranker; None if the preset has none."""
        return {"reranker": preset.reranker and preset.reranker.model_dump()}

    def require_reranker(self) -> RerankerSettings:
        """The reranker's settings.

        Raises:
            InputError: The preset has no reranker and none is set.
        """
        if self.reranker is None:
            raise InputError(
                f"the preset {self.preset!r} has no reranker; run the API without a worker, or "
                "name a reranker with CIR_WORKER__RERANKER__BASE"
            )
        return self.reranker


def settings_from_environment() -> WorkerSettings:
    """What environment and preset set, for a worker.

    Raises:
        InputError: There are unknown or bad settings, or no such preset, or it has no reranker.
    """
    settings = settings_of_worker_beside(None)
    settings.require_reranker()
    return settings


def settings_of_worker_beside(preset: str | None) -> WorkerSettings:
    """What environment and preset set, as others than the worker need it.

    Args:
        preset: Of the API, for a worker whose environment names none.

    Raises:
        SettingsError: There are unknown or bad settings, or no such preset.
    """
    if preset is None or is_set(WorkerSettings, "preset"):
        return read_settings(WorkerSettings)
    return read_settings(WorkerSettings, preset=preset)
