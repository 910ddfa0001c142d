"""Both processes, the shipped reranker, the embedded Qdrant: as `python -m app` runs them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from app.api.main import create_app
from app.api.settings import ApiSettings, WorkerSettings
from tests.conftest import BuiltGallery, wait_until_ready
from tests.paths import ROOT

PATIENCE_S = 120.0
TARGETS_RIGHT, TOLERANCE = 0.8, 0.05  # word for word, of the first 60 test queries


class Worker:
    """A worker process that can be killed and started again on the same port."""

    def __init__(self, image_store: Path, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._environ = {**os.environ, "CIR_WORKER__IMAGE_STORE": str(image_store)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "app.worker", "--port", str(self.port)]
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self._environ, stdout=null, stderr=null
        )
        self.wait_ready()

    def wait_ready(self) -> None:
        give_up = time.monotonic() + self._patience_s
        while time.monotonic() < give_up:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        pytest.fail("the worker did not get ready")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(self._patience_s)


@pytest.fixture(scope="module")
def worker(built_gallery: BuiltGallery) -> Iterator[Worker]:
    running = Worker(built_gallery.image_store)
    running.start()
    yield running
    running.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def two_stages(built_gallery: BuiltGallery, worker: Worker) -> Iterator[TestClient]:
    """The API with that worker."""
    settings = ApiSettings(
        gallery=built_gallery.gallery,
        image_store=built_gallery.image_store,
        worker=WorkerSettings(urls=(worker.url,)),
        timeout_ms=30_000,
        compose_timeout_ms=10_000,
        reranker_composes=True,
        default_rerank_depth=50,
        rerank_weight=1.0,
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as running:
        wait_until_ready(running)
        yield running


def queries_of(catalogue: Path) -> list[dict[str, Any]]:
    lines = (catalogue.parent / "queries.jsonl").read_text().splitlines()
    queries = map(json.loads, lines)
    return [query for query in queries if query["family"] == "templates"]


def ask(client: TestClient, query: dict[str, Any], **options: object) -> dict[str, Any]:
    body = {
        "reference_image": {"image_id": query["reference_image_id"]},
        "modification_text": query["modification_text"],
        **options,
    }
    response = client.post("/search", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_reranker_composes_and_reranks(two_stages: TestClient, catalogue: Path) -> None:
    answer = ask(two_stages, queries_of(catalogue)[0], rerank_depth=20)
    assert answer["composition"]["intent"]["source"] == "mllm"
    assert answer["coverage"] == {
        "candidates": 100, "reranked": 20, "degraded": False, "reasons": [],
    }  # fmt: skip
    assert answer["models"]["reranker"].startswith("demo-cir-1-")
    scored = [result["rerank_score"] for result in answer["results"]]
    assert all(0 <= score <= 1 for score in scored)


def test_reranking_puts_right_answers_first_more_often(
    two_stages: TestClient, catalogue: Path
) -> None:
    """Over the union, whose order leaves the reranker something to mend."""
    hits: dict[int, list[bool]] = {0: [], 30: []}
    for query in queries_of(catalogue)[:60]:
        for depth, found in hits.items():
            answer = ask(two_stages, query, composition="union", rerank_depth=depth, top_k=1)
            found.append(answer["results"][0]["image_id"] in query["target_image_ids"])
    assert mean(hits[30]) >= mean(hits[0]) + 0.05, {d: mean(h) for d, h in hits.items()}


def test_the_reranker_names_targets_as_well_as_it_did(
    two_stages: TestClient, catalogue: Path
) -> None:
    """A guard: a change of prompt, loading or prefix path that hurts the reranker shows here."""
    right = []
    for query in queries_of(catalogue)[:60]:
        intent = ask(two_stages, query, rerank_depth=0, top_k=1)["composition"]["intent"]
        right.append(intent["target"] == query["target"])
    assert mean(right) >= TARGETS_RIGHT - TOLERANCE, mean(right)


def test_the_stream_tells_the_stages_in_order(two_stages: TestClient, catalogue: Path) -> None:
    query = queries_of(catalogue)[1]
    body = {
        "reference_image": {"image_id": query["reference_image_id"]},
        "modification_text": query["modification_text"],
        "rerank_depth": 20,
    }
    with two_stages.stream("POST", "/search/stream", json=body) as response:
        events = [line[7:] for line in response.iter_lines() if line.startswith("event: ")]
    assert events[:2] == ["intent", "coarse"]
    assert events[-1] == "result"
    assert set(events[2:-1]) == {"progress"}
    assert len(events) >= 5, "20 candidates are at least two chunks"


def test_a_killed_worker_costs_quality_and_comes_back(
    two_stages: TestClient, worker: Worker, catalogue: Path
) -> None:
    query = queries_of(catalogue)[2]
    worker.stop(signal.SIGKILL)
    answer = ask(two_stages, query)
    assert answer["composition"]["intent"]["source"] == "facets"
    assert answer["coverage"]["degraded"]
    assert "reranker_unavailable" in answer["coverage"]["reasons"]
    assert answer["results"]

    worker.start()
    give_up = time.monotonic() + PATIENCE_S
    while ask(two_stages, query)["coverage"]["degraded"]:
        assert time.monotonic() < give_up, "the worker is back, and is not used"
        time.sleep(0.2)


def test_a_worker_that_is_asked_to_stop_exits_cleanly(
    two_stages: TestClient, worker: Worker, catalogue: Path
) -> None:
    assert worker.stop(signal.SIGTERM) == 0
    assert ask(two_stages, queries_of(catalogue)[3])["coverage"]["degraded"]
    worker.start()
