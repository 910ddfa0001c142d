"""A worker on a real port, with a reranker that can be held."""

import base64
import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

from app.worker.main import create_app
from app.worker.settings import WorkerSettings
from indexer.gallery.image_store import ImageStore
from tests.app.worker.fake_reranker import WAIT_S, FakeReranker

RERANK_PX = 448
REDS = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]


def jpeg(red: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (red, 0, 0)).save(out, "JPEG", quality=95)
    return out.getvalue()


def candidate(red: int, **changes: Any) -> dict[str, Any]:
    return {
        "image_id": f"red-{red}", "content_hash": f"{red:04d}", "rerank_px": RERANK_PX, **changes,
    }  # fmt: skip


def compose_body(text: str = "redder", **changes: Any) -> dict[str, Any]:
    body = {
        "query_id": text,
        "reference_image": base64.b64encode(jpeg(100)).decode(),
        "modification_text": text,
        "deadline_ms": int(WAIT_S * 1000),
    }
    return body | changes


def rerank_body(text: str = "redder", reds: list[int] | None = None, **more: Any) -> dict[str, Any]:
    candidates = [candidate(red) for red in (REDS if reds is None else reds)]
    return compose_body(text, **({"candidates": candidates, "target": "a red thing"} | more))


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def scores(read: list[dict[str, Any]]) -> dict[str, float]:
    return {s["image_id"]: s["score"] for line in read[:-1] for s in line["scores"]}


def metric(client: httpx.Client, name: str, label: str = "") -> float:
    """The sum of a metric's rows, of those that have a label like `status="failed"`."""
    rows = client.get("/metrics").text.splitlines()
    found = [row for row in rows if row.startswith(name) and label in row]
    return sum(float(row.split()[-1]) for row in found)


def eventually(happened: Any) -> None:
    """Poll what other threads bring about."""
    give_up_at = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Re-rank copies of ten images; the hash says how red each is."""
    root = tmp_path_factory.mktemp("store")
    for red in REDS:
        ImageStore(root).put(f"{red:04d}", RERANK_PX, jpeg(red))
    ImageStore(root).put("damaged", RERANK_PX, jpeg(0)[:200])
    return root


@pytest.fixture
def reranker() -> FakeReranker:
    return FakeReranker()


@contextlib.contextmanager
def running(
    reranker: FakeReranker, store: Path, ready: bool = True, **settings: Any
) -> Iterator[httpx.Client]:
    """A worker behind real HTTP; on the way out it must stop by itself."""
    values: dict[str, Any] = {"image_store": store, "chunk_size": 2, "log_level": "error"}
    app = create_app(WorkerSettings(**(values | settings)), reranker)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=30))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=WAIT_S) as client:
            eventually(lambda: server.started)
            if ready:
                eventually(lambda: client.get("/readyz").status_code == 200)
            yield client
    finally:
        for gate in (reranker.scoring, reranker.composing, reranker.warming):
            gate.release()
        server.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.fixture
def client(reranker: FakeReranker, store: Path) -> Iterator[httpx.Client]:
    with running(reranker, store) as connected:
        yield connected
