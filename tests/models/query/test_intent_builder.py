"""Intents without an LLM: which words are found, what becomes of them, what the query is."""

import sys
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts.gallery import Facet, GallerySpec
from models.contracts.intent import ComposedIntent, Intent
from models.encoder.types import Embedding, Embeddings
from models.query.composition import Composer
from models.query.facet_linking import link_facets
from models.query.text_requests import answer
from models.query.weights import CompositionMode, CompositionWeights

FACETS = (
    Facet(name="colour", kind="keyword", values=("red", "blue", "green")),
    Facet(name="pattern", kind="keyword", values=("plain", "striped", "dotted")),
    Facet(name="category", kind="keyword", values=("sofa", "lamp", "mug"), multi_valued=True),
    Facet(name="setting", kind="keyword", values=("snow", "beach"), context=True),
    Facet(name="price", kind="number"),
)
DIM = 256


def word_pairs(texts: Sequence[str]) -> Embeddings:
    """A stand-in encoder that can be checked by eye: words, and which word follows which."""
    rows = np.full((len(texts), DIM), 0.01, np.float32)
    for row, text in zip(rows, texts, strict=True):
        words = [word for word in text.split() if word not in ("a", "and")]
        for feature in [*words, *(f"{first} {second}" for first, second in pairwise(words))]:
            row[zlib.crc32(feature.encode()) % DIM] += 1
    unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def composer(facets: tuple[Facet, ...] = FACETS, noun: str | None = "category") -> Composer:
    spec = GallerySpec(
        encoder_fingerprint="pairs", embedding_dim=DIM, facets=facets, noun_facet=noun,
        preset="pairs", rerank_px=448, thumbnail_px=256, built_at="now",
    )  # fmt: skip
    return Composer(spec, CompositionWeights())


def intent_of(
    made: Composer, image: np.ndarray, text: str, intent: Intent | None = None
) -> ComposedIntent:
    return answer(made.intent(image, text, intent), word_pairs)


def embedded(
    made: Composer,
    mode: CompositionMode,
    image: np.ndarray,
    text: str,
    intent: ComposedIntent | None = None,
) -> np.ndarray:
    (row,) = answer(made.embed(mode, image, text, intent), word_pairs)[:1]
    return np.asarray(row)


def reference(caption: str) -> Embedding:
    row: Embedding = word_pairs([caption])[0]
    return row


def test_the_longest_value_wins() -> None:
    facets = [Facet(name="colour", kind="keyword", values=("blue", "light blue"))]
    assert [m.value for m in link_facets("make it light blue", facets)] == ["light blue"]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that are changed after every few steps, not after every few milliseconds."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_words_are_found_by_many_threads_at_once() -> None:
    bases = ["".join(parts) for parts in product("bdfgkm", "aeiou", ("lm", "rk", "nt"), "aou")]
    values = [f"{base}{ending}" for base in bases for ending in ("tional", "ness", "ities")]

    def found(value: str) -> list[str]:
        facets = [Facet(name="style", kind="keyword", values=(value,))]
        return [mention.value for mention in link_facets(f"make it {value}, please", facets)]

    with ThreadPoolExecutor(8) as threads:
        at_once = list(threads.map(found, values))
    assert at_once == [[value] for value in values]
    assert [found(value) for value in values] == at_once  # and what is remembered is right


def test_what_changes_what_stays_and_what_is_dropped() -> None:
    intent = intent_of(composer(), reference("a red striped sofa snow"), "the same but blue")
    assert intent.target == "a blue striped sofa"
    assert set(intent.preserve) == {"striped", "sofa"}
    assert intent.desired == ("blue",)
    assert intent.forbidden == ("red",)
    assert intent.source == "facets"
    assert "snow" not in intent.model_dump_json()


