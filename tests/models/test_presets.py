"""Presets: every file is whole, and every value in it can be set otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from app.api.settings import ApiSettings, settings_from_environment
from app.worker.settings import WorkerSettings
from indexer.settings import IndexerSettings
from models.encoder.sources import check_names
from models.errors import InputError
from models.presets import Preset, load_preset, preset_names
from models.settings import EncoderSettings, RerankerSettings, SettingsError
from tests.paths import ROOT

# of every value of a preset: the variable that sets it, and something else that it can be
OTHERWISE = {
    "encoder.model": ("CIR_API__ENCODER__MODEL", "RN50"),
    "encoder.pretrained": ("CIR_API__ENCODER__PRETRAINED", "openai"),
    "encoder.device": ("CIR_API__ENCODER__DEVICE", "cpu"),
    "encoder.batch_size": ("CIR_API__ENCODER__BATCH_SIZE", 7),
    "encoder.notice": ("CIR_API__ENCODER__NOTICE", "It knows shoes."),
    "encoder.locates_kinds": ("CIR_API__ENCODER__LOCATES_KINDS", True),
    "reranker.base": ("CIR_WORKER__RERANKER__BASE", "org/other"),
    "reranker.adapter": ("CIR_WORKER__RERANKER__ADAPTER", "org/adapter"),
    "reranker.template": ("CIR_WORKER__RERANKER__TEMPLATE", "instruct"),
    "reranker.visual_tokens": ("CIR_WORKER__RERANKER__VISUAL_TOKENS", 99),
    "reranker.shows_target": ("CIR_WORKER__RERANKER__SHOWS_TARGET", False),
    "reranker.device": ("CIR_WORKER__RERANKER__DEVICE", "cpu"),
    "reranker.dtype": ("CIR_WORKER__RERANKER__DTYPE", "float32"),
    "composition_mode": ("CIR_API__COMPOSITION_MODE", "text"),
    "composition.target": ("CIR_API__COMPOSITION__TARGET", 0.31),
    "composition.desired": ("CIR_API__COMPOSITION__DESIRED", 0.32),
    "composition.preserve": ("CIR_API__COMPOSITION__PRESERVE", 0.33),
    "composition.text": ("CIR_API__COMPOSITION__TEXT", 0.34),
    "composition.forbidden": ("CIR_API__COMPOSITION__FORBIDDEN", 0.36),
    "composition.union_reference": ("CIR_API__COMPOSITION__UNION_REFERENCE", 0.37),
    "understood.known.target": ("CIR_API__UNDERSTOOD__KNOWN__TARGET", 0.41),
    "understood.known.desired": ("CIR_API__UNDERSTOOD__KNOWN__DESIRED", 0.42),
    "understood.known.preserve": ("CIR_API__UNDERSTOOD__KNOWN__PRESERVE", 0.43),
    "understood.known.text": ("CIR_API__UNDERSTOOD__KNOWN__TEXT", 0.44),
    "understood.known.forbidden": ("CIR_API__UNDERSTOOD__KNOWN__FORBIDDEN", 0.45),
    "understood.read.target": ("CIR_API__UNDERSTOOD__READ__TARGET", 0.51),
    "understood.read.desired": ("CIR_API__UNDERSTOOD__READ__DESIRED", 0.52),
    "understood.read.preserve": ("CIR_API__UNDERSTOOD__READ__PRESERVE", 0.53),
    "understood.read.text": ("CIR_API__UNDERSTOOD__READ__TEXT", 0.54),
    "understood.read.forbidden": ("CIR_API__UNDERSTOOD__READ__FORBIDDEN", 0.55),
    "reranking.reranker_composes": ("CIR_API__RERANKER_COMPOSES", True),
    "reranking.rerank_depth": ("CIR_API__DEFAULT_RERANK_DEPTH", 13),
    "reranking.rerank_weight": ("CIR_API__RERANK_WEIGHT", 0.77),
    "rerank_px": ("CIR_INDEXER__RERANK_PX", 321),
}
ABOUT_IT = {"description", "needs", "licences"}  # says things, sets nothing
GOES_WITH = {
    "encoder.model": {"encoder.pretrained", "encoder.notice", "encoder.locates_kinds"},
    "reranker.base": {"reranker.adapter"},
}


def flat(part: BaseModel, prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[f"{prefix}{name}"] = value
    return values


def effective(preset: str) -> dict[str, Any]:
    """All values as the processes would have them."""
    api, worker = ApiSettings(preset=preset), WorkerSettings(preset=preset)
    values: dict[str, Any] = {
        "composition_mode": api.composition_mode,
        "reranking.reranker_composes": api.reranker_composes,
        "reranking.rerank_depth": api.default_rerank_depth,
        "reranking.rerank_weight": api.rerank_weight,
        "rerank_px": IndexerSettings(preset=preset).rerank_px,
    }
    for name, part in (
        ("encoder", api.encoder),
        ("reranker", worker.require_reranker()),
        ("composition", api.composition),
        ("understood", api.understood),
    ):
        values |= flat(part, f"{name}.")
    return values


def test_there_are_four() -> None:
    assert preset_names() == ["base", "demo", "fast", "large"]


@pytest.mark.parametrize("name", ["base", "demo", "large"])
def test_every_value_can_be_set_and_nothing_else_moves(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = effective(name)
    of_preset = flat(load_preset(name))
    settable = {v for v in of_preset if v.partition(".")[0] not in ABOUT_IT}
    assert settable == set(OTHERWISE), "a new value of presets needs a setting, and a line here"
    assert as_it_is == {value: of_preset[value] for value in settable}
    for value, (variable, other) in OTHERWISE.items():
        with monkeypatch.context() as patch:
            patch.setenv(variable, json.dumps(other) if not isinstance(other, str) else other)
            changed = effective(name)
        assert changed.pop(value) == other, variable
        moving = {value} | GOES_WITH.get(value, set())
        kept = {k: v for k, v in as_it_is.items() if k not in moving}
        assert {k: v for k, v in changed.items() if k not in moving} == kept, variable


def test_the_indexer_overrides_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIR_INDEXER__PRESET", "base")
    monkeypatch.setenv("CIR_INDEXER__ENCODER__BATCH_SIZE", "8")
    monkeypatch.setenv("CIR_INDEXER__RERANK_PX", "300")
    settings = IndexerSettings()
    assert settings.encoder.model_dump() == {
        **load_preset("base").encoder.model_dump(), "batch_size": 8,
    }  # fmt: skip
    assert settings.rerank_px == 300


def test_weights_that_are_set_meet_the_presets_before_they_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_preset = load_preset("demo").composition
    only_desired = '{"target": 0, "preserve": 0, "text": 0}'
    monkeypatch.setenv("CIR_API__COMPOSITION", only_desired)
    kept = settings_from_environment().composition
    assert (kept.target, kept.preserve, kept.text, kept.desired) == (0, 0, 0, of_preset.desired)
    monkeypatch.setenv("CIR_API__COMPOSITION__DESIRED", "0")
    with pytest.raises(ValueError, match="^CIR_API__COMPOSITION: .* nothing to search by"):
        settings_from_environment()


def test_another_model_does_not_inherit_the_weights_of_the_presets(tmp_path: Path) -> None:
    def encoder(**settings: Any) -> EncoderSettings:
        return ApiSettings(preset=preset, encoder=EncoderSettings(**settings)).encoder

    def reranker(**settings: Any) -> RerankerSettings:
        return WorkerSettings(
            preset=preset, reranker=RerankerSettings(**settings)
        ).require_reranker()

    known = {"model": "RN50", "pretrained": "openai", "notice": "Shoes.", "locates_kinds": True}
    tuned = {"base": "org/base", "adapter": "org/adapter"}
    preset = written(tmp_path, {"encoder": known, "composition": {}, "reranker": tuned})
    other = encoder(model="RN101")
    assert (other.pretrained, other.notice, other.locates_kinds) == (None, None, False)
    assert encoder(model="RN50").pretrained == encoder(device="cpu").pretrained == "openai"
    assert encoder(device="cpu").notice == "Shoes."
    assert reranker(base="org/other").adapter is None
    assert reranker(visual_tokens=9).adapter == "org/adapter"


def written(folder: Path, preset: dict[str, Any]) -> str:
    (folder / "mine.json").write_text(json.dumps(preset))
    return str(folder / "mine.json")


def test_a_preset_file_with_old_names_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    needs = {name: {"download_bytes": 0, "ram_bytes": 1, "device_bytes": 2} for name in
             ("encoder", "judge")}  # fmt: skip
    old = {
        "encoder": {},
        "judge": {"base": "org/old", "visual_tokens": 9},
        "composition": {},
        "second_stage": {"judge_composes": False, "rerank_depth": 7},
        "needs": needs | {"basis": "counted"},
    }
    preset = load_preset(written(tmp_path, old))
    assert preset.reranker == RerankerSettings(base="org/old", visual_tokens=9)
    assert preset.reranking.model_dump(exclude_unset=True) == {
        "reranker_composes": False,
        "rerank_depth": 7,
    }
    assert preset.needs is not None
    assert preset.needs.reranker is not None
    assert "a preset says 'second_stage'; it is 'reranking' now" in caplog.text
    both = Preset.model_validate(old | {"reranker": {"base": "org/new"}})
    assert both.reranker == RerankerSettings(base="org/new")


def test_a_preset_that_there_is_not_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CIR_API__PRESET", "huge")
    with pytest.raises(SettingsError, match="^CIR_API__PRESET: unknown preset 'huge'; there are"):
        settings_from_environment()


@pytest.mark.parametrize("name", ["base", "demo", "fast", "large"])
def test_presets_say_what_they_are_need_and_allow(name: str) -> None:
    preset = load_preset(name)
    check_names(preset.encoder)
    assert preset.description.endswith(".")
    assert preset.needs is not None
    assert (preset.needs.reranker is None) == (preset.reranker is None)
    named = " ".join(licence.weights for licence in preset.licences)
    if preset.reranker is not None and name != "demo":
        assert preset.reranker.base in named
    assert len(preset.licences) == (1 if name in ("demo", "fast") else 2)


def test_the_sizes_of_the_shipped_models_are_as_said() -> None:
    needs = load_preset("demo").needs
    assert needs is not None
    assert needs.reranker is not None
    for part, model in (("encoder", needs.encoder), ("reranker", needs.reranker)):
        files = (ROOT / "models/presets/demo" / part).rglob("*.safetensors")
        float32 = 2 * sum(file.stat().st_size for file in files)  # the files are float16
        assert float32 <= model.ram_bytes <= 3 * float32
        assert model.download_bytes == 0


def test_a_preset_without_reranker_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="the preset 'fast' has no reranker; run the API without"):
        WorkerSettings(preset="fast").require_reranker()
    monkeypatch.setenv("CIR_WORKER__RERANKER__BASE", "org/reranker")
    assert WorkerSettings(preset="fast").require_reranker().base == "org/reranker"
