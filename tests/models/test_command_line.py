"""Lists on a command line: a flag with any number of values, as typer reads them."""

import pytest

from models.command_line import repeat_list_flags, without_empty


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--out", "o"], ["--out", "o"]),
        (["--by", "a", "b", "--out", "o"], ["--by", "a", "--by", "b", "--out", "o"]),
        (["--by", "a", "--by", "b"], ["--by", "a", "--by", "b"]),
        (["--by"], ["--by", ""]),
        (["--by", "--out", "o"], ["--by", "", "--out", "o"]),
    ],
)
def test_values_after_a_list_flag_are_its_own(given: list[str], read: list[str]) -> None:
    assert repeat_list_flags(given, ["--by"]) == read


def test_a_list_flag_that_stands_alone_gives_no_values() -> None:
    assert without_empty([""]) == []
    assert without_empty(["a", "b"]) == ["a", "b"]
