"""The self-test passes the shipped reranker, and nothing that is broken in a way that loads."""

import copy
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText, set_seed

from models.reranker.loading import RerankerParts, load_reranker
from models.reranker.prompts import CIR, INSTRUCT
from models.reranker.reranker import Reranker
from models.reranker.self_test import PROBES, SelfTestFailed, check_answer_mass, check_scores
from tests.models.rerankers import demo_settings

SETTINGS = demo_settings()
RIGHT = [[0.9, 0.1, 0.2], [0.6, 0.4, 0.1]]


@pytest.fixture(scope="module")
def loaded() -> RerankerParts:
    return load_reranker(SETTINGS)


def blind(model: Any) -> None:
    """Every visual token is the same: nothing of a picture reaches the language model."""
    tower = model.model.visual
    for merger in (tower.merger, *tower.deepstack_merger_list):
        nn.init.zeros_(merger.linear_fc2.weight)
        nn.init.zeros_(merger.linear_fc2.bias)


def headless(model: Any) -> None:
    model.lm_head.weight = nn.Parameter(torch.zeros_like(model.lm_head.weight))


def random_head(model: Any) -> None:
    set_seed(0)
    model.lm_head.weight = nn.Parameter(0.02 * torch.randn_like(model.lm_head.weight))


def overflowing(model: Any) -> None:
    model.model.language_model.norm.weight.data.fill_(math.nan)


def test_the_shipped_reranker_passes(loaded: RerankerParts) -> None:
    Reranker(SETTINGS, loaded).self_test()


@pytest.mark.parametrize(
    ("damage", "shows"),
    [
        (blind, "the same score"),
        (headless, "the same score"),
        (random_head, "something else"),
        (overflowing, "scores that are none"),
    ],
)
def test_a_broken_reranker_fails(
    loaded: RerankerParts, damage: Callable[[Any], None], shows: str
) -> None:
    model = copy.deepcopy(loaded.model)
    with torch.no_grad():
        damage(model)
    with pytest.raises(SelfTestFailed, match=shows):
        Reranker(SETTINGS, replace(loaded, model=model)).self_test()


def test_weights_that_were_never_loaded_fail(loaded: RerankerParts) -> None:
    set_seed(1)
    model = AutoModelForImageTextToText.from_config(loaded.model.config, dtype=torch.float32)
    with pytest.raises(SelfTestFailed, match="something else"):
        Reranker(SETTINGS, replace(loaded, model=model.eval())).self_test()


@pytest.mark.parametrize("template", [INSTRUCT, replace(CIR, yes=" is", no=" not")])
def test_asking_in_other_words_than_were_trained_fails(
    loaded: RerankerParts, template: Any
) -> None:
    with pytest.raises(SelfTestFailed, match="something else"):
        Reranker(SETTINGS, replace(loaded, template=template)).self_test()


@pytest.mark.parametrize("scores", [RIGHT, [[1.0, 0.0]], [[0.5, 0.5], [0.5, 0.53]]])
def test_scores_that_differ_pass(scores: list[list[float]]) -> None:
    check_scores(scores)


@pytest.mark.parametrize(
    ("scores", "shows"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], "the same score"),
        ([[0.5, 0.501], [0.499, 0.5]], "the same score"),
        ([[0.5, 0.5], [0.9, 0.9]], "the same score"),  # what is asked matters, pictures do not
        ([[1.0, 1.0]], "the same score"),
        ([[0.1, math.nan]], "are none"),
        ([[0.1, 1.2]], "are none"),
        ([[-0.3, 0.4]], "are none"),
    ],
)
def test_scores_that_mean_nothing_fail(scores: list[list[float]], shows: str) -> None:
    with pytest.raises(SelfTestFailed, match=shows):
        check_scores(scores)


@pytest.mark.parametrize("shares", [[0.01, 0.02], [math.nan]])
def test_a_reranker_about_to_say_something_else_fails(shares: list[float]) -> None:
    with pytest.raises(SelfTestFailed, match="asked for Yes or No"):
        check_answer_mass(shares, "Yes", "No")
    check_answer_mass([0.05, 0.9], "Yes", "No")


def test_pictures_of_a_probe_are_all_different() -> None:
    for probe in PROBES:
        assert len({shape.draw().tobytes() for shape in probe.candidates}) == 4
        assert probe.candidates[0] != probe.reference


def test_scores_that_hover_around_one_value_are_refused() -> None:
    noise = random.Random(1)
    scores = [[0.5 + noise.uniform(-0.009, 0.009) for _ in range(4)] for _ in range(3)]
    with pytest.raises(SelfTestFailed, match=r"obviously different pictures the same score \(0\.5"):
        check_scores(scores)


def test_the_same_scores_in_every_row_are_no_difference_between_rows() -> None:
    """A reranker that answers by the text alone varies from row to row, never within one."""
    with pytest.raises(SelfTestFailed, match="the same score"):
        check_scores([[0.9, 0.9], [0.1, 0.1]])


@pytest.mark.parametrize("scores", [[], [[]], [[0.7]]])
def test_nothing_to_compare_proves_nothing(scores: list[list[float]]) -> None:
    with pytest.raises(SelfTestFailed):
        check_scores(scores)
