"""A compose project under test, and searches that keep coming."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.paths import ROOT

ENGINE = os.environ.get("CONTAINERS", "")
COMPOSE = {"docker": ["docker", "compose"], "podman": ["podman-compose"]}
SEARCH_MS = 15_000


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

    def until(self, what: str, holds: Callable[[], bool], wait_s: float) -> None:
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
