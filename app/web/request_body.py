"""What bodies may cost: bytes of one, time of one, and bytes of all together.

Plain ASGI. Whoever reads a body need not know: one that is too large, too slow or too much is
answered here, whatever the application makes of its end.
"""

import asyncio
import logging
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.problems import problem

_log = logging.getLogger(__name__)

_ALWAYS_ROOM_BYTES = 65_536  # what a search without a picture needs, and a connection holds anyway


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of request bodies.

    Attributes:
        max_image_bytes: The largest image.
        max_body_bytes: The largest body, with the image in it.
        timeout_s: How long a body may take, in seconds, …
        min_bytes_per_s: … and a second more for so many bytes that came: slow is not stuck.
        max_held_bytes: All bodies being received and answered; beyond it, larger ones are refused.
    """

    max_image_bytes: int
    max_body_bytes: int
    timeout_s: float = 30
    min_bytes_per_s: int = 50_000
    max_held_bytes: int = 128_000_000


class RequestBodies:
    """Keeps the bodies of one app within limits."""

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app, self.limits = app, limits
        self.held = 0  # bytes, of all requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await _Request(self, receive, send).serve(self._app, scope)
        else:
            await self._app(scope, receive, send)


class _Request:
    """One request, between server and application."""

    def __init__(self, all_: RequestBodies, receive: Receive, send: Send) -> None:
        self._all, self._limits = all_, all_.limits
        self._receive, self._send = receive, send
        self._began = asyncio.get_running_loop().time()
        self._taken = 0
        self._whole = self._answering = False
        self._instead: Response | None = None  # of what the application answers

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and float(declared) > self._limits.max_body_bytes:
            await self._too_large()(scope, self._receive, self._send)
            return
        try:
            await app(scope, self._receive_within_limits, self._send_unless_replaced)
        except (_Refused, ClientDisconnect):
            if self._instead is None:
                raise
        finally:
            self._all.held -= self._taken
        if self._instead is not None and not self._answering:
            await self._instead(scope, self._receive, self._send)

    async def _receive_within_limits(self) -> Message:
        if self._whole or self._answering:
            return await self._receive()
        allowed_s = self._limits.timeout_s + self._taken / self._limits.min_bytes_per_s
        try:
            async with asyncio.timeout_at(self._began + allowed_s):
                message = await self._receive()
        except TimeoutError:
            self._instead = self._too_slow(allowed_s)
            raise _Refused from None
        if message["type"] == "http.disconnect":
            self._instead = Response()  # has no reader
            _log.info("the client left during its request, after %d bytes of body", self._taken)
            return message
        size = len(message.get("body", b""))
        self._taken += size
        self._all.held += size
        self._whole = not message.get("more_body", False)
        self._instead = self._refusal()
        if self._instead is not None:
            raise _Refused
        return message

    async def _send_unless_replaced(self, message: Message) -> None:
        if self._instead is None or self._answering:
            self._answering = True
            await self._send(message)

    def _refusal(self) -> Response | None:
        """Why no more of the body is taken, if so."""
        if self._taken > self._limits.max_body_bytes:
            return self._too_large()
        room = max(self._limits.max_held_bytes, self._limits.max_body_bytes)
        if self._all.held > room and self._taken > _ALWAYS_ROOM_BYTES:
            detail = "too much is being uploaded at once; try again in a second"
            return problem(503, "overloaded", detail, retry_after_s=1)
        return None

    def _too_large(self) -> Response:
        largest = self._limits.max_image_bytes
        detail = f"the request is too large; an image may have {largest:,} bytes"
        return problem(413, "too-large", detail)

    def _too_slow(self, allowed_s: float) -> Response:
        detail = (
            f"the body did not come within {allowed_s:.3g} s: {self._limits.timeout_s:g} s, and a "
            f"second more for each {self._limits.min_bytes_per_s:,} bytes"
        )
        answer = problem(408, "upload-too-slow", detail)
        answer.headers["Connection"] = "close"
        return answer


class _Refused(Exception):
    """Ends the reading of a body; never seen outside."""
