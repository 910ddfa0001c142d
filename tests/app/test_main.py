"""`python -m app`: a worker beside the API, and both gone when told to go."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.__main__ import main
from app.launcher import WorkerProcess
from tests.app.api.stub_worker import free_port
from tests.paths import ROOT

# writes its process id into a folder, then does as told
SCRIPT = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
time.sleep(float(sys.argv[2]))
"""


def wait_for(condition: Callable[[], object], timeout_s: float = 60) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def worker(folder: Path, lives_s: float) -> WorkerProcess:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(lives_s)]
    return WorkerProcess(command, os.environ, first_restart_s=0.05)


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_dies_is_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with worker(tmp_path, lives_s=0):
        wait_for(lambda: len(list(tmp_path.iterdir())) >= 3)
    assert "the worker ended (exit code 0); starting it again in 0.05 s" in capsys.readouterr().out
    started = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == started


def test_a_worker_goes_with_the_api(tmp_path: Path) -> None:
    with worker(tmp_path, lives_s=600):
        wait_for(lambda: list(tmp_path.iterdir()))
    (started,) = tmp_path.iterdir()
    assert not alive(int(started.name))


def test_bad_settings_end_it_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIR_API__TIMEOUT", "5")
    assert main([]) == 2
    assert "unknown settings: CIR_API__TIMEOUT" in capsys.readouterr().err
    monkeypatch.delenv("CIR_API__TIMEOUT")
    monkeypatch.setenv("CIR_API__WORKER__URLS", '["worker:8100"]')
    assert main([]) == 2
    assert "no address of a worker" in capsys.readouterr().err


def test_it_serves_until_told_to_stop_and_needs_no_worker(tmp_path: Path) -> None:
    port, nobody = free_port(), f"http://127.0.0.1:{free_port()}"
    environ = {
        **os.environ,
        "CIR_API__GALLERY__PATH": str(tmp_path / "qdrant"),
        "CIR_API__WORKER__URLS": json.dumps([nobody]),
    }
    command = [sys.executable, "-m", "app", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        try:
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz") or running.poll())
            refused = httpx.get(f"http://127.0.0.1:{port}/", headers={"X-Long": "a" * 1_000_000})
            assert refused.status_code == 431
            running.send_signal(signal.SIGTERM)
            out, _ = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 0
    assert f"no worker started: CIR_API__WORKER__URLS names {nobody}" in out


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "doctor  say what would run where"),
        (["doctor", "--help"], 0, "--load"),
        (["--port", "many"], 2, "'--port': Input should be a valid integer"),
        (["--nope"], 2, "No such option: --nope"),
        (["nope"], 2, "No such command 'nope'"),
        (["--port", "8001", "doctor"], 2, "--port belongs behind the command"),
    ],
)
def test_its_command_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    assert said in "".join(capsys.readouterr())
