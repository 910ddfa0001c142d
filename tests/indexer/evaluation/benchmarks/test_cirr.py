"""CIRR: two queries per pair, and the server's two files."""

import json
import shutil
from pathlib import Path

import pytest

from indexer.evaluation.benchmarks import cirr
from indexer.evaluation.scoring import means, read_predictions, score
from indexer.evaluation.types import BenchmarkError, Query
from tests.indexer.evaluation.benchmarks.published import (
    MEMBERS,
    at_hand,
    cirr_pair,
    write_cirr,
    write_json,
)

NAMES = [*MEMBERS, *(f"test1-{i}" for i in range(54))]


def test_every_pair_is_asked_in_the_split_and_in_its_set(tmp_path: Path) -> None:
    whole, subset, *_ = cirr.read(write_cirr(tmp_path), "val").queries
    assert whole == Query("12060", "dev-4", "show three bottles", ("dev-1",))
    others = ("dev-0", "dev-1", "dev-2", "dev-3", "dev-5")
    assert subset == Query("12060/subset", "dev-4", "show three bottles", ("dev-1",), among=others)
    assert whole.excludes_reference


def test_a_blank_caption_is_asked_with_a_text(tmp_path: Path) -> None:
    pair = {**cirr_pair(27098, "dev-0", None), "caption": " "}
    write_json(write_cirr(tmp_path) / "captions" / "cap.rc2.test1.json", [pair])
    benchmark = cirr.read(tmp_path, "test1")
    assert {query.text for query in benchmark.queries} == {"a similar image"}
    assert "a similar image" in " ".join(benchmark.notes)


def test_figures_worked_by_hand(tmp_path: Path) -> None:
    benchmark = cirr.read(write_cirr(tmp_path), "val")
    first = ["dev-4", "dev-6", "dev-1", "dev-0"]  # without the reference: rank 2; in the set: 1
    second = ["dev-7", "dev-3", "dev-2", "dev-0", "dev-6", "dev-5", "dev-1"]  # rank 6; in the set 4
    ranked = {"12060": first, "12060/subset": first, "12062": second, "12062/subset": second}
    assert means(benchmark, score(benchmark, ranked)) == {
        "recall@1": 0.0,
        "recall@5": 0.5,
        "recall@10": 1.0,
        "recall@50": 1.0,
        "recall_subset@1": 0.5,
        "recall_subset@2": 0.5,
        "recall_subset@3": 0.5,
        "average of recall@5 and recall_subset@1": 0.5,
    }


def test_the_gallery_is_in_the_order_of_the_split(tmp_path: Path) -> None:
    folder = write_cirr(tmp_path)
    for name in (*MEMBERS, "dev-6", "dev-7"):
        (tmp_path / "val").mkdir(exist_ok=True)
        (tmp_path / "val" / f"{name}.png").touch()
    rows = cirr.gallery(folder, tmp_path, "val")
    assert rows[0] == {"image": str(tmp_path / "val" / "dev-0.png"), "image_id": "dev-0"}
    assert [row["image_id"] for row in rows] == [*MEMBERS, "dev-6", "dev-7"]


def test_the_test_split_has_a_submission_instead_of_measures(tmp_path: Path) -> None:
    benchmark = cirr.read(write_cirr(tmp_path / "a"), "test1")
    assert not benchmark.measures
    assert cirr.read(tmp_path / "a", "val").write_submission is None
    assert benchmark.write_submission is not None
    ranked = {query.query_id: NAMES for query in benchmark.queries}
    files = benchmark.write_submission(ranked, tmp_path / "out")
    assert [file.name for file in files] == [
        "test1_pred_ranks_recall.json",
        "test1_pred_ranks_recall_subset.json",
    ]
    whole, subset = (json.loads(file.read_text()) for file in files)
    assert list(whole) == list(subset) == ["version", "metric", "12060", "12062"]
    assert whole["12060"] == [name for name in NAMES if name != "dev-4"][:50]
    assert subset["12062"] == ["dev-1", "dev-2", "dev-3"]
    assert read_predictions(tmp_path / "out", benchmark)["12060"] == whole["12060"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"12060": NAMES[:50]}, "12060: 49 ids are left .* takes 50"),  # one was the reference
        ({"12062/subset": NAMES[:3]}, "12062/subset: 2 ids are left .* takes 3"),
        ({"12062": [*NAMES, NAMES[0]]}, "query 12062 has an image id twice"),
        ({"7": NAMES}, "1 query ids are not of this benchmark, first '7'"),
        ({"12060": None}, "1 of 4 queries have no list of ids, first '12060'"),
        ({"12060": [*(f"{i:0130000}" for i in range(50))]}, "recall file has .* takes 5 MB"),
    ],
)
def test_what_the_server_would_refuse(
    change: dict[str, list[str] | None], expected: str, tmp_path: Path
) -> None:
    benchmark = cirr.read(write_cirr(tmp_path), "test1")
    changed = {query.query_id: NAMES for query in benchmark.queries} | change
    ranked = {query_id: ids for query_id, ids in changed.items() if ids is not None}
    assert benchmark.write_submission is not None
    with pytest.raises(BenchmarkError, match=expected):
        benchmark.write_submission(ranked, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


def test_the_official_examples_come_back_unchanged(tmp_path: Path) -> None:
    benchmark = cirr.read(at_hand("cirr"), "test1")
    examples = at_hand("cirr") / "submission_examples"
    assert benchmark.write_submission is not None
    files = benchmark.write_submission(read_predictions(examples, benchmark), tmp_path)
    for file in files:
        assert json.loads(file.read_text()) == json.loads((examples / file.name).read_text())
        assert file.stat().st_size <= 5_000_000


def test_one_of_the_two_files_is_not_enough(tmp_path: Path) -> None:
    benchmark = cirr.read(at_hand("cirr"), "test1")
    example = at_hand("cirr") / "submission_examples" / "test1_pred_ranks_recall.json"
    with pytest.raises(BenchmarkError, match=r"4148 of 8296 queries .* first '12063/subset'"):
        read_predictions(example, benchmark)
    for name in ("one.json", "two.json"):
        shutil.copyfile(example, tmp_path / name)
    with pytest.raises(BenchmarkError, match=r"two\.json: query 12063 is in another file"):
        read_predictions(tmp_path, benchmark)
