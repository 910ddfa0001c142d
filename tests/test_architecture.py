"""Rules that no import linter sees: what loading a module costs, what the README must say."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from app.api.settings import ApiSettings
from app.worker.settings import WorkerSettings
from indexer.settings import IndexerSettings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("models.contracts.gallery", ["torch", "numpy", "qdrant_client", "PIL"]),
        ("models.composition.composer", ["torch", "open_clip"]),
        ("indexer.cli", ["torch", "open_clip", "fastapi", "httpx", "matplotlib"]),
        ("models.contracts.rerank", ["torch", "numpy", "fastapi"]),
        ("app.api.main", ["peft", "models.training", "indexer"]),
    ],
)
def test_importing_a_module_does_not_load_what_it_must_not_know(
    module: str, absent: list[str]
) -> None:
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("prefix", "settings"),
    [
        ("CIR_API__", ApiSettings),
        ("CIR_WORKER__", WorkerSettings),
        ("CIR_INDEXER__", IndexerSettings),
    ],
)
def test_every_setting_stands_in_the_readme(prefix: str, settings: type[BaseModel]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in settings.model_fields:
        assert f"`{prefix}{name.upper()}" in readme, f"{prefix}{name.upper()} is not in the README"
