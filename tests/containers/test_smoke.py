"""The demo profile in containers, from nothing to a search, through a lost worker, to the end.

Slow, and needs an engine, so it runs on request only: `make smoke`, or CONTAINERS=podman for podman
and podman-compose. It builds what is not built, and removes its containers and volumes afterwards.
"""

import os
import shutil
from collections.abc import Iterator

import httpx
import pytest

from tests.app.api.stub_worker import free_port
from tests.containers.stack import COMPOSE, ENGINE, SEARCH_MS, Load, Stack, health_command

IMAGES = 300
START_S = 900.0
pytestmark = pytest.mark.skipif(
    ENGINE not in COMPOSE, reason="CONTAINERS names no engine (docker, podman); see `make smoke`"
)


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
        stack.until("the API gets ready", stack.is_ready, START_S)
        stack.until("the worker gets ready", stack.is_whole, START_S)
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
    assert not answer["coverage"]["degraded"]
    # that nothing of so small a gallery fits is said of it, not of the service
    assert set(answer["coverage"]["reasons"]) <= {"nothing_fits"}
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
    assert reasons <= {"reranker_unavailable", "deadline"}


def test_a_second_worker_is_found(stack: Stack) -> None:
    stack.compose("up", "-d", "--scale", "worker=2")

    def both_are_in_service() -> bool:
        ask = "import socket; print(*{a[4][0] for a in socket.getaddrinfo('worker', 8100)})"
        addresses = stack.in_container("api-demo", "python", "-c", ask).split()
        log = stack.compose("logs", "api-demo")
        told = [f"worker http://{a}:8100 is in service" for a in addresses]
        return len(told) == 2 and all(sentence in log for sentence in told)

    stack.until("two addresses are in service", both_are_in_service, 300)
