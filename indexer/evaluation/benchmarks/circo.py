"""CIRCO (arXiv 2303.15247): several right answers per query, among 123,403 COCO photographs.

Layout: `annotations/` of miccunifi/CIRCO.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from indexer.evaluation.benchmarks.annotations import (
    Record,
    Source,
    check_present,
    check_split,
    coco_file,
    manifest_rows,
    read_records,
)
from indexer.evaluation.benchmarks.measures import mean_average_precision, recall
from indexer.evaluation.scoring import check_predictions, leading
from indexer.evaluation.types import Benchmark, BenchmarkError, Query, Ranked

SPLITS = ("val", "test")

_SOURCE = Source(
    annotations="github.com/miccunifi/CIRCO",
    images="COCO 2017 unlabeled (images.cocodataset.org/zips/unlabeled2017.zip)",
)
_RANKS = (5, 10, 25, 50)
_NOTES = (
    "The reference stays in the gallery and in the rankings, as in the benchmark's evaluator.",
    "mAP counts every right answer; recall only the target that the text was written for.",
    "The mAP@10 of a kind of query is the evaluator's figure for that semantic aspect.",
    "shared_concept is not used: it says what reference and target have in common.",
    "The gallery is all of COCO 2017 unlabeled, 123,403 images; figures on fewer compare with "
    "nothing published.",
)
_SECRET = "The answers are secret: circo.micc.unifi.it scores the submission file."


def read(annotations: Path, split: str) -> Benchmark:
    """A split's queries; kinds are the semantic aspects.

    Args:
        annotations: Folder with `annotations/<split>.json`.
        split: `val`, or `test`, which has no answers and so no measures.

    Raises:
        BenchmarkError: No such split, or the annotations are missing or malformed.
    """
    check_split("CIRCO", split, SPLITS)
    records = read_records(annotations / "annotations" / f"{split}.json", _SOURCE)
    has_answers = split == "val"
    queries = [_query(record, has_answers) for record in records]
    measures = [*map(mean_average_precision, _RANKS), *map(recall, _RANKS)]
    return Benchmark(
        name=f"circo-{split}",
        queries=queries,
        measures=measures if has_answers else (),
        depth=max(_RANKS),
        headline="mAP@10" if has_answers else "",
        notes=_NOTES if has_answers else (*_NOTES, _SECRET),
        write_submission=partial(_write_submission, queries, f"submission_{split}.json"),
    )


def gallery(annotations: Path, images: Path, split: str) -> list[dict[str, Any]]:
    """Manifest rows of every COCO file in the images folder, by id.

    Args:
        annotations: Folder with `annotations/<split>.json`, whose images must be there.
        images: COCO's `unlabeled2017/`.
        split: `val` or `test`; the gallery is the same.

    Raises:
        BenchmarkError: No such split, or annotations or images are missing.
    """
    queries = read(annotations, split).queries
    named = {i: None for q in queries for i in (q.reference_id, *q.relevant_ids)}
    check_present([coco_file(images, image_id) for image_id in named], _SOURCE)
    files = sorted(p for p in images.iterdir() if re.fullmatch(r"[0-9]{12}\.jpg", p.name))
    return manifest_rows({str(int(file.stem)): file for file in files})


def _query(record: Record, has_answers: bool) -> Query:
    relevant: tuple[str, ...] = ()
    if has_answers:
        target = record.identifier("target_img_id")
        others = [i for i in record.identifiers("gt_img_ids") if i != target]
        relevant = (target, *others)
    return Query(
        query_id=record.identifier("id"),
        reference_id=record.identifier("reference_img_id"),
        text=record.text("relative_caption"),
        relevant_ids=relevant,
        kinds=tuple(record.texts("semantic_aspects")) if has_answers else (),
        excludes_reference=False,
    )


def _write_submission(
    queries: Sequence[Query], name: str, ranked: Mapping[str, Ranked], folder: Path
) -> list[Path]:
    """The server's file: query id → 50 whole numbers."""
    check_predictions(queries, ranked)
    lists = {}
    for query in queries:
        ids = leading(query, ranked[query.query_id], max(_RANKS))
        if strangers := [i for i in ids if not re.fullmatch("[0-9]+", i)]:
            raise BenchmarkError(f"query {query.query_id}: {strangers[0]!r} is no COCO image id")
        lists[query.query_id] = [int(image_id) for image_id in ids]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(lists), encoding="utf-8")
    return [path]