@pytest.mark.parametrize(
    ("image", "text", "target"),
    [
        ("a red striped sofa", "replace the sofa with a lamp", "a red striped lamp"),
        ("a red striped sofa", "put it on the beach", "a red striped sofa on the beach"),
        ("a red striped sofa", "make it green and dotted", "a green dotted sofa"),
        ("a red striped sofa", "add a green mug on the left",
         "a green mug to the left of a red striped sofa"),
        ("a red striped sofa and a blue dotted lamp", "make the lamp green",
         "a red striped sofa and a green dotted lamp"),
        ("a red striped sofa and a blue dotted lamp", "without the lamp", "a red striped sofa"),
        ("a red striped sofa and a blue dotted lamp", "only the lamp", "a blue dotted lamp"),
    ],
)  # fmt: skip
def test_targets(image: str, text: str, target: str) -> None:
    got = intent_of(composer(), reference(image), text).target
    assert sorted(got.split()) == sorted(target.split())


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("just the lamp", "a blue dotted lamp"),
        ("Only the lamp, please!", "a blue dotted lamp"),
        ("I only want to see the lamp", "a blue dotted lamp"),
        ("a photo with the lamp only", "a blue dotted lamp"),
        ("just show me the lamp", "a blue dotted lamp"),
        ("only keep the lamp", "a blue dotted lamp"),
        ("just the lamp but in green", "a green dotted lamp"),
        ("just the lamp and make it green", "a green dotted lamp"),
        ("just the lamp on the beach", "a blue dotted lamp on the beach"),
    ],
)
def test_only_and_just_take_away_what_is_not_named_where_they_say_nothing_else(
    text: str, target: str
) -> None:
    intent = intent_of(composer(), reference("a red striped sofa and a blue dotted lamp"), text)
    assert sorted(intent.target.split()) == sorted(target.split())
    assert "a red striped sofa" in intent.forbidden


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("just make the lamp green", "a green dotted lamp"),
        ("only the lamp should be green", "a green dotted lamp"),
        ("I only want the lamp to be green", "a green dotted lamp"),
        ("leave the sofa, only the lamp should be green", "a green dotted lamp"),
        ("just change the lamp to green", "a green dotted lamp"),
        ("only make the lamp more elegant", "a blue dotted lamp"),
        ("this lamp, just in green", "a green dotted lamp"),
        ("the same, only the lamp a bit brighter", "dotted lamp"),
        ("just the sofa and the lamp", "a blue dotted lamp"),
        ("just remove the lamp", None),
    ],
)
def test_only_and_just_that_go_with_a_change_take_nothing_else_away(
    text: str, changed: str | None
) -> None:
    intent = intent_of(composer(), reference("a red striped sofa and a blue dotted lamp"), text)
    assert "a red striped sofa" in intent.target
    assert not any("sofa" in phrase for phrase in intent.forbidden)
    assert ("lamp" in intent.target) == (changed is not None)
    assert changed is None or changed in intent.target


def test_a_text_of_unknown_words_is_desired_as_it_stands() -> None:
    made = composer()
    image = reference("a red striped sofa")
    intent = intent_of(made, image, "more elegant")
    assert intent.target == "a red striped sofa"
    assert intent.preserve == ("a red striped sofa",)
    assert intent.desired == ("more elegant",)


def test_roles_of_the_client_are_taken_as_they_are() -> None:
    roles = Intent(target="a blue sofa", desired=("blue",))
    intent = intent_of(composer(), reference("a red striped sofa"), "whatever", roles)
    assert (intent.source, intent.target) == ("client", "a blue sofa")


def test_without_attributes_there_is_no_intent_and_the_query_is_the_union() -> None:
    made = composer(facets=(), noun=None)
    image = reference("a red striped sofa")
    intent = intent_of(made, image, "blue")
    assert intent.source == "none"
    np.testing.assert_array_equal(
        embedded(made, "intersection", image, "blue", intent),
        embedded(made, "union", image, "blue"),
    )


def test_baselines() -> None:
    made, image = composer(), reference("a red striped sofa")
    np.testing.assert_array_equal(embedded(made, "image", image, "blue"), image)
    np.testing.assert_allclose(embedded(made, "text", image, "blue"), reference("blue"), atol=1e-6)


def test_an_intersection_needs_an_intent() -> None:
    with pytest.raises(ValueError, match="needs an intent"):
        embedded(composer(), "intersection", reference("a red sofa"), "blue", None)


MADE = composer()


@given(st.text(min_size=1, max_size=200), st.sampled_from(["a red sofa", "a blue lamp and a mug"]))
def test_any_text_gives_an_intent_and_a_unit_query(text: str, image: str) -> None:
    intent = intent_of(MADE, reference(image), text)
    assert intent.target
    query = embedded(MADE, "intersection", reference(image), text, intent)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-3)


def test_a_large_vocabulary_is_cut_to_what_is_likely() -> None:
    colours = tuple(f"tone{number}" for number in range(150))
    things = tuple(f"thing{number}" for number in range(150))
    facets = (
        Facet(name="colour", kind="keyword", values=("red", "blue", "green", *colours)),
        Facet(name="category", kind="keyword", values=("sofa", "lamp", *things)),
    )
    made = composer(facets)
    assert intent_of(made, reference("a red sofa"), "make it blue").target == "a blue sofa"
    named = intent_of(made, reference("a red sofa"), "make the thing149 blue")
    assert named.target == "a blue thing149"  # what the text says is there is never cut
