"""Two API processes serve one gallery while a third process changes it: both follow."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.app.api.stub_worker import free_port
from tests.conftest import BuiltGallery, environment_of
from tests.paths import ROOT

PATIENCE_S, FOLLOWS_S = 120.0, 3.0
NOBODY = "http://127.0.0.1:9"  # no worker is started beside


@contextmanager
def api(gallery: dict[str, str], image_store: Path) -> Iterator[str]:
    """An API process on a gallery, ready; its address."""
    environ = {
        **os.environ,
        **gallery,
        "CIR_API__IMAGE_STORE": str(image_store),
        "CIR_API__WORKER__URLS": json.dumps([NOBODY]),
    }
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "app", "--port", str(port)]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=null, stderr=null) as running:
        try:
            wait_for(lambda: answers(f"{url}/readyz"), PATIENCE_S)
            yield url
        finally:
            running.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(holds: Callable[[], bool], patience_s: float) -> float:
    """Wait until something holds; how long that took, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < patience_s, "it does not hold in time"
        time.sleep(0.02)
    return time.monotonic() - began


def images(url: str) -> int:
    """How many images an API serves; every answer is one."""
    answer = httpx.get(f"{url}/gallery")
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["images"]
    return count


def test_two_services_follow_a_sync_within_three_seconds(
    built_gallery: BuiltGallery, catalogue: Path, tmp_path: Path
) -> None:
    place = built_gallery.gallery
    if place.url is None:
        copy = shutil.copytree(place.path, tmp_path / "gallery")
        place = place.model_copy(update={"path": copy})
    indexer = environment_of(place)
    served = {name.replace("CIR_INDEXER", "CIR_API"): value for name, value in indexer.items()}
    fewer = tmp_path / "fewer.jsonl"
    rows = [json.loads(line) for line in catalogue.read_text("utf-8").splitlines()]
    for row in rows:
        row["image"] = str(catalogue.parent / row["image"])
    fewer.write_text("".join(json.dumps(row) + "\n" for row in rows[5:]), "utf-8")

    with ExitStack() as stack:
        urls = [stack.enter_context(api(served, built_gallery.image_store)) for _ in range(2)]
        before = images(urls[0])
        subprocess.run(
            [sys.executable, "-m", "indexer", "sync", "--manifest", str(fewer)],
            cwd=tmp_path,
            env={
                **os.environ,
                **indexer,
                "PYTHONPATH": str(ROOT),
                "CIR_INDEXER__IMAGE_STORE": str(built_gallery.image_store),
            },
            check=True,
            capture_output=True,
        )
        for url in urls:
            wait_for(lambda url=url: images(url) < before, FOLLOWS_S)  # type: ignore[misc]
        assert before - 5 <= images(urls[0]) == images(urls[1]) < before
