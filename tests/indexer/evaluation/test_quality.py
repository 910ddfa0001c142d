"""The regression guard: a small demo benchmark whose figures a change may not lower unnoticed.

Rendering, encoder and search are deterministic, but floating point differs a little between
machines, and one query is worth 0.4 points here: hence the tolerance. A change that raises a figure
for good is welcome; it raises the golden figure with it.
"""

import json
from pathlib import Path

from indexer.cli import main

GOLDEN = Path(__file__).parent / "golden" / "demo.json"
TOLERANCE = 0.02


def test_retrieval_is_as_good_as_it_was(api: str, catalogue: Path, tmp_path: Path) -> None:
    ways = ["--compositions", "text", "union", "facets", "--rerank", "0", "--families", "templates"]
    source = ["--benchmark", "demo", "--source", str(catalogue.parent), "--api", api]
    assert main(["evaluate", *source, *ways, "--out", str(tmp_path)]) == 0
    measured = {
        row["name"]: {name: round(score["mean"], 4) for name, score in row["measures"].items()}
        for row in json.loads((tmp_path / "metrics.json").read_text())["configurations"]
    }
    golden = json.loads(GOLDEN.read_text())
    assert measured.keys() == golden.keys()
    for name, figures in golden.items():
        for measure, value in figures.items():
            assert measured[name][measure] >= value - TOLERANCE, (name, measure, measured)
