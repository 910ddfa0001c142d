"""Presets: an encoder, a judge and the composition weights tuned for them, under one name."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from models.composition.vector import CompositionWeights
from models.settings import EncoderSettings, JudgeSettings

_FOLDER = Path(__file__).parent


class Preset(BaseModel):
    """Settings that belong together because they were tuned together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSettings
    judge: JudgeSettings
    composition: CompositionWeights


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
