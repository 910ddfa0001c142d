"""A start that fails ends with a sentence instead of a stack trace.

Bad settings end the process before there is an app. What fails later is a lifespan message, hence
plain ASGI; the server then exits non-zero.
"""

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from indexer.gallery.errors import ServiceError
from models.errors import InputError, JobError

_log = logging.getLogger(__name__)

# missing models, wrong names, galleries that do not fit; anything else is a defect
_SENTENCES = (InputError, JobError, ServiceError, OSError)

BAD_SETTINGS = 2  # the exit code

_T = TypeVar("_T")


def settings_or_exit(read: Callable[[], _T]) -> _T:
    """Settings for an app that uvicorn makes, which would print their errors as stack traces.

    Raises:
        SystemExit: They are bad; the sentence is on stderr.
    """
    try:
        return read()
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(BAD_SETTINGS) from None


def install(app: FastAPI) -> None:
    """Put it around an app."""
    app.add_middleware(StartupErrorMiddleware)


class StartupErrorMiddleware:
    """Says why a start failed; the stack trace is logged at level debug.

    An error that is a defect of the program keeps its stack trace in the message.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or fail to."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def say(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, _SENTENCES):
                _log.debug("the start failed", exc_info=error)
                message = {**message, "message": f"cannot start: {error}"}
            await send(message)

        await self._app(scope, receive, say)
