"""The demo profile in containers, from nothing to a search, through a lost worker, to the end.

Slow, and needs an engine, so it runs on request only: `make smoke`, or CONTAINERS=podman for podman
and podman-compose. It builds what is not built, and removes its containers and volumes afterwards.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.stub_worker import free_port

ROOT = Path(__file__).parents[2]
ENGINE = os.environ.get("CONTAINERS", "")
COMPOSE = {"docker": ["docker", "compose"], "podman": ["podman-compose"]}
IMAGES = 300
START_S = 900.0
SEARCH_MS = 15_000
pytestmark = pytest.mark.skipif(
    ENGINE not in COMPOSE, reason="CONTAINERS names no engine (docker, podman); see `make smoke`"
)


@dataclass
class Stack:
    """The running demo profile.

    Attributes:
        url: Of the page and the API, on the published port.
    """

    url: str
    environment: dict[str, str]

    def compose(self, *arguments: str) -> str:
        command = [*COMPOSE[ENGINE], "-p", "cir-smoke", "--profile", "demo", *arguments]
        run = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{command}: {run.stdout[-2000:]}{run.stderr[-2000:]}"
        return run.stdout

    def in_container(self, service: str, *command: str) -> str:
        return self.compose("exec", "-T", service, *command)

    def search(self, **fields: Any) -> dict[str, Any]:
        body = {"modification_text": "the same but green", "timeout_ms": SEARCH_MS, **fields}
        answer = httpx.post(f"{self.url}/search", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def a_gallery_image(self) -> dict[str, Any]:
        page = httpx.get(f"{self.url}/gallery/images", params={"limit": 1}, timeout=60)
        return dict(page.json()["images"][0])

    def until(self, what: str, holds: Any, wait_s: float = START_S) -> None:
        give_up = time.monotonic() + wait_s
        while not holds():
            assert time.monotonic() < give_up, what
            time.sleep(1)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def is_whole(self) -> bool:
        """Whether a search gets all it asks for, re-ranking too."""
        reference = {"image_id": self.a_gallery_image()["image_id"]}
        return not self.search(reference_image=reference)["coverage"]["degraded"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything started from nothing, and gone without a trace afterwards."""
    assert shutil.which(COMPOSE[ENGINE][0]), f"{COMPOSE[ENGINE][0]} is not installed"
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CIR_")}
    environment |= {
        "CIR_PORT": str(port),
        "CIR_DEMO_IMAGES": str(IMAGES),
        "COMPOSE_PROFILES": "",  # podman-compose adds those of .env to those of the command line
    }
    stack = Stack(f"http://127.0.0.1:{port}", environment)
    try:
        stack.compose("up", "-d")
        stack.until("the API gets ready", stack.is_ready)
        stack.until("the worker gets ready", stack.is_whole)
        yield stack
    finally:
        stack.compose("down", "-v", "--remove-orphans")


def test_an_uploaded_image_is_searched_and_re_ranked(stack: Stack) -> None:
    gallery = httpx.get(f"{stack.url}/gallery", timeout=60).json()
    assert gallery["images"] == IMAGES
    image = stack.a_gallery_image()
    jpeg = httpx.get(stack.url + image["image_url"], timeout=60).content
    answer = httpx.post(
        f"{stack.url}/search",
        files={"reference_image": ("reference.jpg", jpeg, "image/jpeg")},
        data={"modification_text": "the same but green", "timeout_ms": SEARCH_MS, "top_k": 5},
        timeout=60,
    ).json()
    assert len(answer["results"]) == 5
    assert answer["coverage"]["reranked"] > 0
    assert answer["coverage"]["reasons"] == []
    assert "<html" in httpx.get(stack.url, timeout=60).text


@pytest.mark.parametrize("service", ["api-demo", "worker"])
def test_a_service_has_no_rights_and_says_how_it_is(stack: Stack, service: str) -> None:
    assert stack.in_container(service, "id", "-u").strip() == "10001"
    status = stack.in_container(service, "cat", "/proc/1/status").splitlines()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    written = stack.in_container(service, "sh", "-c", "touch /srv/app/x 2>&1 || true")
    assert "Read-only file system" in written
    name = service.removesuffix("-demo")
    stack.in_container(service, *health_command(f"composed-image-retrieval/{name}:0.1.0"))


def health_command(image: str) -> list[str]:
    """What the engine runs in a container of this image to see how it is."""
    inspected = subprocess.run(
        [ENGINE, "image", "inspect", image], capture_output=True, text=True, check=True
    )
    (found,) = json.loads(inspected.stdout)
    check = found["Config"].get("Healthcheck") or found["Healthcheck"]
    kind, *command = check["Test"]
    assert kind == "CMD"
    return list(command)


@dataclass
class Load:
    """Searches, one after the other on a few threads, until told to stop.

    Attributes:
        coverages: Of every answer, in the order they came.
        failures: What went wrong with searches that got no answer.
    """

    stack: Stack
    coverages: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._search_on) for _ in range(3)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _search_on(self) -> None:
        reference = {"image_id": self.stack.a_gallery_image()["image_id"]}
        while not self._stop.is_set():
            try:
                answer = self.stack.search(reference_image=reference, rerank_depth=20)
                self.coverages.append(answer["coverage"])
            except (AssertionError, httpx.HTTPError) as error:
                self.failures.append(str(error))


def test_a_worker_is_restarted_under_load_and_no_search_is_lost(stack: Stack) -> None:
    with Load(stack) as load:
        stack.until("whole answers before", lambda: len(load.coverages) >= 5, 120)
        stack.compose("restart", "worker")
        stack.until("the worker is back", stack.is_whole, 300)
    degraded = [coverage for coverage in load.coverages if coverage["degraded"]]
    print(f"{len(load.coverages)} answers, {len(degraded)} of them degraded")
    assert load.failures == []
    assert degraded, "the worker was not missed: the restart proved nothing"
    reasons = {reason for coverage in degraded for reason in coverage["reasons"]}
    assert reasons <= {"worker_unavailable", "deadline"}


def test_a_second_worker_is_found(stack: Stack) -> None:
    stack.compose("up", "-d", "--scale", "worker=2")

    def both_are_in_service() -> bool:
        # each tells who it is on a line of its own, with its address
        log = stack.compose("logs", "api-demo")
        lines = [line for line in log.splitlines() if "is in service: judge" in line]
        return len({line.split("worker http://")[1].split(" ")[0] for line in lines}) >= 2

    stack.until("two addresses are in service", both_are_in_service, 300)
