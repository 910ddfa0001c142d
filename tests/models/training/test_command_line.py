"""The command line of training: flags become typed options, bad ones end with a sentence."""

from pathlib import Path

import pytest

from models.training.__main__ import _COMMANDS, _parse, main
from models.training.options import (
    CatalogueOptions,
    DemoEncoderOptions,
    RerankerOptions,
)

SYNTHESIZE = ["synthesize", "--manifest", "m.csv", "--out", "o"]


@pytest.mark.parametrize(
    ("given", "facets"),
    [
        ([], ["setting"]),
        (["--context-facets", "room", "light"], ["room", "light"]),
        (["--context-facets", "room", "--context-facets", "light"], ["room", "light"]),
        (["--context-facets"], []),
    ],
)
def test_a_list_takes_any_number_of_values(given: list[str], facets: list[str]) -> None:
    options = _parse([*SYNTHESIZE, *given, "--seed", "3"])
    assert isinstance(options, CatalogueOptions)
    assert options.context_facets == facets
    assert options.seed == 3


def test_a_list_ends_where_the_next_flag_begins() -> None:
    needed = ["--manifest", "m", "--validation", "v", "--out", "o"]
    options = _parse(["demo-encoder", "--group-by", "colour", "pattern", "setting", *needed])
    assert isinstance(options, DemoEncoderOptions)
    assert options.group_by == ["colour", "pattern", "setting"]
    assert options.manifest == Path("m")


@pytest.mark.parametrize(
    ("flag", "chosen"),
    [([], None), (["--gradient-checkpointing"], True), (["--no-gradient-checkpointing"], False)],
)
def test_a_switch_may_be_left_to_the_machine(flag: list[str], chosen: bool | None) -> None:
    options = _parse(["reranker", "--manifest", "m", "--out", "o", *flag])
    assert isinstance(options, RerankerOptions)
    assert options.gradient_checkpointing is chosen


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "error: Missing command."),
        (["demo-judge"], "error: No such command 'demo-judge'."),
        (["synthesize", "--manifest", "m"], "error: Missing option '--out'."),
        ([*SYNTHESIZE, "--steps", "2"], "error: No such option: --steps"),
        ([*SYNTHESIZE, "--queries", "many"], "error: Invalid value for '--queries': Input should"),
        (
            ["reranker", "--manifest", "m", "--out", "o", "--device", "tpu"],
            "error: Invalid value for '--device': 'tpu' is not one of 'auto', 'cpu'",
        ),
    ],
)
def test_bad_options_end_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(sentence)
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", [[], *([name] for name in _COMMANDS)])
def test_help_lists_what_there_is(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert "Usage: python -m models.training" in capsys.readouterr().out
