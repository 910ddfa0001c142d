"""GeneCIS (arXiv 2306.07969), the object tasks: fifteen images, and a word for what matters.

Layout: `genecis/` of facebookresearch/genecis. The attribute tasks are not read: their images are
crops that would have to be cut out of Visual Genome first.
"""

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
from indexer.evaluation.benchmarks.measures import recall
from indexer.evaluation.types import Benchmark, Query

SPLITS = ("focus_object", "change_object")

_SOURCE = Source(
    annotations="github.com/facebookresearch/genecis, folder genecis",
    images="COCO 2017 val (images.cocodataset.org/zips/val2017.zip)",
)
_RANKS = (1, 2, 3)
_NOTES = (
    "Each query ranks only its own gallery: 14 images and the target (13 in one query of "
    "change_object, whose gallery holds the target already). The reference is not in it.",
    "The modification text is the bare name of an object: to keep (focus) or to bring in (change).",
    "The published average is over four tasks; the two attribute tasks, on crops of Visual "
    "Genome, are not read here.",
)


def read(annotations: Path, split: str) -> Benchmark:
    """A task's queries, numbered in the file's order.

    Args:
        annotations: Folder with `<task>.json`.
        split: The task, `focus_object` or `change_object`.

    Raises:
        BenchmarkError: No such task, or the annotations are missing or malformed.
    """
    check_split("GeneCIS", split, SPLITS)
    records = read_records(annotations / f"{split}.json", _SOURCE)
    return Benchmark(
        name=f"genecis-{split}",
        queries=[_query(str(number), record) for number, record in enumerate(records)],
        measures=[recall(k) for k in _RANKS],
        depth=max(_RANKS),
        headline="recall@1",
        notes=_NOTES,
    )


def gallery(annotations: Path, images: Path, split: str) -> list[dict[str, Any]]:
    """Manifest rows of the images that a task names, by id.

    Args:
        annotations: Folder with `<task>.json`.
        images: COCO's `val2017/`.
        split: The task.

    Raises:
        BenchmarkError: No such task, or annotations or images are missing.
    """
    queries = read(annotations, split).queries
    named = {image_id for query in queries for image_id in (query.reference_id, *query.among)}
    files = {
        image_id: coco_file(images, image_id)
        for image_id in sorted(named, key=lambda i: i.zfill(12))
    }
    check_present(files.values(), _SOURCE)
    return manifest_rows(files)


def _query(query_id: str, record: Record) -> Query:
    target = _image_id(record.record("target"))
    distractors = map(_image_id, record.records("gallery"))
    return Query(
        query_id=query_id,
        reference_id=_image_id(record.record("reference")),
        text=record.text("condition"),
        relevant_ids=(target,),
        excludes_reference=False,
        among=tuple(dict.fromkeys((*distractors, target))),
    )


def _image_id(record: Record) -> str:
    return record.identifier("val_image_id")
