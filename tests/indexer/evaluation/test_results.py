"""The rows, kinds and examples of a finished evaluation, worked by hand."""

from dataclasses import replace

import pytest

from indexer.evaluation.report.examples import ALL_QUERIES, Balance, balance, best, worst
from indexer.evaluation.results import Results, Run, recall_curve
from indexer.evaluation.types import BenchmarkError
from tests.indexer.evaluation.finished import (
    BENCHMARK,
    IMAGE,
    TEXT,
    UNION,
    answer,
    finished,
    query,
    recall,
    secret,
)


def test_a_row_has_the_mean_of_every_measure_and_average() -> None:
    text, image, union = finished().rows
    assert {name: score.interval.mean for name, score in text.measures.items()} == {
        "recall@1": 0.25,
        "recall@5": 0.5,
    }
    assert text.averages["mean recall"].interval.mean == 0.375
    assert image.measures["recall@5"].interval.mean == 0.5
    score = union.measures["recall@5"]
    assert (score.interval.low, score.interval.high, score.queries) == (1.0, 1.0, 4)


def test_latency_and_degraded_answers_are_counted() -> None:
    text, _, union = finished(reasons=["deadline", "reranker_failed"]).rows
    assert text.latency.p50_ms == 25.0
    assert (text.degraded, text.reasons) == (0, {})
    assert (union.degraded, union.queries) == (1, 4)
    assert union.reasons == {"deadline": 1, "reranker_failed": 1}


def test_differences_are_to_the_baseline() -> None:
    text, image, union = finished().rows
    assert text.difference is None
    assert image.difference is not None
    assert image.difference.interval.mean == 0.0
    assert union.difference is not None
    assert union.difference.interval.mean == 0.5
    assert union.difference.queries == 4


def test_another_baseline_is_named() -> None:
    results = finished()
    named = Results(results.benchmark, results.runs, baseline_name="union-20")
    assert [row.difference is None for row in named.rows] == [False, False, True]
    assert named.baseline.configuration == UNION


def test_a_difference_takes_the_queries_both_have_a_value_for() -> None:
    results = finished()
    text, union = results.run("text-0"), results.run("union-20")
    values = {name: dict(list(v.items())[:2]) for name, v in text.values.items()}
    halved = Results(results.benchmark, [replace(text, values=values), union])
    difference = halved.rows[1].difference
    assert difference is not None
    assert (difference.interval.mean, difference.queries) == (0.5, 2)


def test_kinds_are_broken_down_the_largest_first() -> None:
    text, _, _ = finished().rows
    assert [(kind, s.queries) for kind, s in text.kinds.items()] == [
        ("colour", 3),
        ("size | <b>length</b>", 1),
    ]
    assert text.kinds["colour"].interval.mean == pytest.approx(1 / 3)


def test_a_measure_that_applies_to_no_query_is_left_out() -> None:
    never = replace(recall(2), of=lambda query, ranked: None)
    benchmark = replace(
        BENCHMARK,
        measures=[*BENCHMARK.measures, never],
        averages={"both": ("recall@1", "recall@2")},
    )
    row = finished(benchmark=benchmark).rows[0]
    assert list(row.measures) == ["recall@1", "recall@5"]
    assert row.averages == {}


def test_secret_answers_leave_latency_only() -> None:
    results = secret()
    row = results.rows[1]
    assert (row.measures, row.averages, row.kinds, row.difference) == ({}, {}, {}, None)
    assert row.latency.p95_ms == pytest.approx(38.5)
    assert results.best is None
    assert best(results, results.runs[0], 5, 5) == []


def test_results_that_cannot_be_compared_are_refused() -> None:
    text, image, _ = finished().runs
    with pytest.raises(ValueError, match="different configurations"):
        Results(BENCHMARK, [])
    with pytest.raises(ValueError, match="different configurations"):
        Results(BENCHMARK, [text, text])
    with pytest.raises(ValueError, match="no answers from image-0"):
        Results(BENCHMARK, [text, replace(image, answers={})])
    with pytest.raises(ValueError, match="no union-20 to compare with; runs: text-0"):
        Results(BENCHMARK, [text], baseline_name="union-20")
    with pytest.raises(BenchmarkError):
        Run.scored(BENCHMARK, TEXT, [answer(0, 1)])


def test_the_recall_curve_counts_without_the_reference() -> None:
    results = finished()
    curve = recall_curve(results, results.run("text-0"))
    assert curve.tolist() == [0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75]


def test_the_recall_curve_leaves_out_queries_that_the_headline_does_not_apply_to() -> None:
    of = recall(5).of
    headline = replace(
        recall(5), of=lambda query, ranked: of(query, ranked) if "colour" in query.kinds else None
    )
    results = finished(benchmark=replace(BENCHMARK, measures=[recall(1), headline]))
    assert recall_curve(results, results.run("text-0"))[1] == pytest.approx(1 / 3)


def test_the_best_run_has_the_highest_headline() -> None:
    found = finished().best
    assert found is not None
    assert found.configuration == UNION


def test_best_and_worst_queries_are_sorted_by_headline_then_rank() -> None:
    results = finished()
    run = results.run("text-0")
    assert [e.query.query_id for e in best(results, run, 2, 3)] == ["q0", "q3"]
    # neither is among the first five; q2's right answer is at least in the ranking
    assert [e.query.query_id for e in worst(results, run, 2, 3)] == ["q1", "q2"]


def test_an_example_shows_results_and_what_they_lack() -> None:
    results = finished()
    nowhere, late = worst(results, results.run("text-0"), 2, 3)
    assert [(one.image_id, one.rank, one.is_right) for one in late.shown] == [
        ("wrong-0", 1, False),
        ("wrong-1", 2, False),
        ("wrong-2", 3, False),
    ]
    assert late.missing is not None
    assert (late.missing.image_id, late.missing.rank) == ("right-2", 7)
    assert nowhere.missing is not None
    assert (nowhere.missing.image_id, nowhere.missing.rank) == ("right-1", None)
    first = best(results, results.run("text-0"), 1, 3)[0]
    assert (first.shown[0].is_right, first.missing) == (True, None)


def test_ties_are_not_all_of_the_kind_that_comes_first() -> None:
    queries = [query(i, "first" if i < 50 else "second") for i in range(100)]
    benchmark = replace(BENCHMARK, queries=queries)
    run = Run.scored(benchmark, TEXT, [answer(i, 1) for i in range(100)])
    results = Results(benchmark, [run])
    assert {e.query.kinds for e in best(results, run, 20, 1)} == {("first",), ("second",)}


def test_wins_and_losses_against_the_baseline_by_kind() -> None:
    results = finished()
    image = balance(results, results.run(IMAGE.name))
    assert image == {
        ALL_QUERIES: Balance(wins=1, ties=2, losses=1),
        "colour": Balance(wins=1, ties=2, losses=0),
        "size | <b>length</b>": Balance(wins=0, ties=1, losses=0),
    }
    assert next(iter(image)) == ALL_QUERIES
    assert image["colour"].queries == 3
