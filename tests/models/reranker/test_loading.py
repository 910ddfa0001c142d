"""What a reranker is asked follows from its adapter and its base; what does not fit is refused."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.reranker.adapter_card import choose_template
from models.reranker.loading import RerankerLoadError, content_hash, load_reranker
from models.settings import PRESETS, RerankerSettings

BASE, ADAPTER = PRESETS / "demo" / "reranker" / "base", PRESETS / "demo" / "reranker" / "adapter"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return shutil.copytree(ADAPTER, tmp_path / "adapter")


def put_card(adapter: Path, **changes: Any) -> RerankerSettings:
    """Settings of the demo base with an adapter that has a card."""
    card = {
        "template": "cir", "template_version": "cir-1", "base": "base",
        "base_hash": content_hash(BASE), "visual_tokens": 16,
    }  # fmt: skip
    (adapter / "reranker.json").write_text(json.dumps(card | changes), "utf-8")
    return RerankerSettings(base=str(BASE), adapter=str(adapter))


def test_the_adapter_says_what_the_reranker_is_asked(adapter: Path) -> None:
    loaded = load_reranker(put_card(adapter))
    assert loaded.template.name == "cir"
    assert loaded.version.startswith("base-cir-1-")


def test_a_card_changes_no_score_and_so_no_version(adapter: Path) -> None:
    shipped = load_reranker(RerankerSettings())
    put_card(adapter, base_hash=None)
    assert load_reranker(RerankerSettings(adapter=str(adapter))).version == shipped.version


def test_a_card_under_its_old_name_is_read(adapter: Path) -> None:
    settings = put_card(adapter, template="own")
    (adapter / "reranker.json").rename(adapter / "judge.json")
    with pytest.raises(RerankerLoadError, match="trained with template 'cir-1'"):
        load_reranker(settings)
    put_card(adapter)  # under its new name, which wins
    assert load_reranker(settings).template.name == "cir"


@pytest.mark.parametrize(
    ("card", "template", "says"),
    [
        ({}, "instruct", "trained with the template 'cir', and 'instruct' was asked for"),
        ({"template_version": "cir-0"}, "auto", "trained with template 'cir-0'.* it has cir-1,"),
        ({"template": "own"}, "auto", "does not have"),
        ({"base": "org/other", "base_hash": "f00"}, "auto", "for the base 'org/other'"),
        ({"visual_tokens": "many"}, "auto", "reranker.json does not say"),
    ],
)
def test_an_adapter_is_not_asked_to_be_what_it_was_not_trained_to_be(
    adapter: Path, card: dict[str, Any], template: str, says: str
) -> None:
    settings = put_card(adapter, **card).model_copy(update={"template": template})
    with pytest.raises(RerankerLoadError, match=says):
        load_reranker(settings)


def test_other_visual_tokens_than_in_training_are_a_warning(
    adapter: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        load_reranker(put_card(adapter, visual_tokens=64))
    assert "trained at 64 visual tokens per picture and will see 16" in caplog.text


@pytest.mark.parametrize(
    ("wanted", "base", "model_type", "template"),
    [
        ("auto", "demo", "qwen3_vl", "cir"),
        ("auto", "Qwen/Qwen3-VL-Reranker-2B", "qwen3_vl", "qwen3-vl-reranker"),
        ("auto", "/models/Qwen3-VL-Reranker-8B", "qwen3_vl", "qwen3-vl-reranker"),
        ("auto", "Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl", "instruct"),
        ("auto", "Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", "instruct"),
        ("auto", "HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", "smolvlm"),
        ("auto", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "smolvlm", "smolvlm"),
        ("cir", "HuggingFaceTB/SmolVLM-256M-Instruct", "idefics3", "cir"),
    ],
)
def test_without_a_card_the_base_decides(
    wanted: str, base: str, model_type: str, template: str
) -> None:
    assert choose_template(wanted, None, base, model_type).name == template


def test_a_model_of_no_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava"}', "utf-8")
    with pytest.raises(RerankerLoadError, match="'llava' cannot rerank; supported are qwen3_vl,"):
        load_reranker(RerankerSettings(base=str(tmp_path)))
