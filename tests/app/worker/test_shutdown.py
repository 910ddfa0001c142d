"""Stopping: a real process told to stop by a signal, as an orchestrator does it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.worker.errors import ShuttingDown
from app.worker.inference.device import DeviceThread
from app.worker.lifecycle import WorkerRuntime
from app.worker.settings import WorkerSettings
from tests.app.worker.conftest import REDS, compose_body, eventually, metric, rerank_body, running
from tests.app.worker.fake_reranker import WAIT_S, FakeReranker
from tests.paths import ROOT


@dataclass
class Process:
    popen: subprocess.Popen[bytes]
    client: httpx.Client
    release: Path

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/readyz").status_code == 200
        assert self.popen.poll() is None
        return False

    def is_listening(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.client.base_url.host, self.client.base_url.port or 0)),
        ):
            return True
        return False


@contextlib.contextmanager
def started(store: Path, release: Path, grace_s: float) -> Iterator[Process]:
    """`python -m app.worker`, but for its reranker."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "CIR_WORKER__IMAGE_STORE": str(store),
        "CIR_WORKER__CHUNK_SIZE": "2",
        "CIR_WORKER__SHUTDOWN_GRACE_S": str(grace_s),
        "RELEASE": str(release),
    }
    command = [
        sys.executable,
        "-m",
        "tests.app.worker.held_app",
        "--port",
        str(port),
    ]
    popen = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S) as client:
            process = Process(popen, client, release)
            eventually(process.is_ready)
            yield process
    finally:
        popen.kill()
        popen.wait()


def test_on_sigterm_it_finishes_what_is_queued(store: Path, tmp_path: Path) -> None:
    with started(store, tmp_path / "release", grace_s=WAIT_S) as process:
        with process.client.stream("POST", "/v1/rerank", json=rerank_body()) as answer:
            process.popen.send_signal(signal.SIGTERM)
            eventually(lambda: not process.is_listening())
            process.release.touch()
            *chunks, end = [json.loads(line) for line in answer.iter_lines()]
        assert end["status"] == "complete"
        assert sum(len(chunk["scores"]) for chunk in chunks) == len(REDS)
        assert process.popen.wait(WAIT_S) == 0


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_after_the_grace_it_hands_back_the_rest(
    store: Path, tmp_path: Path, which: signal.Signals
) -> None:
    with started(store, tmp_path / "release", grace_s=0.1) as process:
        with process.client.stream("POST", "/v1/rerank", json=rerank_body()) as answer:
            eventually(lambda: metric(process.client, "cir_worker_queue_wait_seconds_count") == 1)
            process.popen.send_signal(which)
            (end,) = [json.loads(line) for line in answer.iter_lines()]  # the reranker still hangs
        assert end["status"] == "shutting_down"
        process.release.touch()
        assert process.popen.wait(WAIT_S) == 0


def test_a_device_that_does_not_work_any_more_ends_the_worker(store: Path, tmp_path: Path) -> None:
    with started(store, tmp_path / "release", grace_s=WAIT_S) as process:
        broken = tmp_path / "BROKEN"
        broken.touch()
        assert process.client.post("/v1/compose", json=compose_body("a")).status_code == 500
        broken.unlink()  # a failure or two may be the queries' fault
        assert process.client.post("/v1/compose", json=compose_body("b")).status_code == 200
        broken.touch()
        for text in "cde":
            assert process.client.post("/v1/compose", json=compose_body(text)).status_code == 500
        assert process.popen.wait(WAIT_S) == 0


def test_bad_queries_in_a_row_do_not_end_it(reranker: FakeReranker, store: Path) -> None:
    with running(reranker, store) as client:
        reranker.prefill_fails = True
        for text in "abcdef":
            assert client.post("/v1/compose", json=compose_body(text)).status_code == 500
        reranker.prefill_fails = False
        assert client.post("/v1/compose", json=compose_body("g")).status_code == 200
        assert reranker.names().count("warm_up") == 3, "at start-up, and after every three"


def test_it_does_not_outlive_a_parent_that_is_killed(store: Path, tmp_path: Path) -> None:
    parent = """
import os, subprocess, sys, time
own = os.environ | {"CIR_WORKER__PARENT_PID": str(os.getpid())}
child = subprocess.Popen(sys.argv[2:], env=own, start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    noted, release = tmp_path / "child", tmp_path / "release"
    environment = os.environ | {"CIR_WORKER__IMAGE_STORE": str(store), "RELEASE": str(release)}
    worker = [sys.executable, "-m", "tests.app.worker.held_app", "--port", str(port)]
    command = [sys.executable, "-c", parent, str(noted), *worker]
    popen = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT_S) as client:
        process = Process(popen, client, release)
        eventually(process.is_ready)
        popen.kill()
        popen.wait()
        eventually(lambda: not process.is_listening())
    child = int(noted.read_text())
    eventually(lambda: not Path(f"/proc/{child}").exists() or _is_zombie(child))


def _is_zombie(process_id: int) -> bool:
    """Ended, but not reaped by its parent, as is common in containers."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_once_it_drains_nothing_is_admitted(store: Path) -> None:
    async def drained() -> None:
        worker = WorkerRuntime(WorkerSettings(image_store=store), FakeReranker(), DeviceThread())
        await worker.warm_up()
        worker.check_ready()
        worker.begin_drain()
        with pytest.raises(ShuttingDown):
            worker.check_ready()
        await worker.stop()

    asyncio.run(drained())
