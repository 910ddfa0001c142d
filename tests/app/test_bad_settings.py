"""Bad settings end every process with their names and what is wrong, and never with their values.

Each process gets all its mistakes at once, beside keys, and addresses with a password in them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from app.__main__ import main
from app.api.main import create_app
from app.api.settings import settings_from_environment
from app.launcher import reason_for_no_worker
from tests.app.api.stub_worker import free_port
from tests.app.test_main import wait_for
from tests.paths import ROOT

SECRET = "hunter2"
AN_ADDRESS = f"user:{SECRET}@there"
GALLERY = {"GALLERY__API_KEY": SECRET, "GALLERY__URL": f"ftp://{AN_ADDRESS}"}
API = {
    **GALLERY,
    "EXTERNAL_RERANKER__API_KEY": SECRET,
    "EXTERNAL_RERANKER__URL": f"http://{AN_ADDRESS}",  # without the name of a model
    "WORKER__URLS": f'["{AN_ADDRESS}"]',
    "RERANK_WEIGHT": "inf",
    "LOG_LEVEL": "loud",
}
WORKER = {
    "CHUNK_SIZE": "0",
    "PREFIX_TTL_S": "inf",
    "LOG_LEVEL": "loud",
    "PARENT_PID": "1" + 30 * "0",
}
INDEXER = {**GALLERY, "MAX_FAILED_SHARE": "nan", "THUMBNAIL_PX": "1"}


@pytest.mark.parametrize(
    ("command", "prefix", "settings", "code"),
    [
        (["app"], "CIR_API__", API, 2),
        (["app", "doctor"], "CIR_API__", API, 1),
        (["app.worker"], "CIR_WORKER__", WORKER, 2),
        (["indexer", "build", "--images", "."], "CIR_INDEXER__", INDEXER, 2),
    ],
    ids=lambda given: " ".join(given[:2]) if isinstance(given, list) else None,
)
def test_bad_settings_are_named_and_no_value_is_said(
    command: list[str], prefix: str, settings: Mapping[str, str], code: int
) -> None:
    environ = {f"{prefix}{name}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == code, ended
    assert_named(environ, ended.stdout + ended.stderr)


def test_bad_settings_of_an_api_that_uvicorn_makes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {f"CIR_API__{name}": value for name, value in API.items()}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        uvicorn.Config("app.api.main:create_app", factory=True, log_config=None).load()
    assert ended.value.code == 2
    assert_named(environ, capsys.readouterr().err)


def assert_named(environ: Mapping[str, str], said: str) -> None:
    """Every bad setting is, and no value that is anybody's secret."""
    assert SECRET not in said
    assert "Traceback" not in said, said
    for name in environ:
        if name.startswith("CIR_API__EXTERNAL_RERANKER"):
            assert "CIR_API__EXTERNAL_RERANKER: an external reranker needs `model`" in said
        elif not name.endswith("API_KEY"):
            assert f"{name}: " in said or f"{name}__" in said


def test_a_worker_that_could_never_start_is_not_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIR_WORKER__CHUNK_SIZE", "0")
    assert main([]) == 2
    assert "error: CIR_WORKER__CHUNK_SIZE: Input should be greater" in capsys.readouterr().err
    monkeypatch.delenv("CIR_WORKER__CHUNK_SIZE")
    monkeypatch.setenv("CIR_WORKER__PRESET", "huge")
    assert main([]) == 2
    assert "unknown preset 'huge'" in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["CIR_WORKER__RERANKER__BASE", "CIR_WORKER__JUDGE__BASE"])
def test_a_preset_without_reranker_starts_no_worker_unless_one_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIR_API__PRESET", "fast")
    settings = settings_from_environment()
    assert reason_for_no_worker(settings, False) == "the preset 'fast' has no reranker"
    monkeypatch.setenv(variable, "demo")
    assert reason_for_no_worker(settings, False) is None


def address(port: int | None = None) -> str:
    return f"http://user:{SECRET}@127.0.0.1:{port or free_port()}"


def test_no_address_is_said_with_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By an API that finds neither its gallery nor its reranker, the one who starts it, the
    doctor."""
    silent = {
        "CIR_API__GALLERY__URL": address(),
        "CIR_API__GALLERY__API_KEY": SECRET,
        "CIR_API__EXTERNAL_RERANKER__URL": address(),
        "CIR_API__EXTERNAL_RERANKER__MODEL": "org/reranker",
        "CIR_API__EXTERNAL_RERANKER__API_KEY": SECRET,
    }
    workers = {"CIR_API__WORKER__URLS": json.dumps([address(), address()])}
    for environ in (silent, workers):
        with monkeypatch.context() as patch:
            patch.setenv("CIR_API__GALLERY__PATH", str(tmp_path))
            for variable, value in environ.items():
                patch.setenv(variable, value)
            said = reason_for_no_worker(settings_from_environment(), False)
            assert said is not None
            log = [said]

            def has_said(what: str, log: list[str] = log) -> bool:
                log += capsys.readouterr()
                return what in "".join(log)

            with TestClient(create_app()) as api:
                log.append(api.get("/readyz").text)
                wait_for(lambda: has_said("is left out"))  # noqa: B023
            main(["doctor", "--port", str(free_port())])
        said = "".join([*log, *capsys.readouterr()])
        assert SECRET not in said
        assert "http://127.0.0.1" in said
