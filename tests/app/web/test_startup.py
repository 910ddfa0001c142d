"""A process that cannot start ends with one sentence and a non-zero code, without a stack trace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.api.stub_worker import free_port
from tests.models.encoder.test_encoder import tiny_model
from tests.paths import ROOT

OFFLINE = {"HF_HUB_OFFLINE": "1"}
API, WORKER, INDEXER = "CIR_API__", "CIR_WORKER__", "CIR_INDEXER__"


def command(process: str, folder: Path) -> list[str]:
    """How each of the three processes is started."""
    if process == INDEXER:
        (folder / "pictures").mkdir()
        (folder / "pictures" / "one.png").touch()
        return [sys.executable, "-m", "indexer", "build", "--images", str(folder / "pictures")]
    if process == WORKER:
        return [sys.executable, "-m", "app.worker", "--port", str(free_port())]
    return [sys.executable, "-m", "app", "--no-worker", "--port", str(free_port())]


def start(process: str, folder: Path, **settings: str) -> str:
    """Start a process that cannot run; what it said on stderr."""
    environ = {**os.environ, **OFFLINE, "HF_HOME": str(folder / "cache")}
    if process != WORKER:
        environ[f"{process}GALLERY__PATH"] = str(folder / "qdrant")
    environ |= {f"{process}{name}": value for name, value in settings.items()}
    finished = subprocess.run(
        command(process, folder), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode not in (0, None), finished.stdout
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished.stderr


@pytest.mark.parametrize("process", [API, INDEXER])
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ENCODER__MODEL": "ViT-B32"}, "there is no encoder 'ViT-B32'; the nearest are ViT-B-32"),
        ({"PRESET": "fast"}, "HF_HUB_OFFLINE is set and it is not in the cache"),
    ],
)
def test_a_wrong_or_missing_encoder(
    process: str, settings: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    assert sentence in start(process, tmp_path, **settings)


def test_a_missing_adapter(tmp_path: Path) -> None:
    said = start(WORKER, tmp_path, RERANKER__ADAPTER="org/none")
    assert "cannot start: the reranker's adapter 'org/none' is not here and cannot be had" in said


def test_an_adapter_for_another_base(tmp_path: Path, foreign_adapter: Path) -> None:
    said = start(WORKER, tmp_path, RERANKER__ADAPTER=str(foreign_adapter))
    assert f"the adapter in {foreign_adapter} is not for this base" in said


def test_a_gallery_of_another_encoder(tmp_path: Path, copied_gallery: Path) -> None:
    other = tiny_model(tmp_path / "tiny")
    said = start(
        API, tmp_path, ENCODER__MODEL=other.model, GALLERY__PATH=str(copied_gallery)
    )  # fmt: skip
    assert "cannot start: the gallery was built with encoder demo-" in said
    assert "but this service runs tiny-" in said
    assert "build it again, or set the preset it was built with" in said
