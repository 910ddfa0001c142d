"""Conditions on numbers, as people type them, and what they are on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts.filter import NumberRange, are_met, both, narrowed
from models.contracts.gallery import Facet
from models.query.text.conditions import Conditions, read_conditions
from tests.models.query.text.schemas import OBJECTS

GOODS = (
    Facet(name="price", kind="number"),
    Facet(name="weight_kg", kind="number"),
    Facet(name="width", kind="number"),
)
HAS = {"price": 100, "weight_kg": 3}


def read(text: str) -> Conditions:
    return read_conditions(text, GOODS, HAS)


@pytest.mark.parametrize(
    ("text", "facet", "bounds"),
    [
        ("under 50", "price", {"lt": 50}),
        ("at most 80 €", "price", {"lte": 80}),
        ("$1,500 or less", "price", {"lte": 1500}),
        ("between 20 and 40", "price", {"gte": 20, "lte": 40}),
        ("20–40 euros", "price", {"gte": 20, "lte": 40}),
        ("with a price of at most 19.99, please", "price", {"lte": 19.99}),
        ("unter 50 Euro", "price", {"lt": 50}),
        ("entre 20 et 40 euros", "price", {"gte": 20, "lte": 40}),
        ("más de 1.500 €", "price", {"gt": 1500}),
        ("no more than 5kg", "weight_kg", {"lte": 5}),
        ("width of at least 80 cm", "width", {"gte": 80}),
        ("cheaper than 40", "price", {"lt": 40}),
        ("cheaper", "price", {"lt": 100}),
        ("too cheap", "price", {"gt": 100}),
        ("a lower weight", "weight_kg", {"lt": 3}),
    ],
)
def test_a_condition_is_on_what_it_names_or_can_only_be(
    text: str, facet: str, bounds: dict[str, float]
) -> None:
    found = read(text)
    assert {name: each.model_dump() for name, each in found.ranges.items()} == {facet: bounds}
    assert found.not_understood == ()


def test_what_a_condition_was_read_from_says_nothing_else() -> None:
    rest = read("a blue sofa under 50 €, not over 2 kg, on the beach").rest
    assert rest.split() == ["a", "blue", "sofa", ",", ",", "on", "the", "beach"]
    assert len(rest) == len("a blue sofa under 50 €, not over 2 kg, on the beach")
    assert read("under the night sky").rest == "under the night sky"


@pytest.mark.parametrize("text", ["for 50 euros", "less than 30 mm", "at least " + "9" * 400])
def test_a_condition_on_nothing_is_not_understood(text: str) -> None:
    found = read(text)
    assert not found.ranges
    assert [text[start:end] for start, end in found.not_understood] == [text]


def test_cheaper_is_not_understood_where_no_price_is_known() -> None:
    for facets, has in ((GOODS, {}), (OBJECTS[:3], HAS)):
        found = read_conditions("red and cheaper", facets, has)
        assert (found.ranges, found.not_understood) == ({}, ((8, 15),))


def test_cheaper_and_dearer_are_compared_with_the_reference() -> None:
    cheaper, dearer = read("cheaper").ranges, read("more expensive").ranges
    for price, is_cheaper in ((99, True), (100, False), (101, False)):
        assert are_met(cheaper, {"price": price}) == is_cheaper
    assert are_met(dearer, {"price": 101})
    assert not are_met(dearer, {"price": 100})
    assert are_met(cheaper, {}), "what is missing contradicts nothing"


def test_several_conditions_on_one_attribute_hold_together() -> None:
    assert read("at least 20 and at most 40").ranges["price"] == NumberRange(gte=20, lte=40)


def test_conditions_and_a_filter_hold_together() -> None:
    wanted = {"price": NumberRange(lt=50)}
    assert narrowed(None, {}) is None
    assert narrowed({"colour": "red"}, wanted) == {"colour": "red", **wanted}
    assert narrowed({"price": 30}, wanted) == {"price": NumberRange(gte=30, lte=30, lt=50)}
    assert narrowed({"price": NumberRange(gt=9, lt=80)}, wanted) == {
        "price": NumberRange(gt=9, lt=50)
    }
    assert narrowed({"price": "dear"}, wanted) == {"price": "dear"}, "for the gallery to refuse"


BOUNDS = st.none() | st.integers(-5, 5)
RANGES = st.tuples(BOUNDS, BOUNDS, BOUNDS, BOUNDS).map(
    lambda bounds: NumberRange(**dict(zip(("gte", "gt", "lte", "lt"), bounds, strict=True)))
)


@given(RANGES, RANGES, st.integers(-6, 6))
def test_what_lies_within_both_lies_within_each(
    one: NumberRange, other: NumberRange, number: int
) -> None:
    assert both(one, other).holds(number) == (one.holds(number) and other.holds(number))


@given(st.text(alphabet=st.sampled_from("under between and 0159.,€$-kg%'’\u00a0 ²٥"), max_size=60))
def test_any_text_is_read(text: str) -> None:
    found = read(text)
    assert len(found.rest) == len(text)
    assert all(0 <= start < end <= len(text) for start, end in found.not_understood)
