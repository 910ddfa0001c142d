"""Setting groups that more than one process needs. Each process nests them under its own prefix."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from models.contracts.gallery import ALIAS

PRESETS = Path(__file__).parent / "presets"


class EncoderSettings(BaseModel):
    """Which open_clip model embeds images and texts, and where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(
        "demo",
        description="`demo` (shipped), an open_clip name such as `ViT-B-32`, `hf-hub:org/name`, "
        "`local-dir:/path`, or `hf-clip:` and the hub name or folder of a transformers CLIP",
    )
    pretrained: str | None = Field(
        None, description="open_clip's pretrained tag or a weights file; only for open_clip names"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where it runs")
    batch_size: int = Field(64, ge=1, le=4096, description="images per forward pass")
    notice: str | None = Field(
        None, description="a sentence about what the model does not know; shown by the page"
    )
    locates_kinds: bool = Field(
        False, description="whether its heat maps were found to lie on the kind of thing that a "
        "phrase names, and not only on colours and the like",
    )  # fmt: skip

    @property
    def source(self) -> str:
        """The name to load by; `demo` is the folder shipped with this package."""
        return f"local-dir:{PRESETS / 'demo' / 'encoder'}" if self.model == "demo" else self.model


class JudgeSettings(BaseModel):
    """A base model, an adapter on it, and how much of a picture they see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        "demo", description="`demo` (shipped), a hub name such as `Qwen/Qwen3-VL-2B-Instruct`, or "
        "a folder of the same layout",
    )  # fmt: skip
    adapter: str | None = Field(
        None, description="a peft LoRA adapter: hub name or folder; `demo` brings its own"
    )
    visual_tokens: int = Field(
        16, ge=1, le=16384, description="most visual tokens per picture; pictures are scaled to it"
    )
    template: Literal["auto", "cir", "qwen3-vl-reranker", "instruct", "smolvlm"] = Field(
        "auto", description="what the judge is asked; auto: what its adapter was trained with, "
        "else what suits the base",
    )  # fmt: skip
    shows_target: bool = Field(
        True, description="whether the judge sees the composed target beside the request"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where it runs")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU that has it, float32 otherwise"
    )

    @property
    def base_source(self) -> str:
        """What transformers loads."""
        return str(PRESETS / "demo" / "judge" / "base") if self.base == "demo" else self.base

    @property
    def adapter_source(self) -> str | None:
        """What peft loads."""
        if self.adapter is None and self.base == "demo":
            return str(PRESETS / "demo" / "judge" / "adapter")
        return self.adapter


class QdrantSettings(BaseModel):
    """Where the gallery is: a Qdrant server if `url` is set, else an embedded folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(
        Path("data/qdrant"), description="folder of the embedded engine; one process at a time"
    )
    url: str | None = Field(None, description="a Qdrant server, e.g. `http://qdrant:6333`")
    grpc_port: int = Field(6334, ge=1, le=65535, description="the server's port for gRPC")
    api_key: SecretStr | None = Field(None, description="the server's key")
    timeout_s: int = Field(10, ge=1, description="longest wait for one answer of the server")
    alias: str = Field(
        ALIAS,
        pattern=r"^[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*$",  # `__` ends it in the names of collections
        max_length=64,
        description="what the gallery is called in Qdrant; two galleries on one server need two",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
                raise ValueError(
                    f"{url!r} is no address of a Qdrant server, like `http://qdrant:6333`"
                )
        return url


def check_no_unknown(environ: Mapping[str, str], prefix: str, known: type[BaseModel]) -> None:
    """Refuse variables with our prefix that mean nothing: a typo must not be silence.

    Raises:
        ValueError: Names every such variable and what there is.
    """
    names = {name.upper() for name in known.model_fields}
    unknown = [
        key
        for key in environ
        if key.upper().startswith(prefix) and key.upper()[len(prefix) :].split("__")[0] not in names
    ]
    if unknown:
        there_are = ", ".join(f"{prefix}{name}" for name in sorted(names))
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}; there are: {there_are}")
