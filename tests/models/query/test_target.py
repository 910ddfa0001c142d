"""What a text does with what the reference shows: the allowed values, and what contradicts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts.gallery import Facet
from models.query.target import Target, alternatives
from models.query.target_editing import find_target
from models.query.text.grammar import read_instructions
from models.query.text.linking import Linker
from models.query.text.sentence_encoder import sentence_encoder
from tests.models.query.text.schemas import OBJECTS

LINKER = Linker(OBJECTS, "category", sentence_encoder())
COLOURS = OBJECTS[0].values
PATTERNS = OBJECTS[1].values
ONE = {"category": "sofa", "colour": "red", "pattern": "striped", "setting": "snow"}
TWO = [
    {"category": "hat", "colour": "red", "pattern": "plain"},
    {"category": "shoe", "colour": "blue", "pattern": "dotted"},
]


def target_of(text: str, *things: dict[str, str]) -> Target:
    instructions = read_instructions(text, LINKER)
    return find_target(instructions, things or [ONE], OBJECTS, LINKER)


def but(values: tuple[str, ...], *refused: str) -> tuple[str, ...]:
    return tuple(value for value in values if value not in refused)


@pytest.mark.parametrize(
    ("text", "colour", "pattern", "category"),
    [
        ("the same but blue", ("blue",), ("striped",), ("sofa",)),
        ("blue or green", ("blue", "green"), ("striped",), ("sofa",)),
        ("not red", but(COLOURS, "red"), ("striped",), ("sofa",)),
        ("anything but red", but(COLOURS, "red"), ("striped",), ("sofa",)),
        ("red is ugly", but(COLOURS, "red"), ("striped",), ("sofa",)),
        ("neither red nor pink", but(COLOURS, "red", "pink"), ("striped",), ("sofa",)),
        ("not red, white or grey", but(COLOURS, "red", "white", "grey"), ("striped",), ("sofa",)),
        ("not red, blue", ("blue",), ("striped",), ("sofa",)),
        ("red? no, blue", ("blue",), ("striped",), ("sofa",)),
        ("another pattern", ("red",), but(PATTERNS, "striped"), ("sofa",)),
        ("blue instead of red, and dotted", ("blue",), ("dotted",), ("sofa",)),
        ("a lamp instead", ("red",), ("striped",), ("lamp",)),
        ("nicht rot, sondern blau", ("blue",), ("striped",), ("sofa",)),
        ("pas rouge mais bleu", ("blue",), ("striped",), ("sofa",)),
        ("no rojo sino azul", ("blue",), ("striped",), ("sofa",)),
        ("a neutral colour", ("white", "black", "grey"), ("striped",), ("sofa",)),
    ],
)
def test_one_thing(
    text: str, colour: tuple[str, ...], pattern: tuple[str, ...], category: tuple[str, ...]
) -> None:
    (item,) = target_of(text).items
    assert item.allowed == {"colour": colour, "pattern": pattern, "category": category}


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("without the hat", [("shoe", "blue")]),
        ("the hat has to go", [("shoe", "blue")]),
        ("only the hat, please", [("hat", "red")]),
        ("show the shoe by itself", [("shoe", "blue")]),
        ("make the hat green", [("hat", "green"), ("shoe", "blue")]),
        ("the blue one in green", [("hat", "red"), ("shoe", "green")]),
        ("delete the left one", [("shoe", "blue")]),
        ("replace the hat with a lamp", [("lamp", None), ("shoe", "blue")]),
        ("a lamp where the hat is", [("lamp", None), ("shoe", "blue")]),
        ("swap the shoe for a green mug", [("hat", "red"), ("mug", "green")]),
        ("swap their positions", [("shoe", "blue"), ("hat", "red")]),
        ("the shoe to the left of the hat", [("shoe", "blue"), ("hat", "red")]),
    ],
)
def test_two_things(text: str, things: list[tuple[str, str | None]]) -> None:
    found = [
        (item.allowed["category"][0], item.allowed.get("colour", (None,))[0])
        for item in target_of(text, *TWO).items
    ]
    assert found == things


def test_something_is_added() -> None:
    sofa, lamp = target_of("add a blue lamp").items
    assert (sofa.allowed["category"], lamp.allowed) == (
        ("sofa",),
        {"category": ("lamp",), "colour": ("blue",)},
    )


def test_a_place_is_open_unless_it_is_named() -> None:
    assert target_of("in blue").context == {}
    assert target_of("on the beach").context == {"setting": ("beach",)}
    assert target_of("anywhere but in the snow").context == {"setting": ("beach", "night", "room")}


ONE_OF_EACH = (
    Facet(name="category", kind="keyword", values=("sofa",), multi_valued=True),
    Facet(name="colour", kind="keyword", values=("red",)),
    Facet(name="setting", kind="keyword", values=("snow",), context=True),
)


@pytest.mark.parametrize(
    "text",
    ["not in the snow", "not red", "without the sofa", "two things", "somewhere else",
     "another colour", "neither red nor in the snow"],
)  # fmt: skip
def test_where_all_is_refused_something_is_searched_for_all_the_same(text: str) -> None:
    linker = Linker(ONE_OF_EACH, "category", None)
    shown = {"category": "sofa", "colour": "red", "setting": "snow"}
    found = find_target(read_instructions(text, linker), [shown], ONE_OF_EACH, linker)
    assert alternatives(found)


def test_attributes_contradict_or_do_not() -> None:
    target = target_of("the same but blue")
    right = {"category": "sofa", "colour": "blue", "pattern": "striped"}
    assert not target.is_contradicted_by(right)
    assert not target.is_contradicted_by({"category": "sofa"}), "what is missing says nothing"
    assert not target.is_contradicted_by({})
    assert target.is_contradicted_by(right | {"colour": "red"})
    assert target.is_contradicted_by(right | {"category": ["sofa", "lamp"]})


VALUES = st.sampled_from(COLOURS)


@given(VALUES, st.sampled_from(["not {}", "anything but {}", "{} is ugly", "no {}", "sin {}"]))
def test_a_refused_value_is_never_allowed(value: str, template: str) -> None:
    (item,) = target_of(template.format(value)).items
    assert value not in item.allowed["colour"]


@given(st.sampled_from(["{}", "not {}", "make it {}", "{} instead of red"]), VALUES)
def test_a_please_changes_nothing(template: str, value: str) -> None:
    text = template.format(value)
    assert target_of(f"{text} please") == target_of(text) == target_of(f"please {text}")


@given(VALUES, st.sampled_from(PATTERNS))
def test_the_order_of_what_and_joins_changes_nothing(colour: str, pattern: str) -> None:
    one, other = target_of(f"{colour} and {pattern}"), target_of(f"{pattern} and {colour}")
    assert one.items == other.items


@given(st.text(max_size=500))
def test_any_text_is_read_and_what_is_not_understood_stands_in_it(text: str) -> None:
    for token in read_instructions(text, LINKER).not_understood:
        assert 0 <= token.start < token.end <= len(text)
    assert target_of(text).items
