"""Typed queries: right by what they say, and in phrasings that nobody has seen."""

import random
import re
from collections.abc import Iterator

import pytest

from indexer.demo import language
from indexer.demo.scene import COLOURS, KINDS, PATTERNS, SETTINGS, Scene, sample_scenes
from indexer.demo.typed.edits import FAMILIES
from indexer.demo.typed.phrasebook import phrasebook
from indexer.demo.typed.queries import TypedQuery, compose_typed_queries
from indexer.demo.typed.target import lightness
from models.datasets.phrasings import PHRASINGS
from models.datasets.slips import mistyped

SCENES = {split: sample_scenes(1500, 3, split) for split in ("validation", "test")}
QUERIES = {
    split: compose_typed_queries(scenes, split, 3, 600)  # type: ignore[arg-type]
    for split, scenes in SCENES.items()
}


def bare(text: str) -> str:
    """A phrasing without what does not tell it from another: fields' names, case, marks."""
    return " ".join(re.sub(r"[^\w{}]+", " ", re.sub(r"\{\w+\}", "{}", text.lower())).split())


def test_no_phrasing_is_of_both_splits_or_was_trained_with() -> None:
    validation, test = (
        {bare(text) for text in phrasebook(name).all_texts()} for name in ("validation", "test")
    )
    trained = [text for texts in language._SEEN.values() for text in texts]
    trained += [
        text for part in ("training", "validation") for form in PHRASINGS[part].values()
        for text in form
    ]  # fmt: skip
    alone = {"{}", "{} {}", "{} please", "in {}"}  # values alone are no phrasing
    assert not (validation & test) - alone
    assert not (validation | test) & {bare(text) for text in trained} - alone
    assert set(phrasebook("validation").other_words()).isdisjoint(phrasebook("test").other_words())


@pytest.mark.parametrize("split", SCENES)
def test_other_words_are_not_the_gallerys_own(split: str) -> None:
    own = {*KINDS, *COLOURS, *PATTERNS, *SETTINGS}
    assert own.isdisjoint(phrasebook(split).other_words())


@pytest.mark.parametrize("split", SCENES)
def test_every_edit_of_every_family_is_asked_about_as_often(split: str) -> None:
    made = [(query.family, query.edit) for query in QUERIES[split]]
    assert set(made) == {(family, edit) for family, edits in FAMILIES.items() for edit in edits}
    counts = [sum(family == name for family, _ in made) for name in FAMILIES]
    assert max(counts) - min(counts) <= 1


def test_the_same_seed_makes_the_same_and_training_has_none() -> None:
    again = compose_typed_queries(SCENES["test"], "test", 3, 600)
    assert again == QUERIES["test"]
    assert compose_typed_queries(SCENES["test"], "train", 3, 600) == []


@pytest.mark.parametrize("split", SCENES)
def test_every_right_answer_is_listed_and_nothing_else(split: str) -> None:
    for query in QUERIES[split][::3]:
        fitting = [
            number
            for number, scene in enumerate(SCENES[split])
            if number != query.reference and query.target.fits(scene)
        ]
        assert query.answers == fitting
        assert query.answers


def pairs(family: str, *edits: str) -> Iterator[tuple[TypedQuery, Scene, Scene]]:
    """Query, reference and each right answer, of both splits."""
    for split, queries in QUERIES.items():
        scenes = SCENES[split]
        for query in queries:
            if query.family == family and query.edit in edits:
                for answer in query.answers:
                    yield query, scenes[query.reference], scenes[answer]


@pytest.mark.parametrize("facet", ["colour", "pattern", "kind"])
def test_own_words_ask_for_the_value_they_name_and_keep_the_rest(facet: str) -> None:
    for query, reference, answer in pairs("own words", facet):
        (before,), (after,) = reference.items, answer.items
        changed = [
            f for f in ("kind", "colour", "pattern") if getattr(before, f) != getattr(after, f)
        ]
        assert changed == [facet]
        assert getattr(after, facet) in query.text


