"""Typed queries of any catalogue's own attributes: right by what they say."""

import random
import re
from collections.abc import Iterator, Mapping

import pytest

from indexer.evaluation.benchmarks.attribute_families import _texts
from indexer.evaluation.benchmarks.attributes import make
from indexer.evaluation.types import Query
from models.contracts.gallery import AttributeValue
from models.datasets.phrasings import PHRASINGS
from models.datasets.schema import schema_of

Known = Mapping[str, AttributeValue]


def houses() -> list[tuple[str, dict[str, AttributeValue]]]:
    rng = random.Random(1)
    return [
        (
            f"house-{number:03d}",
            {
                "category": rng.choice(["cottage", "villa", "cabin"]),
                "material": rng.choice(["brick", "timber", "stone", "concrete"]),
                "garden": rng.choice(["lawn", "orchard"]),
                "rooms": rng.randrange(2, 9),
            },
        )
        for number in range(160)
    ]


HOUSES = dict(houses())


def queries(split: str, synonyms: bool = False) -> list[Query]:
    facets, noun = schema_of(list(HOUSES.values()), {"garden"}, None)
    if synonyms:
        facets = tuple(
            facet.model_copy(update={"synonyms": {"timber": ("wooden", "boards")}})
            if facet.name == "material"
            else facet
            for facet in facets
        )
    images: list[tuple[str, Known]] = list(HOUSES.items())
    made = make(images, facets, noun, count=60, seed=0, split=split, typed=240)  # type: ignore[arg-type]
    return [query for query in made.queries if query.family != "templates"]


MADE = {split: queries(split) for split in ("validation", "test")}


def answers(family: str, *edits: str) -> Iterator[tuple[Query, Known, Known]]:
    """Query, what the reference is, and what each right answer is."""
    for query in (query for made in MADE.values() for query in made):
        edit = query.kinds[0].partition(": ")[2].split()[0]
        if query.family == family and (not edits or edit in edits):
            for image in query.relevant_ids:
                assert image != query.reference_id
                yield query, HOUSES[query.reference_id], HOUSES[image]


def changed(before: Known, after: Known) -> set[str]:
    return {facet for facet in ("category", "material") if before[facet] != after[facet]}


@pytest.mark.parametrize("split", MADE)
def test_every_family_has_its_share_and_seeds_repeat(split: str) -> None:
    families = [query.family for query in MADE[split]]
    assert {family: families.count(family) for family in families} == dict.fromkeys(
        ("own words", "typos", "negation", "several values", "comparison"), 48
    )
    assert queries(split) == MADE[split]
    assert len({query.query_id for query in MADE[split]}) == 240


def test_the_splits_share_neither_references_nor_phrasings() -> None:
    references = [{query.reference_id for query in made} for made in MADE.values()]
    assert references[0].isdisjoint(references[1])

    def bare(text: str) -> str:
        return " ".join(re.sub(r"[^\w{}]+", " ", text.lower()).split())

    validation, test = (
        {
            bare(text)
            for forms in _texts()[split].values()
            for texts in forms.values()
            for text in texts
        }
        for split in ("validation", "test")
    )
    trained = {
        bare(text) for part in ("training", "validation") for texts in PHRASINGS[part].values()
        for text in texts
    }  # fmt: skip
    assert validation.isdisjoint(test)
    assert (validation | test).isdisjoint(trained)


def test_own_words_change_the_facet_whose_value_they_name() -> None:
    for query, before, after in answers("own words"):
        edit = query.kinds[0].rpartition(" ")[2]
        assert str(after[edit]) in query.text
        assert after[edit] != before[edit]
        assert changed(before, after) <= {edit}


def test_typos_change_one_facet_and_are_no_own_words() -> None:
    for query, before, after in answers("typos"):
        edit = query.kinds[0].rpartition(" ")[2]
        assert after[edit] != before[edit]
        assert changed(before, after) <= {edit}


def test_refused_values_are_not_right() -> None:
    for query, before, after in answers("negation", "refused", "two"):
        edit = query.kinds[0].rpartition(" ")[2]
        assert str(before[edit]) in query.text
        assert str(after[edit]) not in query.text
        assert changed(before, after) == {edit}
    for query, before, after in answers("negation", "contrast"):
        (edit,) = changed(before, after)
        assert str(before[edit]) in query.text
        assert str(after[edit]) in query.text


def test_several_values_are_a_choice_or_belong_together() -> None:
    for query, before, after in answers("several values", "either"):
        (edit,) = changed(before, after)
        assert str(after[edit]) in query.text
        assert str(before[edit]) not in query.text
    both = [query for made in MADE.values() for query in made if ": both" in query.kinds[0]]
    assert not both, "there is one facet that describes a house"


def test_numbers_are_compared_and_the_house_stays() -> None:
    for query, before, after in answers("comparison"):
        assert not changed(before, after)
        here, there = before["rooms"], after["rooms"]
        assert isinstance(here, int)
        assert isinstance(there, int)
        edit = query.kinds[0].partition(": ")[2].split()[0]
        bound = float((re.findall(r"\d+(?:\.\d+)?", query.text) or [here])[0])
        assert there < bound if edit in ("lower", "below") else there > bound
        assert "rooms" in query.text


def test_a_catalogues_own_synonyms_are_asked_with() -> None:
    reworded = [query for query in queries("test", synonyms=True) if query.family == "reworded"]
    assert reworded
    for query in reworded:
        assert re.search("wooden|boards", query.text)
        assert {HOUSES[image]["material"] for image in query.relevant_ids} == {"timber"}
