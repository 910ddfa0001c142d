"""Presets: an encoder, a judge and the composition weights tuned for them, under one name."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from models.composition.vector import CompositionWeights
from models.settings import EncoderSettings, JudgeSettings

_FOLDER = Path(__file__).parent


class SecondStage(BaseModel):
    """What the judge is trusted with; measured on validation queries, like all weights here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge_composes: bool = Field(True, description="whether the judge is asked for intents")
    rerank_depth: int = Field(50, ge=0, description="re-ranked in a search that does not say")
    rerank_weight: float = Field(1.0, ge=0, description="w in retrieval score + w · rerank score")


class Preset(BaseModel):
    """Settings that belong together because they were tuned together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSettings
    judge: JudgeSettings
    composition: CompositionWeights
    second_stage: SecondStage = SecondStage()


def preset_names() -> list[str]:
    """The presets there are."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/preset.json"))


def load_preset(name: str) -> Preset:
    """Read a preset.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in preset_names():
        raise ValueError(f"unknown preset {name!r}; there are: {', '.join(preset_names())}")
    return Preset.model_validate(json.loads((_FOLDER / name / "preset.json").read_text("utf-8")))
