"""What every request gets before anything else: an id, and the time it arrived.

Plain ASGI: middleware that wraps responses would stand between a stream and its client.
"""

import time
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.observability import request_id_var
from app.worker.error_handlers import problem


class RequestContext:
    """Takes the client's `X-Request-ID` or makes one; it is in the answer and in the logs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if given.isprintable() and 0 < len(given) <= 128 else uuid.uuid4().hex
        request_id_var.set(request_id)
        scope.setdefault("state", {})["arrived_at"] = time.monotonic()
        replaced = False

        async def send_with_id(message: Message) -> None:
            nonlocal replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
                if message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    replaced = True  # the body limit answers in plain text
                    answer = problem(413, "too-large", "the request is too large")
                    answer.headers["X-Request-ID"] = request_id
                    await answer(scope, receive, send)
                    return
            await send(message)

        await self._app(scope, receive, send_with_id)
