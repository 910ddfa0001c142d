"""FashionIQ (arXiv 1905.12794): clothes described by what should differ, in three categories.

Layout: `captions/` and `image_splits/` of XiaoxiaoGuo/fashion-iq.
"""

from pathlib import Path
from typing import Any

from indexer.evaluation.benchmarks.annotations import (
    Record,
    Source,
    check_present,
    check_split,
    manifest_rows,
    read_names,
    read_records,
)
from indexer.evaluation.benchmarks.measures import recall
from indexer.evaluation.types import Benchmark, BenchmarkError, Measure, Query

SPLITS = ("val",)
CATEGORIES = ("dress", "shirt", "toptee")

_SOURCE = Source(
    annotations="github.com/XiaoxiaoGuo/fashion-iq",
    images="the URLs in github.com/hongwang600/fashion-iq-metadata",
)
_RANKS = (10, 50)
_PUNCTUATION = ".?, "
_NOTES = (
    "Each category is searched in its own images of the split (the original protocol, not the "
    "smaller gallery of only the images that captions name).",
    "The published figures are the unweighted means over the three categories, named average; "
    "pooled recall@10, over all queries, only sorts wins and losses.",
    "The reference stays in the gallery and in the rankings, as in the published zero-shot code.",
    "The two captions are joined with and, without the full stops around them; an empty one is "
    "left out.",
)


def read(annotations: Path, split: str) -> Benchmark:
    """The queries of all categories; the kind of a query is its category.

    Args:
        annotations: Folder with `captions/cap.<category>.<split>.json`.
        split: `val`; the answers of the test split are not evaluated in the literature.

    Raises:
        BenchmarkError: No such split, or the annotations are missing or malformed.
    """
    check_split("FashionIQ", split, SPLITS)
    queries = []
    for category in CATEGORIES:
        path = annotations / "captions" / f"cap.{category}.{split}.json"
        records = enumerate(read_records(path, _SOURCE))
        queries += [_query(f"{category}/{number}", category, record) for number, record in records]
    return Benchmark(
        name=f"fashioniq-{split}",
        queries=queries,
        measures=[_of_category(c, k) for c in CATEGORIES for k in _RANKS]
        + [recall(10, "pooled recall")],
        depth=max(_RANKS),
        headline="pooled recall@10",
        notes=_NOTES,
        averages={
            f"average recall@{k}": [f"{category} recall@{k}" for category in CATEGORIES]
            for k in _RANKS
        },
    )


def gallery(annotations: Path, images: Path, split: str) -> list[dict[str, Any]]:
    """Manifest rows of the split's images with every category they are in, in the files' order.

    Args:
        annotations: Folder with `image_splits/split.<category>.<split>.json`.
        images: Folder with `<id>.jpg` or `<id>.png`.
        split: `val`.

    Raises:
        BenchmarkError: No such split, or annotations or images are missing.
    """
    check_split("FashionIQ", split, SPLITS)
    categories: dict[str, list[str]] = {}
    for category in CATEGORIES:
        path = annotations / "image_splits" / f"split.{category}.{split}.json"
        for name in dict.fromkeys(read_names(path, _SOURCE)):
            categories.setdefault(name, []).append(category)
    files = {name: _file(images, name) for name in categories}
    check_present(files.values(), _SOURCE)
    return [
        {**row, "attributes": {"category": categories[row["image_id"]]}}
        for row in manifest_rows(files)
    ]


def _of_category(category: str, k: int) -> Measure:
    return recall(k, f"{category} recall", lambda query: category in query.kinds)


def _query(query_id: str, category: str, record: Record) -> Query:
    captions = [caption.strip(_PUNCTUATION) for caption in record.texts("captions")]
    if not any(captions):
        raise BenchmarkError(f"{record.where}: all `captions` are empty")
    return Query(
        query_id=query_id,
        reference_id=record.text("candidate"),
        text=" and ".join(filter(None, captions)),
        relevant_ids=(record.text("target"),),
        kinds=(category,),
        excludes_reference=False,
        filter={"category": category},
    )


def _file(images: Path, name: str) -> Path:
    png = images / f"{name}.png"
    return png if png.is_file() else images / f"{name}.jpg"
