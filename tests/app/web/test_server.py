"""What a client may hold of the server, over real connections: bounded in bytes and in time."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.web.server import MAX_HEADER_BYTES, BoundedProtocol, http_server
from tests.app.api.stub_worker import free_port
from tests.paths import ROOT

WAIT_S = 20


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers; reads the body first, unless asked for `/unread`."""
    if scope["type"] == "http":
        more = scope["path"] != "/unread"
        while more:
            more = (message := await receive()).get("more_body", False)
            if message["type"] == "http.disconnect":
                return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


@contextlib.contextmanager
def served(**patience: float) -> Iterator[int]:
    """The app on our server; gives its port."""
    port = free_port()
    server = http_server(app, "127.0.0.1", port, grace_s=1)
    server.config.http = type("Impatient", (BoundedProtocol,), patience)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield port
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive()


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as connection:
        yield connection


def answer(connection: socket.socket) -> tuple[int, Any]:
    found = http.client.HTTPResponse(connection)
    found.begin()
    return found.status, json.loads(found.read())


def closed(connection: socket.socket) -> bool:
    """Waits for the other side to close; what it said before is passed over."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65_536):
            pass
    return True


@pytest.mark.parametrize("piece", [b"a" * 4096, b"a" * 4000 + b"\r\nX-More: ", b"/"])
def test_a_header_that_never_ends(piece: bytes) -> None:
    """Also as a request line, and as more and more headers."""
    start = b"GET /" if piece == b"/" else b"GET / HTTP/1.1\r\nX-Long: "
    with served() as port, connected(port) as connection:
        connection.sendall(start)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 500 * MAX_HEADER_BYTES:
                sent += connection.send(piece * (65_536 // len(piece)))
        assert sent < 500 * MAX_HEADER_BYTES
        with contextlib.suppress(ConnectionError):
            assert answer(connection)[0] == 431
        assert closed(connection)
        with connected(port) as other:
            other.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer(other) == (200, {})


def test_headers_that_take_their_time() -> None:
    with served(header_s=0.3) as port, connected(port) as silent, connected(port) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        status, problem = answer(slow)
        assert status == 408
        assert "longer than 0.3 s" in problem["detail"]
        assert closed(slow)
        assert closed(silent)


def test_headers_of_the_second_request_count_anew() -> None:
    with served(header_s=0.3) as port, connected(port) as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\n")
            time.sleep(0.2)
            connection.sendall(b"Host: x\r\n\r\n")
            assert answer(connection) == (200, {})
        connection.sendall(b"GET / HTTP/1.1\r\n")
        assert answer(connection)[0] == 408


def test_the_rest_of_a_body_that_was_answered() -> None:
    with served(rest_s=0.3) as port, connected(port) as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nabc")
        assert answer(connection) == (200, {})
        connection.sendall(b"and so on")
        assert closed(connection)


def test_what_is_no_request_is_refused() -> None:
    with served() as port, connected(port) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert answer(connection)[0] == 400


@contextlib.contextmanager
def process(grace_s: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The app in a process of its own, that can be told to stop."""
    port = free_port()
    script = (
        "import sys; from app.web.server import http_server, serve; "
        f"from tests.app.web.test_server import app; "
        f"sys.exit(serve(http_server(app, '127.0.0.1', {port}, {grace_s})))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, text=True, stderr=subprocess.PIPE
    ) as running:
        try:
            give_up = time.monotonic() + 3 * WAIT_S
            while True:
                with contextlib.suppress(ConnectionError), connected(port) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    if answer(connection)[0] == 200:
                        break
                assert running.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.05)
            yield running, port
        finally:
            running.kill()


HALF_SENT = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\nabc"


def test_a_half_sent_body_does_not_keep_it() -> None:
    with process(grace_s=1) as (running, port), connected(port) as connection:
        connection.sendall(HALF_SENT)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=WAIT_S)
        assert running.returncode == 0
        assert said == ""


def test_told_a_second_time_it_ends_at_once() -> None:
    with process(grace_s=600) as (running, port), connected(port) as connection:
        connection.sendall(HALF_SENT)
        running.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.5)
        running.send_signal(signal.SIGTERM)
        assert running.wait(WAIT_S) == -signal.SIGTERM
