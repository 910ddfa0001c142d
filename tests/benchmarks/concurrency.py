"""How long searches take that come several at a time, by two services side by side.

    python -m tests.benchmarks.concurrency --url http://127.0.0.1:8000 http://127.0.0.1:8001

The services serve the same gallery. Every round asks each of them the same queries, uploads without
re-ranking, one service after the other, and the next round begins with the other one: what else the
machine does then falls on both. Printed are medians over all searches, in milliseconds.
"""

import argparse
import asyncio
import base64
import random
from collections.abc import Sequence
from itertools import product
from statistics import median
from typing import Any

import httpx

COLOURS = ("red", "blue", "green", "yellow", "black", "white", "pink", "grey")
TEXTS = [
    *(f"the same but {colour}" for colour in COLOURS),
    *(f"{change}, please" for change in ("make it striped", "in the snow", "more elegant")),
    *(f"add a {colour} lamp to the {side}" for colour, side in product(COLOURS, ("left", "right"))),
]
ROUNDS = 10


async def queries(url: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Uploads of random gallery images with random texts."""
    rng = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        answer = await http.get("/gallery/random", params={"limit": 100})
        images = answer.json()["images"]
        pictures = [(await http.get(image["image_url"])).content for image in images]
    return [
        {
            "reference_image": {"base64": base64.b64encode(rng.choice(pictures)).decode()},
            "modification_text": rng.choice(TEXTS),
            "composition": "intersection",
            "rerank_depth": 0,
            "timeout_ms": 60_000,
        }
        for _ in range(count)
    ]


async def ask(
    url: str, bodies: Sequence[dict[str, Any]], at_once: int
) -> list[tuple[dict[str, float], list[str]]]:
    """All queries, so many at a time: timings and the ids that were found."""
    room = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:

        async def one(body: dict[str, Any]) -> tuple[dict[str, float], list[str]]:
            async with room:
                answer = await http.post("/search", json=body)
                while answer.status_code == 429:  # a machine that is busy with something else
                    await asyncio.sleep(float(answer.headers["retry-after"]))
                    answer = await http.post("/search", json=body)
            content = answer.raise_for_status().json()
            return content["timings_ms"], [result["image_id"] for result in content["results"]]

        return await asyncio.gather(*(one(body) for body in bodies))


def line(url: str, timings: Sequence[dict[str, float]]) -> str:
    understood = median(one.get("intent", 0) + one["embed"] for one in timings)
    whole = sorted(one["total"] for one in timings)
    return (
        f"{url}: {len(timings)} searches, embed + intent {understood:.1f} ms, "
        f"whole {median(whole):.1f} ms (p95 {whole[int(0.95 * len(whole))]:.1f} ms)"
    )


async def measure(urls: Sequence[str], searches: int, at_once: int, seed: int) -> None:
    bodies = await queries(urls[0], searches, seed)
    timings: dict[str, list[dict[str, float]]] = {url: [] for url in urls}
    found: dict[str, list[list[str]]] = {url: [] for url in urls}
    for url in urls:
        await ask(url, bodies[:at_once], at_once)  # the first ones find everything cold
    size = -(-searches // ROUNDS)
    for number in range(ROUNDS):
        for url in urls[:: 1 if number % 2 == 0 else -1]:
            for timing, ids in await ask(url, bodies[number * size :][:size], at_once):
                timings[url].append(timing)
                found[url].append(ids)
    print(f"{at_once} at a time, rerank_depth 0")
    for url in urls:
        print(line(url, timings[url]))
    if len(urls) > 1:
        first, second = found[urls[0]], found[urls[1]]
        same = sum(a == b for a, b in zip(first, second, strict=True))
        print(f"the same results, in the same order: {same} of {len(first)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", nargs="+", default=["http://127.0.0.1:8000"], help="one or two")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(measure(options.url, options.searches, options.at_once, options.seed))


if __name__ == "__main__":
    main()
