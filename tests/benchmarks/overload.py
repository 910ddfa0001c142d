"""What a service answers when more is asked of it than it can do: whole answers, coarse ones,
refusals, and deadlines that were missed.

    python -m tests.benchmarks.overload --url http://127.0.0.1:8000 --clients 32 64

Every client asks again as soon as it is answered; one that is refused waits as `Retry-After` says.
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

import httpx

TEXTS = [f"the same but {colour}" for colour in ("red", "blue", "green", "yellow", "black")]


def kind_of(answer: httpx.Response) -> str:
    """How an answer counts."""
    if answer.status_code != 200:
        return str(answer.status_code)
    return "200 degraded" if answer.json()["coverage"]["degraded"] else "200 whole"


async def ask_until(
    http: httpx.AsyncClient, ids: Sequence[str], until: float, told: list[tuple[str, float]]
) -> None:
    """One client: searches, one after the other."""
    while time.monotonic() < until:
        body = {
            "reference_image": {"image_id": random.choice(ids)},
            "modification_text": random.choice(TEXTS),
        }
        began = time.monotonic()
        try:
            answer = await http.post("/search", json=body)
        except httpx.TransportError:
            told.append(("lost", time.monotonic() - began))
            continue
        told.append((kind_of(answer), time.monotonic() - began))
        if answer.status_code in (429, 503):
            await asyncio.sleep(float(answer.headers["retry-after"]))


async def measure(url: str, clients: int, seconds: float) -> None:
    """So many clients for so long; prints one line."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        found = (await http.get("/gallery/random", params={"limit": 100})).json()["images"]
        ids = [image["image_id"] for image in found]
        told: list[tuple[str, float]] = []
        until = time.monotonic() + seconds
        await asyncio.gather(*(ask_until(http, ids, until, told) for _ in range(clients)))
    counts = Counter(kind for kind, _ in told)
    answered = sorted(took for kind, took in told if kind.startswith("200"))
    times = (
        f"; answered in p50 {median(answered) * 1000:.0f} ms, "
        f"p95 {answered[int(0.95 * len(answered))] * 1000:.0f} ms"
        if answered
        else ""
    )
    said = ", ".join(f"{kind}: {counts[kind]}" for kind in sorted(counts))
    print(f"{clients} clients, {seconds:.0f} s: {said}{times}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running service")
    parser.add_argument("--clients", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    for clients in options.clients:
        asyncio.run(measure(options.url, clients, options.seconds))


if __name__ == "__main__":
    main()
