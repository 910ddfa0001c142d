"""Presets: an encoder, a reranker and the composition weights tuned for them, under one name.

Everything a preset says can be set otherwise by a setting of the process concerned: to those
settings a preset is a source of values, below the environment (`models.presets.source`).
"""

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.contracts.rerank import MAX_CANDIDATES
from models.errors import InputError
from models.query.weights import CompositionMode, CompositionWeights, UnderstoodWeights
from models.settings import EncoderSettings, RerankerSettings, sentences

MAX_RERANK_WEIGHT = 100

_FOLDER = Path(__file__).parent
_log = logging.getLogger(__name__)

RerankDepth = Annotated[
    int,
    Field(ge=0, le=MAX_CANDIDATES, description="candidates reranked in a search that does not say"),
]
RerankWeight = Annotated[
    float,
    Field(ge=0, le=MAX_RERANK_WEIGHT, description="w in retrieval score + w · rerank score"),
]
ComposesIntents = Annotated[
    bool,
    Field(description="whether the reranker is asked for intents; `false`: facets compose them"),
]
DefaultMode = Annotated[
    CompositionMode,
    Field(description="how image and text are composed in a search that does not say"),
]
RerankPx = Annotated[
    int, Field(ge=16, le=4096, description="longer side of the copies that the reranker sees")
]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    old_names: ClassVar[dict[str, str]] = {}  # read until 0.2.0; the new name wins

    @model_validator(mode="before")
    @classmethod
    def _under_new_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        old = [name for name in cls.old_names if name in values]
        for name in old:
            _log.warning("a preset says %r; it is %r now", name, cls.old_names[name])
        return {cls.old_names[name]: values[name] for name in old} | {
            name: value for name, value in values.items() if name not in old
        }


class Reranking(_Contract):
    """How far the reranker is used; tuned on validation queries, like all weights here."""

    old_names = {"judge_composes": "reranker_composes"}

    reranker_composes: ComposesIntents = True
    rerank_depth: RerankDepth = 50
    rerank_weight: RerankWeight = 1.0


class ModelNeeds(_Contract):
    """What one model takes, in bytes."""

    download_bytes: int = Field(ge=0, description="files on the hub; 0: shipped with this package")
    ram_bytes: int = Field(ge=0, description="main memory at its highest, while loading")
    device_bytes: int = Field(ge=0, description="memory of the GPU while running")


class Needs(_Contract):
    """What the models of a preset take, beside the process around them."""

    old_names = {"judge": "reranker"}

    encoder: ModelNeeds
    reranker: ModelNeeds | None = None
    basis: str = Field(description="how the figures were computed")


class WeightsLicence(_Contract):
    """Under which licence weights are published; theirs, not this project's."""

    weights: str = Field(description="hub name, or where in this package they are")
    licence: str = Field(description="SPDX identifier where there is one, and what it rests on")


class Preset(_Contract):
    """Settings that belong together because they were tuned together."""

    old_names = {"judge": "reranker", "second_stage": "reranking"}

    description: str = Field("", description="one sentence: for what, and where it runs")
    encoder: EncoderSettings
    reranker: RerankerSettings | None = Field(
        None, description="null: a preset that does not rerank"
    )
    composition_mode: DefaultMode = "intersection"
    composition: CompositionWeights
    understood: UnderstoodWeights = UnderstoodWeights()
    reranking: Reranking = Reranking()
    rerank_px: RerankPx = 448
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
