"""CIRCO: the figures of its own evaluator, and the server's file."""

import json
from pathlib import Path

import numpy as np
import pytest

from indexer.evaluation.benchmarks import circo
from indexer.evaluation.scoring import means, read_predictions, score
from indexer.evaluation.types import BenchmarkError, Query
from tests.indexer.evaluation.benchmarks.published import (
    COCO_IDS,
    at_hand,
    write_circo,
    write_images,
)


def test_queries_as_published(tmp_path: Path) -> None:
    first, second = circo.read(write_circo(tmp_path), "val").queries
    assert first == Query(
        "0", "1", "is red", ("3", "4"), ("negation", "addition"), excludes_reference=False
    )
    assert second.relevant_ids == ("6", "5")  # the target first
    assert circo.read(tmp_path, "test").queries[0].relevant_ids == ()


def test_figures_worked_by_hand(tmp_path: Path) -> None:
    benchmark = circo.read(write_circo(tmp_path), "val")
    # precision 1/2 at the second rank of two right answers; then 1 and 2/6, the target the sixth
    ranked = {"0": ["1", "3"], "1": ["5", "9", "10", "11", "12", "6"]}
    figures = means(benchmark, score(benchmark, ranked))
    assert figures["mAP@5"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert figures["mAP@10"] == pytest.approx((1 / 4 + 2 / 3) / 2)
    assert figures["recall@5"] == 0.5
    assert figures["recall@10"] == 1.0
    by_aspect = means(benchmark, score(benchmark, ranked), kind="negation")
    assert by_aspect["mAP@10"] == pytest.approx(1 / 4)


def test_the_figures_of_the_official_evaluator() -> None:
    benchmark = circo.read(at_hand("circo"), "val")
    example = at_hand("circo") / "submission_examples" / "submission_val.json"
    values = score(benchmark, read_predictions(example, benchmark))
    percent = {name: 100 * value for name, value in means(benchmark, values).items()}
    assert {name: round(value, 4) for name, value in percent.items() if "mAP" in name} == {
        "mAP@5": 0.4861,
        "mAP@10": 0.5178,
        "mAP@25": 0.5400,
        "mAP@50": 0.6020,
    }
    assert {name: round(value, 3) for name, value in percent.items() if "recall" in name} == {
        "recall@5": 0.909,
        "recall@10": 0.909,
        "recall@25": 1.364,
        "recall@50": 3.636,
    }


def test_semantic_aspects_agree_with_an_array_computation() -> None:
    benchmark = circo.read(at_hand("circo"), "val")
    example = at_hand("circo") / "submission_examples" / "submission_val.json"
    predictions = json.loads(example.read_text())
    by_aspect: dict[str, list[float]] = {}
    for entry in json.loads((at_hand("circo") / "annotations" / "val.json").read_text()):
        hits = np.isin(predictions[str(entry["id"])][:10], entry["gt_img_ids"])
        precisions = hits * np.cumsum(hits) / np.arange(1, 11)
        for aspect in entry["semantic_aspects"]:
            value = precisions.sum() / min(10, len(entry["gt_img_ids"]))
            by_aspect.setdefault(aspect, []).append(value)
    values = score(benchmark, read_predictions(example, benchmark))
    assert len(by_aspect) == 9
    for aspect, expected in by_aspect.items():
        figure = means(benchmark, values, kind=aspect)["mAP@10"]
        assert figure == pytest.approx(np.mean(expected))


def test_the_gallery_is_the_whole_folder(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", "circo", "val")
    (images / "notes.txt").touch()
    rows = circo.gallery(write_circo(tmp_path), images, "test")
    assert [row["image_id"] for row in rows] == [str(image_id) for image_id in COCO_IDS]
    assert rows[0]["image"] == str(images / "000000000001.jpg")


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_official_examples_come_back_unchanged(split: str, tmp_path: Path) -> None:
    benchmark = circo.read(at_hand("circo"), split)
    example = at_hand("circo") / "submission_examples" / f"submission_{split}.json"
    assert benchmark.write_submission is not None
    (file,) = benchmark.write_submission(read_predictions(example, benchmark), tmp_path)
    assert file.name == example.name
    assert json.loads(file.read_text()) == json.loads(example.read_text())


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([str(i) for i in range(49)], "query 0: 49 ids are left .* takes 50"),
        (["dev-1", *map(str, range(49))], "query 0: 'dev-1' is no COCO image id"),
        (["1", "1", *map(str, range(49))], "query 0 has an image id twice"),
        (None, "1 of 2 queries have no list of ids, first '0'"),
    ],
)
def test_what_the_server_would_refuse(ids: list[str] | None, expected: str, tmp_path: Path) -> None:
    benchmark = circo.read(write_circo(tmp_path), "test")
    ranked = {"1": [str(i) for i in range(50)]} | ({} if ids is None else {"0": ids})
    assert benchmark.write_submission is not None
    with pytest.raises(BenchmarkError, match=expected):
        benchmark.write_submission(ranked, tmp_path / "out")
