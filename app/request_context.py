"""What every request gets before anything else: an id, a limit to its size, its time of arrival.

Plain ASGI: middleware that wraps responses would stand between a stream and its client.
"""

import time
import uuid
from http import HTTPStatus

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.observability import request_id_var
from app.problems import problem, unexpected


def install(app: FastAPI, *, max_upload_bytes: int, overhead_bytes: int) -> None:
    """Put the middleware around an app.

    Args:
        app: The app.
        max_upload_bytes: The largest image.
        overhead_bytes: What a request may hold besides.
    """
    # base64 in JSON is a third longer than the bytes it stands for
    max_body = max_upload_bytes * 4 // 3 + overhead_bytes
    too_large = f"the request is too large; an image may have {max_upload_bytes:,} bytes"
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=max_body)
    app.add_middleware(RequestContext, too_large=too_large)  # added last, so it is the outermost


class RequestContext:
    """Takes the client's `X-Request-ID` or makes one; it is in the answer and in the logs."""

    def __init__(self, app: ASGIApp, too_large: str) -> None:
        self._app, self._too_large = app, too_large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if given.isprintable() and 0 < len(given) <= 128 else uuid.uuid4().hex
        request_id_var.set(request_id)
        scope.setdefault("state", {})["arrived_at"] = time.monotonic()
        begun = replaced = False

        async def send_with_id(message: Message) -> None:
            nonlocal begun, replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
                if message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    replaced = True  # the body limit answers in plain text
                    answer = problem(413, "too-large", self._too_large)
                    answer.headers["X-Request-ID"] = request_id
                    await answer(scope, receive, send)
                    return
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if begun:  # all that can be done is to break it off
                raise
            await unexpected(error)(scope, receive, send_with_id)
