"""Queries made of attributes: right by construction, reproducible, and refused when too sparse."""

import hashlib
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.evaluation.benchmarks.attributes import make
from indexer.evaluation.types import Benchmark, BenchmarkError
from models.datasets.schema import schema_of

Images = list[tuple[str, Mapping[str, object]]]

SOFAS: Images = [
    (f"{colour}-{kind}-{place}-{copy}", {"category": kind, "colour": colour, "place": place})
    for colour in ("red", "blue", "green")
    for kind in ("sofa", "mug", "hat")
    for place in ("snow", "beach")
    for copy in range(2)
]


def made(images: Images, count: int = 300, seed: int = 0, split: str = "test") -> Benchmark:
    attributes = [dict(a) for _, a in images]
    named = {name for each in attributes for name in each}
    facets, noun = schema_of(attributes, {"place"} & named, None)  # type: ignore[arg-type]
    return make(images, facets, noun, count=count, seed=seed, split=split)  # type: ignore[arg-type]


def test_right_are_all_images_with_the_attributes_that_follow() -> None:
    known = dict(SOFAS)
    for query in made(SOFAS).queries:
        reference, (kind,) = known[query.reference_id], query.kinds
        negated = kind.startswith("not this")
        changed = kind.removeprefix("change ").removeprefix("not this ").split(" and ")
        kept = [name for name in ("category", "colour") if name not in changed]
        wanted = known[query.relevant_ids[0]]
        expected = {
            image_id
            for image_id, found in known.items()
            if image_id != query.reference_id
            and all(found[name] == reference[name] for name in kept)
            and all(
                found[name] != reference[name] if negated else found[name] == wanted[name]
                for name in changed
            )
        }
        assert set(query.relevant_ids) == expected
        said = reference if negated else wanted
        assert all(str(said[name]) in query.text for name in changed)
        assert all(wanted[name] != reference[name] for name in changed)


def test_every_kind_of_change_has_its_share() -> None:
    kinds = [query.kinds[0] for query in made(SOFAS, count=30).queries]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "change category": 6, "change colour": 6, "change place": 6,
        "not this category": 6, "not this colour": 6,
    }  # fmt: skip


def test_the_same_seed_makes_the_same_and_splits_share_no_reference() -> None:
    assert made(SOFAS).queries == made(SOFAS[::-1]).queries
    assert made(SOFAS).queries != made(SOFAS, seed=1).queries
    references = [
        {query.reference_id for query in made(SOFAS, split=split).queries}
        for split in ("validation", "test")
    ]
    assert references[0]
    assert references[0].isdisjoint(references[1])


@pytest.mark.parametrize(
    ("split", "seed", "digest"),
    [
        ("test", 0, "f1b95f92174520f31cacbababe51c9c9d5d8c76a6bed4ecaf100d013b3aa84b6"),
        ("test", 3, "4ced0588fa40370218ae72d03e3357509b0ff479b300c16166be2cd3069c5641"),
        ("validation", 0, "82c8daf1f4d0827aa02154551f9b82cad900c944286dad10d274b03fc9727e5b"),
    ],
)
def test_the_queries_of_a_seed_stay_as_they_are(split: str, seed: int, digest: str) -> None:
    """Or figures of one version of the program could not be compared with those of another."""
    queries = [
        [q.query_id, q.reference_id, q.text, [*q.relevant_ids], [*q.kinds]]
        for q in made(SOFAS, seed=seed, split=split).queries
    ]
    assert hashlib.sha256(json.dumps(queries).encode()).hexdigest() == digest


def test_images_of_several_things_are_neither_asked_about_nor_right() -> None:
    both = [(f"both-{i}", {"category": ["sofa", "mug"], "colour": ["red"]}) for i in range(9)]
    queries = made([*SOFAS, *both]).queries
    spoken_of = {i for query in queries for i in (query.reference_id, *query.relevant_ids)}
    assert not any(image_id.startswith("both") for image_id in spoken_of)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([(str(i), {}) for i in range(50)], "no attributes"),
        ([(str(i), {"price": i}) for i in range(50)], "no attributes"),
        ([(str(i), {"sku": f"unique {i}", "name": f"n{i}"}) for i in range(50)], "too sparse"),
        ([(str(i), {"category": "sofa"}) for i in range(50)], "too sparse"),
    ],
)
def test_too_little_is_refused_in_a_sentence(images: Images, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words):
        made(images)


values = st.sampled_from(["a", "b", "c"])
attributes = st.fixed_dictionaries(
    {"category": values}, optional={"colour": values | st.lists(values, max_size=2), "size": values}
)


@given(st.lists(attributes, max_size=80))
def test_whatever_the_attributes_queries_have_answers_or_there_are_none(
    rows: list[dict[str, object]],
) -> None:
    images: Images = [(f"image-{i}", row) for i, row in enumerate(rows)]
    try:
        benchmark = made(images)
    except BenchmarkError:
        return
    for query in benchmark.queries:
        assert query.relevant_ids
        assert query.reference_id not in query.relevant_ids
        assert 0 < len(query.text) <= 500
    assert len({query.query_id for query in benchmark.queries}) == len(benchmark.queries)
