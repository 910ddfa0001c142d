"""CIRR (arXiv 2108.04024): edits between photographs, searched in a split and in sets of six.

Layout: the `cirr_dataset` branch of Cuberick-Orion/CIRR, `captions/` and `image_splits/`.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from indexer.evaluation.benchmarks.annotations import (
    Record,
    Source,
    check_present,
    check_split,
    manifest_rows,
    read_paths,
    read_records,
)
from indexer.evaluation.benchmarks.measures import recall
from indexer.evaluation.scoring import SUBSET_METRIC, SUBSET_SUFFIX, check_predictions, leading
from indexer.evaluation.types import Benchmark, BenchmarkError, Query, Ranked

SPLITS = ("val", "test1")

_SOURCE = Source(
    annotations="github.com/Cuberick-Orion/CIRR, branch cirr_dataset",
    images="NLVR2 (github.com/lil-lab/nlvr), folders dev and test1",
)
_VERSION = "rc2"
_DEPTH, _SUBSET_DEPTH = 50, 3
_MAX_SUBMISSION_BYTES = 5_000_000
_BLANK = "a similar image"
_AVERAGES = {"average of recall@5 and recall_subset@1": ("recall@5", "recall_subset@1")}
_NOTES = (
    "The reference is taken out of every ranking.",
    "recall_subset ranks only the other five images of the reference's set of six; it is asked as "
    "a query of its own.",
    "The only right answer is target_hard; soft targets do not count.",
)
_SPLIT_NOTES = {
    "val": "Published tables are mostly of test1, which only the server scores.",
    "test1": "The answers are secret: cirr.cecs.anu.edu.au scores the two submission files. The "
    f"caption of pair 27098 is blank; as a search needs a text, it is asked as “{_BLANK}”.",
}


def read(annotations: Path, split: str) -> Benchmark:
    """A split's queries: `<pairid>` in the whole split, `<pairid>/subset` in its image set.

    Args:
        annotations: Folder with `captions/cap.rc2.<split>.json`.
        split: `val`, or `test1`, which has no answers and so no measures.

    Raises:
        BenchmarkError: No such split, or the annotations are missing or malformed.
    """
    check_split("CIRR", split, SPLITS)
    path = annotations / "captions" / f"cap.{_VERSION}.{split}.json"
    records = read_records(path, _SOURCE)
    has_answers = split == "val"
    queries = [query for record in records for query in _queries(record, has_answers)]
    whole = [recall(k, applies=lambda q: not q.among) for k in (1, 5, 10, 50)]
    subset = [recall(k, "recall_subset", lambda q: bool(q.among)) for k in (1, 2, 3)]
    return Benchmark(
        name=f"cirr-{split}",
        queries=queries,
        measures=[*whole, *subset] if has_answers else (),
        depth=_DEPTH,
        headline="recall@5" if has_answers else "",
        notes=(*_NOTES, _SPLIT_NOTES[split]),
        averages=_AVERAGES if has_answers else {},
        write_submission=None if has_answers else partial(_write_submission, queries),
    )


def gallery(annotations: Path, images: Path, split: str) -> list[dict[str, Any]]:
    """Manifest rows of a split's images, in the order of its file.

    Args:
        annotations: Folder with `image_splits/split.rc2.<split>.json`.
        images: Folder with NLVR2's `dev/` and `test1/`.
        split: `val` or `test1`.

    Raises:
        BenchmarkError: No such split, or annotations or images are missing.
    """
    check_split("CIRR", split, SPLITS)
    paths = read_paths(annotations / "image_splits" / f"split.{_VERSION}.{split}.json", _SOURCE)
    files = {name: images / path for name, path in paths.items()}
    check_present(files.values(), _SOURCE)
    return manifest_rows(files)


def _queries(record: Record, has_answers: bool) -> tuple[Query, Query]:
    pair_id, reference = record.identifier("pairid"), record.text("reference")
    text = record.text("caption", may_be_blank=True).strip() or _BLANK
    relevant = (record.text("target_hard"),) if has_answers else ()
    members = record.record("img_set").identifiers("members")
    others = tuple(name for name in members if name != reference)
    return (
        Query(pair_id, reference, text, relevant),
        Query(pair_id + SUBSET_SUFFIX, reference, text, relevant, among=others),
    )


def _write_submission(
    queries: Sequence[Query], ranked: Mapping[str, Ranked], folder: Path
) -> list[Path]:
    """The two files of the server, named as its examples are."""
    check_predictions(queries, ranked)
    recall_lists, subset_lists = {}, {}
    for query in queries:
        ids = ranked[query.query_id]
        if query.among:
            pair_id = query.query_id.removesuffix(SUBSET_SUFFIX)
            subset_lists[pair_id] = leading(query, ids, _SUBSET_DEPTH)
        else:
            recall_lists[query.query_id] = leading(query, ids, _DEPTH)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _write(folder, "recall", recall_lists),
        _write(folder, SUBSET_METRIC, subset_lists),
    ]


def _write(folder: Path, metric: str, lists: Mapping[str, Sequence[str]]) -> Path:
    body = json.dumps({"version": _VERSION, "metric": metric, **lists}).encode()
    if len(body) > _MAX_SUBMISSION_BYTES:
        raise BenchmarkError(f"the {metric} file has {len(body)} bytes, the server takes 5 MB")
    path = folder / f"test1_pred_ranks_{metric}.json"
    path.write_bytes(body)
    return path
