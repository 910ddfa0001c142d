"""Stored top-k lists: what is read, what is refused, what the protocol leaves of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.evaluation.scoring import check_predictions, leading, read_predictions, under_protocol
from indexer.evaluation.types import Benchmark, BenchmarkError, Query
from tests.indexer.evaluation.benchmarks.published import write_json

QUERIES = (Query("1", "r", "is red"), Query("2", "r", "is blue"))
BENCHMARK = Benchmark("two", QUERIES, measures=(), depth=3)


def test_numbers_become_text_and_the_version_is_passed_over(tmp_path: Path) -> None:
    file = write_json(tmp_path / "a.json", {"version": "rc2", "1": [3, "b"], "2": []})
    assert read_predictions(file, BENCHMARK) == {"1": ["3", "b"], "2": []}


def test_a_folder_is_read_together(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"metric": "recall", "2": ["x"]})
    write_json(tmp_path / "b.json", {"metric": "recall_subset", "2": ["y"]})
    queries = (Query("2", "r", "is red"), Query("2/subset", "r", "is red", among=("y", "z")))
    both = read_predictions(tmp_path, Benchmark("both", queries, measures=(), depth=1))
    assert both == {"2": ["x"], "2/subset": ["y"]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"1": [], "2": [], "3": []}', "1 query ids are not of this benchmark, first '3'"),
        ('{"2": []}', "1 of 2 queries have no list of ids, first '1'"),
        ('{"1": [], "2": ["a", "b", "a"]}', "query 2 has an image id twice"),
        ('{"1": [], "2": [7, "7"]}', "query 2 has an image id twice"),
        ('{"1": [], "2": [], "1": []}', "a query is in it twice"),
        ('{"1": [], "2": "abc"}', "query 2 must have a list of image ids"),
        ('{"1": [], "2": [1.5]}', "query 2: an image id is .*, found 1.5"),
        ('{"1": [], "2": [true]}', "query 2: an image id is .*, found True"),
        ('{"1": [], "2": [["a"]]}', "query 2: an image id is .*, found .'a'."),
        ("[]", "must be a JSON object"),
        ('{"1": [', "cannot be read: "),
    ],
)
def test_what_is_refused(content: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(content)
    with pytest.raises(BenchmarkError, match=expected) as error:
        read_predictions(file, BENCHMARK)
    assert str(file) in str(error.value)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"nothing\.json cannot be read"):
        read_predictions(tmp_path / "nothing.json", BENCHMARK)
    with pytest.raises(BenchmarkError, match="2 of 2 queries have no list"):
        read_predictions(tmp_path, BENCHMARK)


def test_checked_predictions_say_where_they_are_from() -> None:
    check_predictions(QUERIES, {"1": ["a"], "2": ("b", "c")})
    with pytest.raises(BenchmarkError, match="the predictions: 1 of 2"):
        check_predictions(QUERIES, {"1": ["a"]})


def test_the_protocol_leaves_out_the_reference_and_strangers() -> None:
    ranked = ["a", "r", "b", "c"]
    assert under_protocol(Query("1", "r", "is red"), ranked) == ["a", "b", "c"]
    kept = Query("1", "r", "is red", excludes_reference=False)
    assert under_protocol(kept, ranked) == ranked
    few = Query("1", "r", "is red", among=("r", "c", "a"))
    assert under_protocol(few, ranked) == ["a", "c"]
    assert leading(few, ranked, 2) == ["a", "c"]
    with pytest.raises(BenchmarkError, match="query 1: 2 ids are left .* takes 3"):
        leading(few, ranked, 3)


@given(
    st.lists(st.integers(0, 9).map(str), unique=True),
    st.sets(st.integers(0, 9).map(str)),
    st.booleans(),
)
def test_the_protocol_keeps_the_order_and_asks_nothing_twice(
    ranked: list[str], among: set[str], excludes: bool
) -> None:
    query = Query("1", "3", "is red", excludes_reference=excludes, among=tuple(among))
    kept = under_protocol(query, ranked)
    assert kept == sorted(kept, key=ranked.index)
    assert under_protocol(query, kept) == kept
    expected = set(ranked) & (among or set(ranked)) - ({"3"} if excludes else set())
    assert set(kept) == expected
