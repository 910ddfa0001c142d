"""What every request gets before anything else: an id, limits to its body, its time of arrival;
and every answer: that id, headers that keep browsers from guessing, a line in the log if it failed.

Plain ASGI: middleware that wraps responses would stand between a stream and its client.
"""

import logging
import time
import uuid
from collections.abc import Iterable
from http import HTTPStatus

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.logging import request_id_var
from app.web.problems import unexpected
from app.web.request_body import BodyLimits, RequestBodies

_log = logging.getLogger(__name__)

_MAX_PATH_CHARS = 200  # in the log
# pages bring a policy of their own; nothing else is ever to be rendered
_UNLESS_SET = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def install(app: FastAPI, bodies: BodyLimits) -> None:
    """Put the middleware around an app.

    Args:
        app: The app.
        bodies: What its requests' bodies may cost.
    """
    app.add_middleware(RequestBodies, limits=bodies)
    app.add_middleware(RequestContextMiddleware)  # added last, so it is the outermost


class RequestContextMiddleware:
    """Takes the client's `X-Request-ID` or makes one; it is in the answer and in the logs.

    HEAD is GET without the body, at every address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _is_request_id(given) else uuid.uuid4().hex
        request_id_var.set(request_id)
        arrived_at = time.monotonic()
        scope.setdefault("state", {})["arrived_at"] = arrived_at
        without_body = scope["method"] == "HEAD"
        begun = False

        async def send_described(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _UNLESS_SET.items():
                    headers.setdefault(name, value)
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    _log_failure(scope, message["status"], arrived_at)
            elif without_body and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inside = {**scope, "headers": _without_range(scope["headers"])}
        if without_body:
            inside["method"] = "GET"
        try:
            await self._app(inside, receive, send_described)
        except Exception as error:
            if begun:  # all that can be done is to break it off
                raise
            await unexpected(error)(scope, receive, send_described)


def _is_request_id(text: str) -> bool:
    return text.isascii() and text.isprintable() and 0 < len(text) <= 128


def _without_range(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Everything is served whole: all of it is small, and a malformed range would be an error."""
    return [(name, value) for name, value in headers if name != b"range"]


def _log_failure(scope: Scope, status: int, arrived_at: float) -> None:
    path, took_ms = scope["path"][:_MAX_PATH_CHARS], (time.monotonic() - arrived_at) * 1000
    _log.info("%s %s: %d after %.0f ms", scope["method"], path, status, took_ms)
