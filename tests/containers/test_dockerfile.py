"""What the Dockerfile and the health checks promise; needs no engine."""

import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.containers.description import (
    OURS,
    QDRANTS,
    SERVICES,
    SETTINGS,
    exposed_port,
    stage_of,
    target,
)
from tests.paths import ROOT


def test_our_images_carry_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for name in OURS:
        assert SERVICES[name]["image"] == f"{project['name']}/{target(name)}:{project['version']}"


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_an_image_has_its_own_extra_and_no_root(name: str) -> None:
    stage = stage_of(name)
    assert stage.startswith("torch AS")
    assert re.findall(r"--extra (\w+)", stage) == [name]
    assert "\nUSER 10001:10001\n" in stage
    if name == "indexer":
        assert "HEALTHCHECK NONE" in stage
    else:
        assert f"http://127.0.0.1:{exposed_port(name)}/healthz" in stage
        assert f'"-m", "app.{name}"' in stage
        assert f'"--port", "{exposed_port(name)}"' in stage.replace(" \\\n    ", "")


@pytest.fixture
def ready_server() -> Iterator[tuple[HTTPServer, dict[str, int]]]:
    """Answers `/readyz` with the status it is told."""
    told = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send_response(told["status"] if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server, told
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the check is bash's, as in the image")
def test_the_health_check_of_qdrant_needs_nothing_but_bash(
    ready_server: tuple[HTTPServer, dict[str, int]],
) -> None:
    server, told = ready_server
    for name in QDRANTS:
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
    assert command[-1].count("/6333") == 1
    command[-1] = command[-1].replace("/6333", f"/{server.server_port}")

    def healthy() -> bool:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0

    assert healthy()
    told["status"] = 503
    assert not healthy()
    server.server_close()
    assert not healthy()
