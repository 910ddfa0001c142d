"""FashionIQ: three galleries, joined captions, an unweighted mean."""

from pathlib import Path

import pytest

from indexer.evaluation.benchmarks import fashioniq
from indexer.evaluation.scoring import means, score
from indexer.evaluation.types import BenchmarkError, Query
from tests.indexer.evaluation.benchmarks.published import write_fashioniq, write_images, write_json


def test_queries_as_published(tmp_path: Path) -> None:
    queries = fashioniq.read(write_fashioniq(tmp_path), "val").queries
    assert [q.query_id for q in queries] == ["dress/0", "dress/1", "shirt/0", "toptee/0"]
    assert queries[0] == Query(
        query_id="dress/0",
        reference_id="B1",
        text="is longer and has sleeves",
        relevant_ids=("B2",),
        kinds=("dress",),
        excludes_reference=False,
        filter={"category": "dress"},
    )
    assert queries[2].text == "is grey"


def test_a_query_without_any_caption_is_refused(tmp_path: Path) -> None:
    entry = {"candidate": "B3", "target": "B4", "captions": ["", " . "]}
    write_json(write_fashioniq(tmp_path) / "captions" / "cap.shirt.val.json", [entry])
    with pytest.raises(BenchmarkError, match=r"cap\.shirt\.val\.json, entry 0: all `captions`"):
        fashioniq.read(tmp_path, "val")


def test_the_mean_weighs_categories_not_queries(tmp_path: Path) -> None:
    benchmark = fashioniq.read(write_fashioniq(tmp_path), "val")
    far = [str(i) for i in range(10)]
    ranked = {
        "dress/0": ["B1", "B2"],
        "dress/1": [],
        "shirt/0": [*far, "B4"],
        "toptee/0": ["B3"],
    }
    figures = means(benchmark, score(benchmark, ranked))
    assert figures == {
        "dress recall@10": 0.5,
        "dress recall@50": 0.5,
        "shirt recall@10": 0.0,
        "shirt recall@50": 1.0,
        "toptee recall@10": 1.0,
        "toptee recall@50": 1.0,
        "pooled recall@10": 0.5,
        "average recall@10": pytest.approx((0.5 + 0 + 1) / 3),
        "average recall@50": pytest.approx((0.5 + 1 + 1) / 3),
    }


def test_an_image_is_in_every_category_that_lists_it(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "fashioniq", "val")
    rows = fashioniq.gallery(write_fashioniq(tmp_path), images, "val")
    assert [(row["image_id"], row["attributes"]["category"]) for row in rows] == [
        ("B2", ["dress"]),
        ("B1", ["dress"]),
        ("B3", ["shirt", "toptee"]),
        ("B4", ["shirt"]),
        ("B5", ["toptee"]),
    ]
    assert rows[0]["image"] == str(images / "B2.png")
    assert rows[1]["image"] == str(images / "B1.jpg")
