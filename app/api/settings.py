"""The API's settings: environment variables with the prefix `CIR_API__`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.settings import EncoderSettings, QdrantSettings


class ApiSettings(BaseSettings):
    """Everything that can be set; frozen, built once in the composition root."""

    model_config = SettingsConfigDict(
        env_prefix="CIR_API__", env_nested_delimiter="__", frozen=True, protected_namespaces=()
    )

    preset: str = Field("demo", description="encoder and weights that belong together")
    encoder: EncoderSettings | None = Field(None, description="overrides the preset's encoder")
    qdrant: QdrantSettings = QdrantSettings()
    image_store: Path = Field(Path("data/images"), description="prepared copies, read only")
    max_upload_bytes: int = Field(10_000_000, ge=1, description="largest reference image")
    max_pixels: int = Field(50_000_000, ge=1, description="largest reference image, width × height")
    max_top_k: int = Field(100, ge=1, description="most results per search")
    max_retrieval_depth: int = Field(1000, ge=1, description="most candidates per search")
    timeout_ms: int = Field(2000, ge=1, description="deadline of a search that names none")
    max_concurrent_searches: int = Field(32, ge=1, description="beyond this: 429, Retry-After")
    log_level: str = Field("info", description="debug, info, warning or error")
