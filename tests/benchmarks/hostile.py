"""Ten thousand hostile requests to a service of its own: how they are answered, what it keeps.

    python -m tests.benchmarks.hostile

Starts `python -m app` on a small demo gallery, asks with a few clients at a time, and prints
counts by status and the process's resident memory as it goes (Linux only). Exits with 1 if an
answer is at fault: see `tests.hostile.fault_of`. A request is its seed, so a fault can be repeated:

    python -m tests.benchmarks.hostile --first 4711 --requests 1
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.hostile import fault_of, hostile_request

CLIENTS = 4
TIMEOUT_S = 60


@dataclass
class Told:
    """What became of the requests.

    Attributes:
        statuses: How often each status came.
        faults: A line per answer at fault, with its seed.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@contextmanager
def service(root: Path, images: int) -> Iterator[tuple[str, int]]:
    """A service on a demo gallery; its address and process id."""
    places = {
        "CIR_INDEXER__GALLERY__PATH": str(root / "qdrant"),
        "CIR_INDEXER__IMAGE_STORE": str(root / "images"),
        "CIR_API__GALLERY__PATH": str(root / "qdrant"),
        "CIR_API__IMAGE_STORE": str(root / "images"),
        "CIR_API__LOG_LEVEL": "error",
    }
    environ = {**os.environ, **places}
    make = [sys.executable, "-m", "indexer"]
    catalogue = root / "catalogue"
    subprocess.run([*make, "demo", "--out", str(catalogue), "--images", str(images)], check=True)
    build = [*make, "build", "--manifest", str(catalogue / "manifest.jsonl")]
    build += ["--report", str(root / "report.json")]
    subprocess.run(build, check=True, env=environ)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "app", "--no-worker", "--port", str(port)]
    process = subprocess.Popen(command, env=environ)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < give_up:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the service does not become ready")


def resident_mb(process_id: int) -> float:
    """The process's resident memory."""
    status = Path(f"/proc/{process_id}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def ask(client: httpx.Client, seed: int, ids: list[str], told: Told) -> None:
    """One request, and what became of it."""
    asked = hostile_request(seed, ids)
    try:
        answer = asked.sent_by(client)
    except httpx.HTTPError as error:
        told.faults.append(f"seed {seed}: {asked.method} {asked.path[:80]}: {error!r}")
        return
    told.statuses[answer.status_code] += 1
    if (fault := fault_of(answer)) is not None:
        told.faults.append(f"seed {seed}: {asked.method} {asked.path[:80]}: {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--images", type=int, default=300, help="of the gallery")
    parser.add_argument("--every", type=int, default=2000, help="requests between two readings")
    options = parser.parse_args()
    told = Told()
    with (
        tempfile.TemporaryDirectory() as root,
        service(Path(root), options.images) as (url, process_id),
        httpx.Client(base_url=url, timeout=TIMEOUT_S) as client,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        images = client.get("/gallery/images", params={"limit": 50}).json()["images"]
        ids = [image["image_id"] for image in images]
        print(f"at the start: {resident_mb(process_id):.0f} MB", flush=True)
        seeds = range(options.first, options.first + options.requests)
        for start in range(0, len(seeds), options.every):
            some = seeds[start : start + options.every]
            list(clients.map(lambda seed: ask(client, seed, ids, told), some))
            memory = resident_mb(process_id)
            print(f"after {start + len(some):,}: {memory:.0f} MB", flush=True)
        alive = client.get("/readyz").status_code
    print(", ".join(f"{status}: {told.statuses[status]:,}" for status in sorted(told.statuses)))
    print(f"{len(told.faults)} faults; /readyz afterwards: {alive}")
    for fault in told.faults[:50]:
        print(fault)
    return 1 if told.faults or alive != 200 else 0


if __name__ == "__main__":
    sys.exit(main())
