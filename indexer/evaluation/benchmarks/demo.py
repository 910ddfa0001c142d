"""The demo catalogue's own queries, with every right answer computed from the scenes."""

import json
from pathlib import Path

from indexer.evaluation.benchmarks.measures import mean_average_precision, recall_of_any
from indexer.evaluation.types import TEMPLATES, Benchmark, BenchmarkError, Query

DEPTH = 50


def read(catalogue: Path) -> Benchmark:
    """Read `queries.jsonl` of a folder that `python -m indexer demo` wrote.

    Raises:
        BenchmarkError: There is none, or it is not such a file.
    """
    path = catalogue / "queries.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        queries = [
            Query(
                query_id=row["query_id"],
                reference_id=row["reference_image_id"],
                text=row["modification_text"],
                relevant_ids=tuple(row["target_image_ids"]),
                kinds=(row["edit"].replace("_", " "),),
                family=row.get("family", TEMPLATES),
                unanswerable=row.get("unanswerable", False),
            )
            for row in rows
        ]
    except FileNotFoundError:
        raise BenchmarkError(
            f"there are no queries at {path}; `python -m indexer demo --out {catalogue}` "
            "makes a demo catalogue"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} holds no demo queries: {error!r}") from None
    if not queries:
        raise BenchmarkError(f"{path} is empty")
    split = queries[0].query_id.partition("-")[0]
    return Benchmark(
        name=f"demo-{split}",
        queries=queries,
        measures=[*(recall_of_any(k) for k in (1, 10, DEPTH)), mean_average_precision(10)],
        depth=DEPTH,
        headline="mAP@10",
        notes=[
            "Rendered scenes; texts of templates, and others as people type them (by family): good "
            "for comparing ways to search, no statement about photographs."
        ],
    )
