"""What ten clients with the longest accepted filters cost everybody else.

    python -m tests.benchmarks.filters --gallery /tmp/gallery

Builds the demo gallery in the given folder if it is not there yet, starts the API on it as a
process of its own, and searches it over HTTP: alone, then beside clients that send the longest
filters, the longest `among` and whole pages as fast as they are answered. Prints the percentiles
of the one client and their ratio to its percentiles alone.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.api.http.schemas import MAX_PAGE
from models.contracts.filter import MAX_FILTER_VALUES, MAX_LIST_VALUES
from tests.app.api.stub_worker import free_port
from tests.paths import ROOT

TEXTS = ("the same but blue", "make it green", "with stripes", "in the snow", "the same but red")

Send = Callable[[httpx.Client, int], httpx.Response]


def build(folder: Path, images: int) -> None:
    """The demo gallery of the benchmark."""
    if (folder / "report.json").exists():
        return
    indexer = [sys.executable, "-m", "indexer"]
    environ = environment(folder, "CIR_INDEXER__")
    catalogue = folder / "demo"
    command = [*indexer, "demo", "--out", str(catalogue), "--images", str(images)]
    subprocess.run(command, cwd=ROOT, check=True)
    manifest = ["--manifest", str(catalogue / "manifest.jsonl")]
    report = ["--report", str(folder / "report.json")]
    subprocess.run([*indexer, "build", *manifest, *report], cwd=ROOT, env=environ, check=True)


def environment(folder: Path, prefix: str) -> dict[str, str]:
    """Variables that put everything below `folder`."""
    own = {
        f"{prefix}GALLERY__PATH": str(folder / "qdrant"),
        f"{prefix}IMAGE_STORE": str(folder / "images"),
    }
    return {**os.environ, "OMP_NUM_THREADS": "1"} | own


@contextmanager
def api(folder: Path) -> Iterator[str]:
    """A running API on the gallery; its address."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    environ = environment(folder, "CIR_API__") | {
        "CIR_API__MAX_CONCURRENT_SEARCHES": "64",
        "CIR_API__LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "app", "--no-worker", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL) as running:
        try:
            give_up = time.monotonic() + 120
            while True:
                with suppress(httpx.TransportError):
                    if httpx.get(f"{url}/readyz").status_code == 200:
                        break
                if time.monotonic() > give_up:
                    raise RuntimeError("the API is not ready")
                time.sleep(0.2)
            yield url
        finally:
            running.terminate()


def search(image_ids: list[str], **options: Any) -> Send:
    """Searches with one image of the gallery after another."""

    def send(http: httpx.Client, number: int) -> httpx.Response:
        reference = image_ids[number % len(image_ids)]
        body = {
            "reference_image": {"image_id": reference},
            "modification_text": TEXTS[number % len(TEXTS)],
            "timeout_ms": 60_000,
        }
        return http.post("/search", json=body | options)

    return send


def longest_filter(facets: list[dict[str, Any]]) -> dict[str, Any]:
    """As many values as are accepted, of as many facets as there are."""
    words = [facet for facet in facets if facet["values"]]
    each = min(MAX_LIST_VALUES, MAX_FILTER_VALUES // len(words))
    return {
        facet["name"]: (facet["values"] * (each // len(facet["values"]) + 1))[:each]
        for facet in words
    }


def pages(filters: dict[str, Any]) -> Send:
    """Whole pages, and random images."""
    text = json.dumps({name: sorted(set(values)) for name, values in filters.items()})

    def send(http: httpx.Client, number: int) -> httpx.Response:
        path = ("/gallery/images", "/gallery/random")[number % 2]
        return http.get(path, params={"limit": MAX_PAGE, "filter": text})

    return send


def measure(url: str, send: Send, seconds: float) -> list[float]:
    """Milliseconds of one client's requests, one after the other."""
    took: list[float] = []
    with httpx.Client(base_url=url, timeout=90) as http:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            began = time.perf_counter()
            answer = send(http, len(took))
            took.append((time.perf_counter() - began) * 1000)
            answer.raise_for_status()
    return took


@contextmanager
def crowd(url: str, send: Send, clients: int) -> Iterator[list[int]]:
    """Clients that never pause; what is yielded are the statuses of their answers."""
    over, statuses = threading.Event(), list[int]()

    def go(number: int) -> None:
        with httpx.Client(base_url=url, timeout=90) as http:
            while not over.is_set():
                statuses.append(send(http, number).status_code)
                number += clients

    threads = [threading.Thread(target=go, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def percentiles(took: list[float]) -> tuple[float, float]:
    """The 50th and the 95th."""
    return float(np.percentile(took, 50)), float(np.percentile(took, 95))


def run(folder: Path, clients: int, seconds: float) -> None:
    """Measure and print."""
    with api(folder) as url:
        with httpx.Client(base_url=url, timeout=90) as http:
            facets = http.get("/gallery").json()["facets"]
            ids: list[str] = []
            offset: dict[str, str] = {}
            while True:
                page = http.get("/gallery/images", params={"limit": MAX_PAGE, **offset}).json()
                ids += [image["image_id"] for image in page["images"]]
                if page["next_offset"] is None:
                    break
                offset = {"offset": page["next_offset"]}
        filters = longest_filter(facets)
        alone = search(ids)
        measure(url, alone, 3)  # warm
        print(f"{len(ids)} images, {clients} clients beside the one that is measured")
        for name, beside in (
            ("longest filters", search(ids, filter=filters)),
            ("longest among", search(ids, among=ids[:1000])),
            ("whole pages", pages(filters)),
        ):
            p50, p95 = percentiles(measure(url, alone, seconds))
            with crowd(url, beside, clients) as statuses:
                crowded = measure(url, alone, seconds)
            loaded50, loaded95 = percentiles(crowded)
            codes = {code: statuses.count(code) for code in sorted(set(statuses))}
            print(
                f"{name:16s} alone p50 {p50:6.1f} p95 {p95:6.1f} ms   beside them p50 "
                f"{loaded50:6.1f} p95 {loaded95:6.1f} ms   ratio {loaded50 / p50:.2f} "
                f"{loaded95 / p95:.2f}   their answers {codes}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", type=Path, required=True, help="a folder, made if need be")
    parser.add_argument("--images", type=int, default=2500)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement")
    options = parser.parse_args()
    options.gallery.mkdir(parents=True, exist_ok=True)
    build(options.gallery, options.images)
    run(options.gallery, options.clients, options.seconds)


if __name__ == "__main__":
    main()
