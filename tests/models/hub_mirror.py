"""A mirror of the model hub on localhost: as much of its interface as downloads need."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


@contextmanager
def hub_mirror(
    repositories: Mapping[str, Mapping[str, bytes]], gated: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Serve repositories (`org/model` → file → content); gives the address for `HF_ENDPOINT`.

    Files of which only the name is there (empty content) are listed, and missing when asked for.
    """
    server = _Mirror(("127.0.0.1", 0), _Handler)
    server.repositories, server.gated = repositories, gated
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class _Mirror(ThreadingHTTPServer):
    repositories: Mapping[str, Mapping[str, bytes]]
    gated: frozenset[str]


class _Handler(BaseHTTPRequestHandler):
    server: "_Mirror"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0].strip("/").split("/")
        api = path[:2] == ["api", "models"]
        name = "/".join(path[2:4] if api else path[:2])
        if name in self.server.gated:
            self._error(403, "GatedRepo", "Access is restricted")
        elif name not in self.server.repositories:
            self._error(404, "RepoNotFound", "Repository not found")
        elif api:
            self._send(self._listing(path[4], self.server.repositories[name]), {}, with_body)
        elif content := self.server.repositories[name].get("/".join(path[4:])):
            self._send(content, {"ETag": f'"{_hash(content)}"'}, with_body)
        else:
            self._error(404, "EntryNotFound", "Entry not found")

    def _listing(self, what: str, files: Mapping[str, bytes]) -> bytes:
        if what == "tree":
            return json.dumps(
                [
                    {"type": "file", "path": f, "size": len(c), "oid": _hash(c)}
                    for f, c in files.items()
                ]
            ).encode()
        siblings = [{"rfilename": f, "size": len(c)} for f, c in files.items()]
        return json.dumps({"id": "x", "sha": COMMIT, "siblings": siblings}).encode()

    def _send(self, content: bytes, headers: Mapping[str, str], with_body: bool) -> None:
        self.send_response(200)
        for key, value in {
            "X-Repo-Commit": COMMIT, "Content-Length": str(len(content)), **headers,
        }.items():  # fmt: skip
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def _error(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()
