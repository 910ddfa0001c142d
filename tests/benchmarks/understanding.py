"""How well a running service understands what people type, family by family, without re-ranking.

    python -m tests.benchmarks.understanding --texts texts.jsonl --url http://127.0.0.1:8000

A line of the file is `{"family", "reference", "text", "targets"}`: an image of the gallery, what
was typed, and the ids of all right answers. Printed are recall@1 with and without the attribute
check, recall@50, and how many wrong and right first results say that something was not understood,
or that nothing fits.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles
from typing import Any

import httpx

_FLAGS = {"not_understood", "nothing_fits"}


@dataclass(frozen=True)
class Outcome:
    """One text's answer: whether the first result and one of the first 50 are right."""

    family: str
    first: bool
    unchecked: bool
    among_50: bool
    flagged: bool
    intent_ms: float


def ask(http: httpx.Client, query: dict[str, Any], check: str) -> dict[str, Any]:
    """The answer to one text."""
    body = {
        "reference_image": {"image_id": query["reference"]},
        "modification_text": query["text"],
        "attribute_check": check,
        "rerank_depth": 0,
        "top_k": 50,
    }
    answer = http.post("/search", json=body)
    answer.raise_for_status()
    return dict(answer.json())


def outcome(http: httpx.Client, query: dict[str, Any]) -> Outcome:
    """Ask with the check and without."""
    checked, unchecked = (ask(http, query, check) for check in ("demote", "off"))
    found = [result["image_id"] for result in checked["results"]]
    right = set(query["targets"])
    return Outcome(
        query["family"],
        found[0] in right,
        unchecked["results"][0]["image_id"] in right,
        not right.isdisjoint(found),
        not _FLAGS.isdisjoint(checked["coverage"]["reasons"]),
        checked["timings_ms"].get("intent", 0.0),
    )


def line(name: str, outcomes: Sequence[Outcome]) -> str:
    """One row of the table."""
    shares = [
        mean(getattr(one, what) for one in outcomes) for what in ("unchecked", "first", "among_50")
    ]
    return f"{name:12} {len(outcomes):5} " + " ".join(f"{share:9.3f}" for share in shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    options = parser.parse_args()
    queries = [json.loads(row) for row in options.texts.read_text("utf-8").splitlines()]
    with httpx.Client(base_url=options.url, timeout=60) as http, ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda query: outcome(http, query), queries))
    families = defaultdict(list)
    for one in outcomes:
        families[one.family].append(one)
    print(f"{'family':12} {'texts':>5} {'R@1':>9} {'checked':>9} {'R@50':>9}")
    for name in sorted(families):
        print(line(name, families[name]))
    print(line("all", outcomes))
    for right, name in ((False, "wrong"), (True, "right")):
        flags = [one.flagged for one in outcomes if one.first is right]
        print(f"{name} first results that are flagged: {sum(flags)} of {len(flags)}")
    times = quantiles([one.intent_ms for one in outcomes], n=20)
    print(f"intent: p50 {times[9]:.1f} ms, p95 {times[18]:.1f} ms")


if __name__ == "__main__":
    main()
