"""Putting the worker together: settings, and what importing it costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.worker import main
from app.worker.settings import WorkerSettings
from models.hub import ModelUnavailable
from models.settings import RerankerSettings
from tests.paths import ROOT


def test_an_app_is_made_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIR_WORKER__CHUNK_SIZE", "3")
    monkeypatch.setenv("CIR_WORKER__RERANKER__VISUAL_TOKENS", "64")
    app = main.create_app()
    assert app.state.settings.chunk_size == 3
    assert app.state.settings.reranker.visual_tokens == 64


def test_a_setting_that_means_nothing_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIR_WORKER__CHUNK", "3")
    with pytest.raises(SystemExit) as ended:
        main.create_app()
    assert ended.value.code == 2
    assert "unknown settings: CIR_WORKER__CHUNK;" in capsys.readouterr().err


def test_a_reranker_that_cannot_be_loaded_fails_the_start(tmp_path: Path) -> None:
    settings = WorkerSettings(reranker=RerankerSettings(base=str(tmp_path / "nowhere")))
    with (
        pytest.raises(ModelUnavailable, match="neither a folder here nor a hub name"),
        TestClient(main.create_app(settings)),
    ):
        pass


def test_importing_the_worker_loads_no_model_and_nothing_of_the_api() -> None:
    absent = ["torch", "transformers", "qdrant_client", "open_clip", "app.api"]
    code = f"import sys, app.worker.main; print([m for m in {absent!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert run.stdout.strip() == "[]"
