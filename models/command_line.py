"""Command lines of typed options: a command is a dataclass, which typer makes flags of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

import typer

from models.errors import InputError

Options = TypeVar("Options")


class UsageError(InputError):
    """There is no such command or flag, or a value will not do; the message says which."""


def parse(
    commands: Mapping[str, tuple[Callable[..., Options], str]],
    arguments: Sequence[str],
    *,
    program: str,
    about: str | None,
    default: Callable[..., Options] | None = None,
    epilog: str | None = None,
    list_flags: Collection[str] = (),
) -> Options | None:
    """The options of the command that is called.

    Args:
        commands: Name → the dataclass of its options, and its line in the help.
        arguments: What follows the program's name.
        program: The program's name, as usage lines say it.
        about: What the program does, above the list of commands.
        default: The dataclass of what runs where no command is named, if that is allowed.
        epilog: The last line of every help.
        list_flags: Flags that take several values, see `repeat_list_flags`.

    Returns:
        None if help was asked for; it is printed.

    Raises:
        UsageError: The arguments are wrong.
    """
    app = typer.Typer(
        help=about, epilog=epilog, add_completion=False, rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )  # fmt: skip
    # with a callback, a command is named even where there is only one
    if default is None:
        app.callback()(lambda: None)
    elif commands:
        app.callback(invoke_without_command=True, subcommand_metavar="[COMMAND]")(default)
    else:
        app.command(help=about, epilog=epilog)(default)
    for name, (options, summary) in commands.items():
        app.command(name, help=summary, epilog=epilog)(options)
    try:
        parsed: Options | int | None = typer.main.get_command(app).main(
            repeat_list_flags(arguments, list_flags), prog_name=program, standalone_mode=False
        )
    except typer.TyperException as error:
        said = error.format_message().replace("Value error, ", "")
        raise UsageError(f"{said} (`--help` lists what there is)") from error
    if isinstance(parsed, int | None):
        return None
    if default not in (None, type(parsed)) and arguments[0] not in commands:
        raise UsageError(
            f"{arguments[0]} belongs behind the command (`--help` lists what there is)"
        )
    return parsed


def repeat_list_flags(arguments: Sequence[str], list_flags: Collection[str]) -> list[str]:
    """`--group-by a b` as `--group-by a --group-by b`, which is how typer reads lists.

    Without values the flag's value is empty; `without_empty` takes it out of the list.
    """
    repeated: list[str] = []
    at = 0
    while at < len(arguments):
        flag = arguments[at]
        at += 1
        if flag not in list_flags:
            repeated.append(flag)
            continue
        values = list(takewhile(lambda value: not value.startswith("--"), arguments[at:]))
        at += len(values)
        repeated += [part for value in values or [""] for part in (flag, value)]
    return repeated


def without_empty(values: Sequence[str]) -> list[str]:
    """A list's values as they were given: none, where its flag stood alone."""
    return [value for value in values if value]


def one_at_most(**given: object) -> None:
    """Of flags that exclude each other.

    Raises:
        InputError: Two or more were given.
    """
    flags = [flag for flag, value in given.items() if value is not None]
    if len(flags) > 1:
        raise InputError(f"{' and '.join(flags)} exclude each other")
