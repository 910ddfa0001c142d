"""Scores, worked by hand and against ranks counted as the number of higher similarities."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexer.evaluation.benchmarks import cirr, fashioniq
from indexer.evaluation.scoring import means, score
from indexer.evaluation.types import Benchmark, BenchmarkError, Measure, Query
from tests.indexer.evaluation.benchmarks.published import at_hand, cirr_pair, write_json

Array = NDArray[np.float64]


def names_in(path: Path) -> list[str]:
    return list(json.loads(path.read_text()))


def unit(vectors: Array) -> Array:
    rows: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return rows


def similarities(names: list[str], queries: list[Query], noise: float = 4.0) -> Array:
    """Query × image: random unit vectors, a query's leaning towards its target."""
    generator = np.random.default_rng(7)
    images = unit(generator.standard_normal((len(names), 16)))  # images × 16
    targets = images[[names.index(query.relevant_ids[0]) for query in queries]]
    lean = targets + noise * unit(generator.standard_normal(targets.shape))
    return np.asarray(unit(lean) @ images.T, dtype=np.float64)


def rankings(names: list[str], queries: list[Query], scores: Array) -> dict[str, list[str]]:
    return {
        query.query_id: [names[i] for i in np.argsort(-row)]
        for query, row in zip(queries, scores, strict=True)
    }


def recall_by_counting(names: list[str], queries: list[Query], scores: Array, k: int) -> float:
    """Share of targets that fewer than `k` of the candidates outscore."""
    found = []
    for query, row in zip(queries, scores, strict=True):
        candidates = np.isin(names, query.among) if query.among else np.ones(len(names), bool)
        if query.excludes_reference:
            candidates[names.index(query.reference_id)] = False
        higher = candidates & (row > row[names.index(query.relevant_ids[0])])
        found.append(higher.sum() < k)
    return float(np.mean(found))


def write_random_cirr(folder: Path) -> Path:
    """Forty pairs, each in its own set of six of sixty images."""
    chance = random.Random(3)
    names = [f"dev-{i}" for i in range(60)]
    pairs = []
    for number in range(40):
        members = chance.sample(names, 6)
        pair = cirr_pair(number, members[0], members[1])
        chance.shuffle(members)
        pair["img_set"]["members"] = members
        pairs.append(pair)
    write_json(folder / "captions" / "cap.rc2.val.json", pairs)
    write_json(folder / "image_splits" / "split.rc2.val.json", {n: f"./{n}.png" for n in names})
    return folder


def write_random_fashioniq(folder: Path) -> Path:
    """Twenty to forty queries per category, in galleries of seventy images."""
    chance = random.Random(3)
    for count, category in zip((20, 30, 40), fashioniq.CATEGORIES, strict=True):
        names = [f"{category[0]}{i}" for i in range(70)]
        pairs = [chance.sample(names, 2) for _ in range(count)]
        entries = [{"candidate": c, "target": t, "captions": ["is red"]} for c, t in pairs]
        write_json(folder / "captions" / f"cap.{category}.val.json", entries)
        write_json(folder / "image_splits" / f"split.{category}.val.json", names)
    return folder


@pytest.mark.parametrize("published", [False, True], ids=["random", "published"])
def test_cirr_agrees_with_counting(published: bool, tmp_path: Path) -> None:
    folder = at_hand("cirr") if published else write_random_cirr(tmp_path)
    benchmark = cirr.read(folder, "val")
    benchmark = replace(benchmark, queries=benchmark.queries[:400])
    queries = list(benchmark.queries)
    names = names_in(folder / "image_splits" / "split.rc2.val.json")
    scores = similarities(names, queries)
    figures = means(benchmark, score(benchmark, rankings(names, queries, scores)))
    whole = [i for i, query in enumerate(queries) if not query.among]
    subset = [i for i, query in enumerate(queries) if query.among]
    for label, chosen in (("recall", whole), ("recall_subset", subset)):
        asked = [queries[i] for i in chosen]
        for k in (1, 5, 10, 50) if label == "recall" else (1, 2, 3):
            expected = recall_by_counting(names, asked, scores[chosen], k)
            assert figures[f"{label}@{k}"] == pytest.approx(expected)
    assert 0 < figures["recall_subset@1"] < figures["recall_subset@3"] < 1
    assert 0 < figures["recall@10"] < figures["recall@50"] <= 1


@pytest.mark.parametrize("published", [False, True], ids=["random", "published"])
def test_fashioniq_agrees_with_counting(published: bool, tmp_path: Path) -> None:
    folder = at_hand("fashioniq") if published else write_random_fashioniq(tmp_path)
    benchmark = fashioniq.read(folder, "val")
    benchmark = replace(benchmark, queries=benchmark.queries[:: 20 if published else 1])
    ranked: dict[str, list[str]] = {}
    expected: dict[str, float] = {}
    for category in fashioniq.CATEGORIES:
        queries = [query for query in benchmark.queries if category in query.kinds]
        names = names_in(folder / "image_splits" / f"split.{category}.val.json")
        scores = similarities(names, queries, noise=2.0)
        ranked |= rankings(names, queries, scores)
        for k in (10, 50):
            value = recall_by_counting(names, queries, scores, k)
            expected[f"{category} recall@{k}"] = value
    for k in (10, 50):
        values = [expected[f"{category} recall@{k}"] for category in fashioniq.CATEGORIES]
        expected[f"average recall@{k}"] = float(np.mean(values))
    figures = means(benchmark, score(benchmark, ranked))
    del figures["pooled recall@10"]
    assert figures == pytest.approx(expected)
    assert 0 < figures["average recall@10"] < figures["average recall@50"] <= 1


def made_up() -> Benchmark:
    """Two queries; one measure for both, one for the second only."""
    queries = (Query("1", "r", "is red", ("a",), ("colour",)), Query("2", "r", "is big", ("b",)))
    measures = (
        Measure("length", lambda _, ranked: float(len(ranked))),
        Measure("second", lambda query, _: 4.0 if query.query_id == "2" else None),
    )
    averages = {"both": ("length", "second")}
    return Benchmark("made-up", queries, measures, depth=3, headline="length", averages=averages)


def test_values_are_per_measure_and_query() -> None:
    values = score(made_up(), {"1": ["r", "a"], "2": []})
    assert values == {"length": {"1": 1.0, "2": 0.0}, "second": {"2": 4.0}}


def test_means_are_over_the_queries_a_measure_applies_to() -> None:
    values = score(made_up(), {"1": ["r", "a"], "2": []})
    assert means(made_up(), values) == {"length": 0.5, "second": 4.0, "both": 2.25}
    assert means(made_up(), values, kind="colour") == {"length": 1.0}
    assert means(made_up(), values, kind="texture") == {}


def test_without_measures_there_are_no_figures() -> None:
    benchmark = replace(made_up(), measures=(), averages={})
    assert score(benchmark, {"1": [], "2": []}) == {}
    assert means(benchmark, {}) == {}


@pytest.mark.parametrize(
    "ranked", [{"1": []}, {"1": [], "2": [], "3": []}, {"1": [], "2": ["r", "r"]}]
)
def test_rankings_of_other_queries_are_refused(ranked: dict[str, list[str]]) -> None:
    with pytest.raises(BenchmarkError, match="the predictions: "):
        score(made_up(), ranked)
