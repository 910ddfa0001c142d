"""Which words of a text name which values, for galleries of any schema."""

from collections.abc import Sequence

import pytest

from models.contracts.gallery import Facet
from models.query.text.lexicon import lexicon_of
from models.query.text.linking import Linker
from models.query.text.sentence_encoder import sentence_encoder
from models.query.text.tokens import tokenize
from tests.models.query.text.schemas import ANIMALS, FASHION, OBJECTS

LINKERS = {
    "category": Linker(OBJECTS, "category", sentence_encoder()),
    "type": Linker(FASHION, "type", sentence_encoder()),
    "animal": Linker(ANIMALS, "animal", sentence_encoder()),
}


def linked(text: str, noun: str) -> list[tuple[str, str]]:
    tokens = tokenize(text)
    links = LINKERS[noun].link(tokens, lexicon_of(tokens), frozenset())
    return [(link.value, link.how) for link in links]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("more stripes", [("striped", "word")]),
        ("polka dots please", [("dotted", "synonym")]),
        ("a tartan one", [("checked", "synonym")]),
        ("without any pattern", [("plain", "synonym")]),
        ("a strped soffa", [("striped", "spelling"), ("sofa", "spelling")]),
        ("in maroon", [("red", "colour")]),
        ("in steel grey", [("grey", "colour")]),
        ("navy blue", [("blue", "colour")]),
        ("a couch", [("sofa", "synonym")]),
        ("at the seaside", [("beach", "synonym")]),
        ("ein rotes Modell", [("red", "synonym")]),
        ("une version verte", [("green", "synonym")]),
        ("gepunktet bitte", [("dotted", "synonym")]),
    ],
)
def test_words_for_values(text: str, expected: list[tuple[str, str]]) -> None:
    assert linked(text, "category") == expected


@pytest.mark.parametrize(
    ("text", "noun", "value"),
    [
        ("in jeans fabric", "type", "denim"),
        ("warm woollen", "type", "wool"),
        ("a blazer", "type", "jacket"),
        ("with a shawl", "type", "scarf"),
        ("dark red wine coloured, burgundy", "type", "burgundy"),
        ("a puppy", "animal", "dog"),
        ("a kitten", "animal", "cat"),
        ("asleep", "animal", "sleeping"),
        ("un caballo", "animal", "horse"),
        ("un oiseau", "animal", "bird"),
    ],
)
def test_the_same_holds_for_other_catalogues(text: str, noun: str, value: str) -> None:
    assert value in [found for found, _ in linked(text, noun)]


@pytest.mark.parametrize("noun", LINKERS)
@pytest.mark.parametrize(
    "text",
    [
        "hi there, could you please show me something else",
        "thank you so much, that would be lovely",
        "ich hätte gerne etwas anderes, danke",
        "je voudrais autre chose s'il vous plaît",
        "me gustaría ver otra cosa, gracias",
        "asdf qwer zxcv",
    ],
)
def test_what_is_said_around_names_nothing(text: str, noun: str) -> None:
    assert linked(text, noun) == []


@pytest.mark.parametrize("facets", [OBJECTS, FASHION, ANIMALS])
def test_without_a_sentence_encoder_names_are_still_found(facets: Sequence[Facet]) -> None:
    linker = Linker(facets, facets[0].name, None)
    for facet in facets:
        for value in facet.values:
            tokens = tokenize(f"the same, {value}")
            links = linker.link(tokens, lexicon_of(tokens), frozenset())
            assert (facet.name, value) in [(link.facet, link.value) for link in links]


def test_what_is_not_tried_leaves_its_words_to_what_comes_after() -> None:
    tokens = tokenize("a couch, strped")
    without = Linker(OBJECTS, "category", sentence_encoder(), frozenset(["synonym", "spelling"]))
    links = without.link(tokens, lexicon_of(tokens), frozenset())
    assert ("sofa", "meaning") in [(link.value, link.how) for link in links]
    assert {link.how for link in links} == {"meaning"}
    assert without.mend("plaese", lexicon_of(tokens)) == "plaese"