def test_settings_are_asked_for_by_name_and_things_stay() -> None:
    for query, reference, answer in pairs("own words", "setting"):
        assert answer.items == reference.items
        assert answer.setting in query.text


def test_what_is_refused_is_not_right() -> None:
    for query, reference, answer in pairs("negation", "colour", "two"):
        assert reference.items[0].colour in query.text
        assert answer.items[0].colour not in re.findall(r"\w+", query.text)
        assert answer.items[0].kind == reference.items[0].kind
        assert answer.items[0].pattern == reference.items[0].pattern
    for _, reference, answer in pairs("negation", "pattern"):
        assert answer.items[0].pattern != reference.items[0].pattern
    for query, reference, answer in pairs("negation", "contrast", "correction"):
        assert answer.items[0].colour in query.text
        assert answer.items[0].colour != reference.items[0].colour
    for _, reference, answer in pairs("negation", "setting"):
        assert answer.setting != reference.setting


def test_of_two_things_only_the_one_that_is_named_changes() -> None:
    for query, reference, answer in pairs("several things", "colour", "pattern"):
        ((before, after),) = [
            (a, b) for a in reference.items for b in answer.items if a.kind == b.kind and a != b
        ]
        assert before.kind in query.text
        assert after.colour in query.text or after.pattern in query.text
    for query, reference, answer in pairs("several things", "remove"):
        (kept,) = answer.items
        assert kept in reference.items
        gone = next(item for item in reference.items if item != kept)
        assert kept.kind in query.text or gone.kind in query.text
    for query, reference, answer in pairs("several things", "replace"):
        (new,) = [item for item in answer.items if item not in reference.items]
        assert new.kind in query.text
        assert len(set(answer.items) & set(reference.items)) == 1
    for _, reference, answer in pairs("several things", "swap"):
        assert answer.items == reference.items[::-1]
    for query, _, answer in pairs("several things", "both"):
        assert {item.colour for item in answer.items} <= set(re.findall(r"\w+", query.text))
    for query, reference, answer in pairs("several things", "add", "add item"):
        (new,) = [item for item in answer.items if item not in reference.items]
        assert new.kind in query.text


def test_prices_and_shades_are_compared_and_all_else_stays() -> None:
    for _, reference, answer in pairs("comparison", "cheaper"):
        assert answer.items == reference.items
        assert answer.price < reference.price
    for _, reference, answer in pairs("comparison", "dearer"):
        assert answer.items == reference.items
        assert answer.price > reference.price
    for query, reference, answer in pairs("comparison", "below", "at most"):
        limit = int(re.findall(r"\d+", query.text)[0])
        assert answer.items == reference.items
        assert answer.price < limit if query.edit == "below" else answer.price <= limit
    for sign, edit in ((1, "lighter"), (-1, "darker")):
        for _, reference, answer in pairs("comparison", edit):
            here, there = lightness(reference.items[0].colour), lightness(answer.items[0].colour)
            assert sign * (there - here) > 0
    for _, reference, answer in pairs("comparison", "one more"):
        assert len(answer.items) == 2
        assert reference.items[0] in answer.items


def test_only_sizes_cannot_be_answered() -> None:
    for queries in QUERIES.values():
        assert {q.edit for q in queries if q.unanswerable} == {"size"}
        assert all(q.unanswerable for q in queries if q.edit == "size")


def test_slips_change_a_word_or_two_and_nothing_else() -> None:
    text, rng = "please show the striped one in a room", random.Random(1)
    for _ in range(200):
        slipped = mistyped(text, rng)
        changed = [b for a, b in zip(text.split(), slipped.split(), strict=True) if a != b]
        assert 1 <= len(changed) <= 2
        assert not {"in", "a", "the", "one"} - set(slipped.split())


@pytest.mark.parametrize(
    ("colour", "expected"), [("black", 12), ("red", 46), ("blue", 45), ("white", 98)]
)
def test_lightness_is_cielabs(colour: str, expected: float) -> None:
    assert lightness(colour) == pytest.approx(expected, abs=1.5)
