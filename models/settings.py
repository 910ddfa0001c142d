"""Setting groups that more than one process needs. Each process nests them under its own prefix."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PRESETS = Path(__file__).parent / "presets"


class EncoderSettings(BaseModel):
    """Which open_clip model embeds images and texts, and where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: str = Field(
        "demo",
        description="`demo` (shipped), an open_clip name such as `ViT-B-32`, `hf-hub:org/name` or "
        "`local-dir:/path`",
    )
    pretrained: str | None = Field(
        None, description="open_clip's pretrained tag or a weights file; only for open_clip names"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where it runs")
    batch_size: int = Field(64, ge=1, le=4096, description="images per forward pass")

    @property
    def source(self) -> str:
        """The name open_clip understands; `demo` is the folder shipped with this package."""
        return f"local-dir:{PRESETS / 'demo' / 'encoder'}" if self.model == "demo" else self.model
