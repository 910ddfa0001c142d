"""The HTTP server of both processes: uvicorn, with bounds on what a client may send and when.

A request line and headers that never end, or come a byte at a time, cost a bounded buffer and a
bounded time; so does the rest of a body whose answer is out. What comes after the headers is
bounded by `request_body`, inside the application.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from types import FrameType
from typing import Annotated, Any, Literal, NoReturn

import h11
import uvicorn
from starlette.types import ASGIApp
from typer import Option
from uvicorn.protocols.http.h11_impl import H11Protocol

from models.command_line import UsageError, parse

MAX_HEADER_BYTES = 65_536
_HEADER_S = 10.0
_REST_S = 30.0  # of a body whose answer is out
_CLOSING_S = 0.5
_USAGE = 2  # the exit code


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """Where a server listens."""

    host: Annotated[str, Option(help="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Option(help="port to listen on")] = 8000


class BoundedProtocol(H11Protocol):
    """One connection, on which everything that is due comes in time or ends it.

    h11 is the parser because it bounds request line and headers; httptools would take any length.

    Attributes:
        header_s: How long request line and headers may take, in seconds.
        rest_s: How long the rest of a body may take once its answer is out, in seconds.
    """

    header_s, rest_s = _HEADER_S, _REST_S

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._due: Literal["headers", "rest"] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is here, and owes a request."""
        super().connection_made(transport)
        self._expect("headers")

    def data_received(self, data: bytes) -> None:
        """Some bytes of whatever is due."""
        super().data_received(data)
        self._expect(self._what_is_due())

    def on_response_complete(self) -> None:
        """The answer is out; its request may still be coming."""
        super().on_response_complete()
        self._expect(self._what_is_due())

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone, and owes nothing."""
        super().connection_lost(error)
        self._expect(None)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, saying what was wrong with it."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError):
            self._refuse(error.error_status_hint, str(error))
        else:
            self._refuse(400, msg)

    def _what_is_due(self) -> Literal["headers", "rest"] | None:
        if self.conn.their_state is h11.IDLE:
            return "headers" if self.conn.trailing_data[0] else None
        answered = self.cycle is not None and self.cycle.response_complete
        return "rest" if answered and self.conn.their_state is h11.SEND_BODY else None

    def _expect(self, due: Literal["headers", "rest"] | None) -> None:
        """Wait for what is due, from when it began to be."""
        if due == self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = due, None
        if due is not None:
            allowed_s = self.header_s if due == "headers" else self.rest_s
            self._timer = self.loop.call_later(allowed_s, self._on_late)

    def _on_late(self) -> None:
        if self._due == "headers" and self.conn.trailing_data[0]:
            self._refuse(408, f"request line and headers took longer than {self.header_s:g} s")
        else:
            self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what never became a request, and close the connection."""
        phrase = HTTPStatus(status).phrase
        problem = {"type": "urn:cir:bad-request", "title": phrase, "status": status}
        body = json.dumps({**problem, "detail": detail}).encode()
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class Server(uvicorn.Server):
    """Ends within its grace whatever clients do, and at once when it is told a second time.

    `on_exit` is called on the event loop when it is told to stop, see `http_server`.
    """

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], object] | None = None) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """SIGINT or SIGTERM: finish what is under way; the second time, finish nothing."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop listening, answer what is asked; close the connections that are open after that."""
        if self._on_exit is not None:
            self._on_exit()
        grace_s = self.config.timeout_graceful_shutdown
        if grace_s is not None:
            # shortly before uvicorn cancels: to the application, these clients have left
            loop = asyncio.get_running_loop()
            loop.call_later(max(0.0, grace_s - _CLOSING_S), self._close_connections)
        await super().shutdown(sockets)

    def _close_connections(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def http_server(
    app: ASGIApp,
    host: str,
    port: int,
    grace_s: int,
    on_exit: Callable[[], object] | None = None,
) -> Server:
    """A server for an app, not started yet.

    Args:
        app: The app.
        host: Where to listen.
        port: Where to listen.
        grace_s: How long answers under way may take once it is told to stop, in seconds.
        on_exit: Called on the event loop as soon as it is told to stop. The application's own
            shutdown begins only when all connections are closed: too late to end streams.
    """
    return Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=BoundedProtocol,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=grace_s,
        ),
        on_exit,
    )


def main(
    make_server: Callable[[str, int], Server],
    program: str,
    about: str | None,
    options: type[ListenOptions] = ListenOptions,
) -> NoReturn:
    """The command of one server: reads its arguments, and ends with an exit code.

    Args:
        make_server: Host and port → the server.
        program: The command, for its help.
        about: What it does, for its help.
        options: Where it listens by default.
    """
    try:
        given = parse({}, sys.argv[1:], program=program, about=about, default=options)
    except UsageError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(_USAGE)
    sys.exit(0 if given is None else serve(make_server(given.host, given.port)))


def serve(server: Server) -> int:
    """Serve until SIGINT or SIGTERM; the exit code: 0 if it ever served."""
    # also while it does not serve yet, or not any more, a signal must not end what is around it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    server.run()
    return 0 if server.started else 1
