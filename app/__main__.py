"""`python -m app`: page, API and worker with the embedded gallery, in one command.

`python -m app doctor` says what would run where, and what is missing.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from app.api.settings import settings_from_environment
from app.doctor.command import main as doctor
from app.launcher import _say, _why_no_worker, _with_worker
from app.web.server import http_server, serve
from app.web.startup import BAD_SETTINGS


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["doctor"]:
        return doctor(given[1:])
    options = _options(given)
    beside: AbstractContextManager[object] = nullcontext()
    try:
        settings = settings_from_environment()
        reason = _why_no_worker(options.no_worker, settings)
        if reason is None:
            settings, beside = _with_worker(settings)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_SETTINGS
    # takes seconds, and packages that the doctor may have to say are missing
    from app.api.main import GRACE_S, create_app  # noqa: PLC0415

    app = create_app(settings)
    _say("starting a worker beside the API" if reason is None else f"no worker started: {reason}")
    _say(f"serving on http://{options.host}:{options.port}/ (stop with Ctrl-C)")
    server = http_server(app, options.host, options.port, GRACE_S)
    with beside:
        return serve(server)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="default %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="default %(default)s")
    parser.add_argument("--no-worker", action="store_true", help="do without the second stage")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
