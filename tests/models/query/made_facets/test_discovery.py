"""Facets made without any label: on rendered scenes with the shipped encoder, on embeddings that
mean nothing, and on words drawn by hand.
"""

from pathlib import Path

import numpy as np
import pytest

from indexer.demo.catalogue import write_catalogue
from models.contracts.gallery import Facet
from models.datasets.images import ImageLimits, decode_image
from models.datasets.manifest import read_manifest
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embeddings
from models.query.made_facets.discovery import discover
from models.query.made_facets.lexicon import FacetLexicon, facet_lexicon
from models.query.made_facets.selection import eliminate, merge_variants, shortlist

IMAGES = 160
SHOWN = {
    "sofa", "chair", "lamp", "table", "cushion", "dress", "shirt", "shoe", "hat", "bag", "umbrella",
    "mug", "teapot", "vase", "car", "guitar",
}  # fmt: skip
COLOURS = {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "grey"}


def unit(rows: np.ndarray) -> Embeddings:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, encoder: ImageTextEncoder) -> Embeddings:
    """Embeddings of scenes that no model was trained on, (`IMAGES`, D)."""
    out = tmp_path_factory.mktemp("scenes")
    manifest = write_catalogue(
        out, IMAGES, seed=3, split="test", size_px=128, queries=1, typed_queries=1
    )
    pictures = [decode_image(row.read_bytes(), ImageLimits()) for row in read_manifest(manifest)]
    return encoder.encode_images(pictures)


@pytest.fixture(scope="module")
def lexicon() -> FacetLexicon:
    """What is shown, and a fifth of all other things: embedding texts is what costs."""
    whole = facet_lexicon()
    others = [thing for thing in whole.things if thing not in SHOWN][::5]
    return FacetLexicon((*sorted(SHOWN), *others), whole.types)


@pytest.fixture(scope="module")
def made(images: Embeddings, encoder: ImageTextEncoder, lexicon: FacetLexicon) -> dict[str, Facet]:
    facets = discover(images, encoder.encode_texts, encoder.logit_scale, lexicon).facets
    return {facet.name: facet for facet in facets}


def test_things_that_are_shown_are_found(made: dict[str, Facet]) -> None:
    found = set(made["thing"].values)
    assert len(found & SHOWN) >= 12
    assert len(found - SHOWN) <= 4  # of two hundred
    assert made["thing"].multi_valued  # half of the scenes show two


def test_what_describes_them_is_found_by_type(made: dict[str, Facet]) -> None:
    assert len(COLOURS & set(made["colour"].values)) >= 5
    assert {"striped", "dotted"} <= set(made["pattern"].values)
    assert made["pattern"].values[0] == "plain"  # the unmarked value, which no image stands out by
    assert {"beach", "forest", "street", "desert"} <= set(made["place"].values)
    assert made["place"].context
    assert not made["colour"].context
    assert all(facet.made for facet in made.values())


def test_words_that_the_lexicon_lacks_are_made_of_nothing(
    images: Embeddings, encoder: ImageTextEncoder, lexicon: FacetLexicon
) -> None:
    less = lexicon.without(["sofa", "green", "beach"])
    facets = discover(images, encoder.encode_texts, encoder.logit_scale, less).facets
    assert facets
    assert not {"sofa", "green", "beach"} & {value for facet in facets for value in facet.values}


def test_embeddings_that_mean_nothing_make_no_facets(
    encoder: ImageTextEncoder, lexicon: FacetLexicon
) -> None:
    """As of an encoder of random weights: all images alike, or each of its own direction."""
    random = np.random.default_rng(0)
    alike = unit(1 + 0.01 * random.normal(size=(IMAGES, encoder.embedding_dim)))
    apart = unit(random.normal(size=(IMAGES, encoder.embedding_dim)))
    for images in (alike, apart):
        assert discover(images, encoder.encode_texts, encoder.logit_scale, lexicon).facets == ()


def test_a_few_images_make_no_facets(images: Embeddings, encoder: ImageTextEncoder) -> None:
    assert discover(images[:40], encoder.encode_texts, encoder.logit_scale).facets == ()


def test_of_near_synonyms_one_survives_with_all_their_images() -> None:
    red, blue = np.repeat([1.0, 0.0], 50), np.repeat([0.0, 1.0], 50)
    crimson = red * 0.97 + np.random.default_rng(1).normal(0, 0.02, 100)
    scores = (10 * np.stack([crimson, blue, red], axis=1)).astype(np.float32)
    assert eliminate(scores, 0.5) in ([0, 1], [1, 2])


def test_a_word_that_wins_by_nothing_goes() -> None:
    scores = np.array([[5.0, 0.0, 4.9], [5.0, 0.0, 4.9], [0.0, 5.0, 4.9], [0.0, 5.0, 4.9]])
    assert eliminate(scores[:, :2].astype(np.float32), 0.5) == [0, 1]
    nothing = np.full(4, 6.0, np.float32)
    assert eliminate(scores.astype(np.float32), 0.5, nothing) == []


def test_a_compound_gives_way_to_its_head_where_both_say_the_same() -> None:
    dress = np.repeat([1.0, 0.0], 20)
    scores = np.stack([dress, 1 - dress, dress * 0.9], axis=1).astype(np.float32)
    assert merge_variants([0, 1], scores, ["sundress", "shoe", "dress"]) == [2, 1]
    scores[:, 2] = 1 - dress  # a seahorse is no horse
    assert merge_variants([0, 1], scores, ["sundress", "shoe", "dress"]) == [0, 1]


def test_the_shortlist_covers_every_image() -> None:
    scores = np.eye(30, 40, dtype=np.float32)
    assert set(range(30)) <= set(shortlist(scores, 40, per_image=1))


def test_the_lexicon_is_of_everyday_words_each_once() -> None:
    lexicon = facet_lexicon()
    assert 900 <= len(lexicon.things) == len(set(lexicon.things))
    assert [one.name for one in lexicon.types] == [
        "colour", "pattern", "material", "style", "place", "light"
    ]  # fmt: skip
    for one in lexicon.types:
        assert len(one.words) == len(set(one.words)) >= 15
        assert one.phrases(one.words[0], "chair").startswith("a")


def test_the_lexicon_says_where_it_is_from() -> None:
    folder = Path(discover.__code__.co_filename).parent
    for name in ("things.toml", "descriptions.toml"):
        assert "Written" in (folder / name).read_text("utf-8")
