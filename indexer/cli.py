"""The offline jobs: render a demo catalogue, build a gallery, measure retrieval.

Parses, calls, prints. A command's module is imported when the command runs: torch and open_clip
take seconds, and a command that fails on its input needs neither.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module

from indexer.demo.options import DemoOptions
from indexer.evaluation import options as evaluation
from indexer.evaluation.options import EvaluateOptions
from indexer.pipeline import options as pipeline
from indexer.pipeline.options import AddOptions, BuildOptions, RemoveOptions, SyncOptions
from indexer.upkeep.options import PruneOptions, StatusOptions, VerifyOptions
from models.command_line import parse
from models.errors import InputError, JobError

Options = (
    DemoOptions
    | BuildOptions
    | SyncOptions
    | AddOptions
    | RemoveOptions
    | StatusOptions
    | VerifyOptions
    | PruneOptions
    | EvaluateOptions
)

_log = logging.getLogger(__name__)

_OK, _FAILED, _USAGE, _INTERRUPTED = 0, 1, 2, 130
_EPILOG = "exit codes: 0 done, 1 the job failed, 2 wrong usage or input, 130 interrupted"

COMMANDS: Mapping[str, tuple[Callable[..., Options], str]] = {
    "demo": (DemoOptions, "render a demo catalogue"),
    "build": (BuildOptions, "embed a gallery and put it in service"),
    "sync": (SyncOptions, "make the gallery in service equal to a manifest"),
    "add": (AddOptions, "add images to the gallery in service"),
    "remove": (RemoveOptions, "remove images from the gallery in service"),
    "status": (StatusOptions, "say which generations are kept, and which is in service"),
    "verify": (VerifyOptions, "check that the gallery in service is sound"),
    "prune": (PruneOptions, "remove generations and copies that nobody needs"),
    "evaluate": (EvaluateOptions, "measure the retrieval of a running API"),
}
# each has a function `run` that takes the options and yields the lines to print
_MODULES: Mapping[type[Options], str] = {
    DemoOptions: "indexer.demo.command",
    BuildOptions: "indexer.pipeline.command",
    SyncOptions: "indexer.pipeline.changes.command",
    AddOptions: "indexer.pipeline.changes.command",
    RemoveOptions: "indexer.pipeline.changes.command",
    StatusOptions: "indexer.upkeep.status",
    VerifyOptions: "indexer.upkeep.verify",
    PruneOptions: "indexer.upkeep.prune",
    EvaluateOptions: "indexer.evaluation.command",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Errors of the project's own (`models.errors`) are a line each; any other is a defect, and keeps
    its stack trace.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        options = read_options(sys.argv[1:] if arguments is None else arguments)
        if options is not None:
            run: Callable[[Options], Iterable[str]] = import_module(_MODULES[type(options)]).run
            for line in run(options):
                print(line)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    except JobError as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        return _INTERRUPTED
    except Exception:
        _log.exception("an error that is not foreseen")
        print(
            "error: this is a defect of the program, not of what it was given; please report it "
            "with the lines above",
            file=sys.stderr,
        )
        return _FAILED
    return _OK


def read_options(arguments: Sequence[str]) -> Options | None:
    """The options of a command; None: help was asked for, and printed.

    Raises:
        InputError: There is no such command or flag, a value will not do, or flags exclude each
            other.
    """
    return parse(
        COMMANDS, arguments, program="python -m indexer", about=__doc__, epilog=_EPILOG,
        list_flags=(*evaluation.LIST_FLAGS, *pipeline.LIST_FLAGS),
    )  # fmt: skip
