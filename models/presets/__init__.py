"""Presets: an encoder, a reranker and the composition weights tuned for them, under one name.

Everything a preset says can be set otherwise by a setting of the process concerned; each process's
settings put the two together in `effective_preset`.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.contracts.rerank import MAX_CANDIDATES
from models.errors import InputError
from models.query.weights import CompositionMode, CompositionWeights
from models.settings import EncoderSettings, RerankerSettings, sentences

MAX_RERANK_WEIGHT = 100

_FOLDER = Path(__file__).parent
_BELONGS_TO = {
    "pretrained": "model",
    "notice": "model",
    "locates_kinds": "model",
    "adapter": "base",
}
_Part = TypeVar("_Part", bound=BaseModel)


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reranking(_Contract):
    """What the reranker is trusted with; measured on validation queries, like all weights here."""

    reranker_composes: bool = Field(True, description="whether the reranker is asked for intents")
    rerank_depth: int = Field(
        50, ge=0, le=MAX_CANDIDATES, description="re-ranked in a search that does not say"
    )
    rerank_weight: float = Field(
        1.0, ge=0, le=MAX_RERANK_WEIGHT, description="w in retrieval score + w · rerank score"
    )


class ModelNeeds(_Contract):
    """What one model takes, in bytes."""

    download_bytes: int = Field(ge=0, description="files on the hub; 0: shipped with this package")
    ram_bytes: int = Field(ge=0, description="main memory at its highest, while loading")
    device_bytes: int = Field(ge=0, description="memory of the GPU while running")


class Needs(_Contract):
    """What the models of a preset take, beside the process around them."""

    encoder: ModelNeeds
    reranker: ModelNeeds | None = None
    basis: str = Field(description="how the figures were computed")


class WeightsLicence(_Contract):
    """Under which licence weights are published; theirs, not this project's."""

    weights: str = Field(description="hub name, or where in this package they are")
    licence: str = Field(description="SPDX identifier where there is one, and what it rests on")


class Preset(_Contract):
    """Settings that belong together because they were tuned together."""

    description: str = Field("", description="one sentence: for what, and where it runs")
    encoder: EncoderSettings
    reranker: RerankerSettings | None = Field(
        None, description="null: a preset without second stage"
    )
    composition_mode: CompositionMode = Field(
        "intersection", description="how image and text are composed in a search that does not say"
    )
    composition: CompositionWeights
    reranking: Reranking = Reranking()
    rerank_px: int = Field(
        448, ge=16, le=4096, description="longer side of pictures for the reranker"
    )
    needs: Needs | None = None
    licences: tuple[WeightsLicence, ...] = ()


def preset_names() -> list[str]:
    """The presets there are."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/preset.json"))


def load_preset(name: str) -> Preset:
    """Read a preset.

    Args:
        name: One of `preset_names()`, or the path of a preset file, `….json`.

    Raises:
        InputError: There is none of that name, or the file is none.
    """
    if name.endswith(".json"):
        return _read(Path(name))
    if name not in preset_names():
        raise InputError(f"unknown preset {name!r}; there are: {', '.join(preset_names())}")
    return _read(_FOLDER / name / "preset.json")


def preset_name(setting: str) -> str:
    """What a preset is called wherever it is: a file's name without its folder."""
    return Path(setting).name


def overridden(of_preset: _Part, setting: _Part | None) -> _Part:
    """A part of a preset with what a setting sets instead; what it leaves out stays.

    A setting that names another model does not take over what belongs to the preset's: its
    weights, its adapter, what is known of it.
    """
    if setting is None:
        return of_preset
    changes = setting.model_dump(exclude_unset=True)
    values = of_preset.model_dump() | changes
    for part, owner in _BELONGS_TO.items():
        if owner in changes and part not in changes and changes[owner] != getattr(of_preset, owner):
            values.pop(part, None)
    return type(of_preset).model_validate(values)


def _read(path: Path) -> Preset:
    try:
        return Preset.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(f"there is no preset file at {path}") from None
    except ValidationError as error:
        wrong = "; ".join(sentences(error, lambda at: ".".join(str(part) for part in at)))
        raise InputError(f"{path} is no preset: {wrong}") from None
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
