"""Presets: an encoder, a judge and the composition weights tuned for them, under one name."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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

    Args:
        name: One of `preset_names()`, or the path of a preset file, `….json`.

    Raises:
        ValueError: There is none of that name, or the file is none.
    """
    if name.endswith(".json"):
        return _read(Path(name))
    if name not in preset_names():
        raise ValueError(f"unknown preset {name!r}; there are: {', '.join(preset_names())}")
    return _read(_FOLDER / name / "preset.json")


def _read(path: Path) -> Preset:
    try:
        return Preset.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no preset file at {path}") from None
    except ValidationError as error:
        raise ValueError(f"{path} is no preset: {error}") from None
