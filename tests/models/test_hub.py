"""Downloads: what is here is used, what is not comes from the hub, and errors name the way out.

The hub's client reads its settings when it is imported, so each case is a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.api.stub_worker import free_port
from tests.models.hub_mirror import hub_mirror
from tests.paths import ROOT

FILES = {"config.json": b"{}", "model.safetensors": b"x" * 1000, "README.md": b"no"}
PATTERNS = ("*.json", "*.safetensors")
GET = f"hub.local_folder(sys.argv[1], 'the encoder', {PATTERNS})"
MISSING = f"hub.pending_download(sys.argv[1], 'the encoder', {PATTERNS})"


def run(expression: str, source: str, cache: Path, **environ: str) -> str:
    """What an expression gives, or the sentence of the error that it raises."""
    code = (
        "import sys; from models import hub\n"
        f"try: print({expression})\n"
        "except hub.ModelUnavailable as error: print('unavailable:', error)"
    )
    return run_code(code, cache, source, **environ)


def run_code(code: str, cache: Path, *arguments: str, **environ: str) -> str:
    """What code prints in a process of its own, where nothing is tried again and again."""
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(cache), "HF_HUB_ETAG_TIMEOUT": "3", **environ},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Retrying" not in finished.stderr
    return finished.stdout.strip()


def test_a_hub_name_is_downloaded_once_and_then_needs_no_hub(tmp_path: Path) -> None:
    with hub_mirror({"org/model": FILES}) as address:
        assert run(MISSING, "org/model", tmp_path, HF_ENDPOINT=address) == (
            "Download(repository='org/model', missing_bytes=1002)"
        )
        folder = Path(run(GET, "org/model", tmp_path, HF_ENDPOINT=address))
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert not (folder / "README.md").exists()
    assert run(GET, "org/model", tmp_path, HF_HUB_OFFLINE="1") == str(folder)
    assert "missing_bytes=0" in run(MISSING, "org/model", tmp_path, HF_HUB_OFFLINE="1")


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    assert run(GET, str(tmp_path), tmp_path) == str(tmp_path)
    assert run(MISSING, str(tmp_path), tmp_path) == "None"


@pytest.mark.parametrize("source", ["/nowhere/model", "model", "a/b/c", "../org/model"])
def test_what_is_neither_folder_nor_hub_name(source: str, tmp_path: Path) -> None:
    said = run(GET, source, tmp_path)
    assert said.startswith(f"unavailable: the encoder {source!r} is neither a folder here nor")


@pytest.mark.parametrize("expression", [GET, MISSING])
def test_errors_of_the_hub_name_the_way_out(expression: str, tmp_path: Path) -> None:
    listed_only = {"config.json": b"{}", "model.safetensors": b""}
    repositories = {"org/torn": listed_only, "org/model": FILES}
    with hub_mirror(repositories, gated=frozenset({"org/gated"})) as address:

        def said(source: str, **environ: str) -> str:
            return run(expression, source, tmp_path, **{"HF_ENDPOINT": address, **environ})

        assert "has no model of that name that you may see; check the spelling" in said("org/typo")
        gated = said("org/gated")
        assert f"ask for it at {address}/org/gated, then set HF_TOKEN" in gated
        torn = said("org/torn")
        assert "org/torn lacks a file" in torn
        assert "model.safetensors" in torn
        offline = said("org/model", HF_HUB_OFFLINE="1")
        assert f"HF_HUB_OFFLINE is set and it is not in the cache {tmp_path / 'hub'}" in offline
    silent = f"http://127.0.0.1:{free_port()}"
    away = run(expression, "org/model", tmp_path, HF_ENDPOINT=silent)
    assert f"{silent} gives no usable answer" in away
    assert "set HF_ENDPOINT to a mirror, or give the path of a folder" in away


def test_an_encoders_pretrained_tag_comes_from_the_mirror_and_says_so(tmp_path: Path) -> None:
    code = (
        "from models.encoder.encoder import ImageTextEncoder\n"
        "from models.settings import EncoderSettings\n"
        "s = EncoderSettings(model='ViT-B-32', pretrained='laion2b_s34b_b79k', device='cpu')\n"
        "try: ImageTextEncoder(s)\n"
        "except RuntimeError as error: print(error)"
    )
    wanted = "the encoder 'ViT-B-32' with the weights 'laion2b_s34b_b79k' cannot be had: "
    with hub_mirror({}) as address:
        said = run_code(code, tmp_path, HF_ENDPOINT=address)
    assert said.startswith(f"{wanted}{address} has no model of that name")
    silent = f"http://127.0.0.1:{free_port()}"
    said = run_code(code, tmp_path, HF_ENDPOINT=silent)
    assert said.startswith(f"{wanted}{silent} gives no usable answer")
