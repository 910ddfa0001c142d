"""A start that fails ends with a sentence in the log instead of a stack trace.

Plain ASGI, because a failed start is a lifespan message. Whoever runs the app exits non-zero.
"""

import logging
import sys

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError

_log = logging.getLogger(__name__)

# what we raise ourselves for missing models, wrong names and galleries that do not fit
_SENTENCES = (RuntimeError, ValueError, OSError, ServiceError)


def install(app: FastAPI) -> None:
    """Put it around an app."""
    app.add_middleware(StartupSentence)


class StartupSentence:
    """Says why a start failed; the stack trace is logged at level debug."""

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
