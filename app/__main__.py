"""Page, API and worker with the embedded gallery, in one command.

`python -m app doctor` says what would run where, and what is missing.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated

from typer import Option

from app.api.settings import settings_from_environment
from app.doctor.command import DoctorOptions, run_doctor
from app.launcher import reason_for_no_worker, worker_beside
from app.web.server import ListenOptions, http_server, serve
from app.web.startup import BAD_SETTINGS
from models.command_line import UsageError, parse
from models.errors import InputError

_USAGE = 2


@dataclass(frozen=True, kw_only=True)
class ServeOptions(ListenOptions):
    """`python -m app`."""

    no_worker: Annotated[bool, Option("--no-worker", help="do without re-ranking")] = False


Options = ServeOptions | DoctorOptions
COMMANDS: Mapping[str, tuple[Callable[..., Options], str]] = {
    "doctor": (DoctorOptions, "say what would run where, and what is missing; changes nothing"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted, or examine; returns the exit code."""
    try:
        options = read_options(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return _USAGE
    match options:
        case None:
            return 0
        case DoctorOptions():
            return run_doctor(options)
        case ServeOptions():
            return _serve(options)


def read_options(arguments: Sequence[str]) -> Options | None:
    """The options of what is called; None: help was asked for, and printed.

    Raises:
        UsageError: There is no such command or flag, or a value will not do.
    """
    return parse(COMMANDS, arguments, program="python -m app", about=__doc__, default=ServeOptions)


def _serve(options: ServeOptions) -> int:
    beside: AbstractContextManager[object] = nullcontext()
    try:
        settings = settings_from_environment()
        reason = reason_for_no_worker(settings, options.no_worker)
        if reason is None:
            settings, beside = worker_beside(settings)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_SETTINGS
    # takes seconds, and packages that the doctor may have to say are missing
    from app.api.main import GRACE_S, create_app  # noqa: PLC0415

    app = create_app(settings)
    started = "starting a worker beside the API"
    print(started if reason is None else f"no worker started: {reason}", flush=True)
    print(f"serving on http://{options.host}:{options.port}/ (stop with Ctrl-C)", flush=True)
    server = http_server(app, options.host, options.port, GRACE_S)
    with beside:
        return serve(server)


if __name__ == "__main__":
    sys.exit(main())
