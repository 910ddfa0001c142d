"""A web server of a test's own, over a real socket."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_POLL_S = 0.02  # how long the server goes on after a test


class Quiet:
    """A request handler's other base: it writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve with a handler; the server's address, like `http://127.0.0.1:1234`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    serving = threading.Thread(target=server.serve_forever, args=(_POLL_S,))
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
