"""Queries and candidates made of attributes: right by their own labels, split, and repeatable."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts.gallery import Facet
from models.datasets.manifest import ImageRow, ManifestError
from models.datasets.phrasings import PARTS
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset
from models.training.reranker.catalogue import (
    AttributeQuery,
    AttributeTable,
    Catalogue,
    read_catalogue,
    values_of,
)
from models.training.reranker.examples import (
    RerankExample,
    SynthesisConfig,
    make_examples,
    read_examples,
    write_examples,
)
from models.training.reranker.negatives import CandidateConfig, sample_candidates
from models.training.reranker.queries import Query, compose_queries, part_of
from models.training.retrieval import InMemoryRetriever

CANDIDATES = CandidateConfig(candidates=8, coarse_depth=30, duplicate_similarity=0.97)
WORDS = {
    "category": ("sofa", "lamp", "mug"),
    "colour": ("red", "blue", "green"),
    "material": ("oak", "steel"),
    "setting": ("room", "beach"),
}
FACETS = tuple(
    Facet(name=name, kind="keyword", values=values, context=name == "setting")
    for name, values in WORDS.items()
)
PICTURES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
            for name, values in WORDS.items()
        },
    ),
    min_size=20,
    max_size=60,
)


def catalogue_of(pictures: list[dict[str, list[str]]], captions: bool = True) -> Catalogue:
    rows = [
        ImageRow(
            image_id=f"{number}",
            location=f"{number}.jpg",
            caption=" ".join(word for words in picture.values() for word in words)
            if captions
            else None,
            attributes={
                name: words[0] if len(words) == 1 else words for name, words in picture.items()
            },
        )
        for number, picture in enumerate(pictures)
    ]
    return Catalogue("a catalogue", rows, FACETS, "category")


def full_catalogue(repeats: int = 3) -> Catalogue:
    """Every combination, several times."""
    return catalogue_of(
        [
            {"category": [c], "colour": [o], "material": [m], "setting": [s]}
            for c in WORDS["category"]
            for o in WORDS["colour"]
            for m in WORDS["material"]
            for s in WORDS["setting"]
        ]
        * repeats
    )


def queries_of(catalogue: Catalogue, count: int = 60, seed: int = 0) -> list[Query]:
    references = range(len(catalogue.rows))
    return compose_queries(catalogue, "training", references, count, seed, caption_share=0.3)


def could_satisfy(attribute_query: AttributeQuery, picture: dict[str, frozenset[str]]) -> bool:
    """Whether some way to label what is not labelled, and to point at one of several things, would
    make the picture an answer.
    """
    required = all(
        words <= picture.get(name, words) for name, words in attribute_query.required.items()
    )
    allowed = all(
        picture.get(name, frozenset("?")) != {word}
        for name, word in attribute_query.excluded.items()
    )
    return required and allowed


@given(PICTURES, st.integers(0, 5))
def test_a_negative_never_satisfies_its_query(
    pictures: list[dict[str, list[str]]], seed: int
) -> None:
    catalogue = catalogue_of(pictures)
    values = [values_of(row.attributes, FACETS) for row in catalogue.rows]
    for query in queries_of(catalogue, seed=seed):
        for candidate in sample_candidates(
            query, catalogue.attribute_table, None, CANDIDATES, random.Random(seed)
        ):
            known = dict(values[candidate.picture])
            if candidate.relevant:
                assert candidate.picture in query.answers
                assert could_satisfy(query.attribute_query, known)
            else:
                assert not could_satisfy(query.attribute_query, known)
                assert (
                    known.keys() >= query.attribute_query.facets
                )  # a missing label proves nothing


@given(PICTURES)
def test_answers_satisfy_their_query_and_never_are_the_reference(
    pictures: list[dict[str, list[str]]],
) -> None:
    catalogue = catalogue_of(pictures, captions=False)
    for query in queries_of(catalogue):
        assert query.reference not in query.answers
        for answer in query.answers:
            shown = values_of(catalogue.rows[answer].attributes, FACETS)
            for name, words in query.attribute_query.required.items():
                assert shown[name] == words
            for name, word in query.attribute_query.excluded.items():
                assert word not in shown[name]


@given(PICTURES)
def test_relevance_agrees_with_the_labels_one_by_one(
    pictures: list[dict[str, list[str]]],
) -> None:
    values = [{name: frozenset(words) for name, words in p.items()} for p in pictures]
    attribute_query = AttributeQuery({"category": frozenset(["sofa"])}, {"colour": "red"})
    relevance = AttributeTable(values).relevance(attribute_query)
    for number, shown in enumerate(values):
        labelled = shown.keys() >= {"category", "colour"}
        single = labelled and len(shown["category"]) == len(shown["colour"]) == 1
        relevant = single and "sofa" in shown["category"] and "red" not in shown["colour"]
        assert relevance.relevant[number] == relevant
        assert relevance.irrelevant[number] == (
            labelled and not could_satisfy(attribute_query, shown)
        )


def test_hard_negatives_are_the_reference_and_pictures_with_one_facet_wrong() -> None:
    catalogue = full_catalogue()
    reasons, rng = [], random.Random(1)
    for query in queries_of(catalogue):
        chosen = sample_candidates(query, catalogue.attribute_table, None, CANDIDATES, rng)
        assert len({candidate.picture for candidate in chosen}) == len(chosen) == 8
        reasons += [candidate.origin for candidate in chosen]
        if query.edit != "caption":
            assert "the reference" in {candidate.origin for candidate in chosen}
    assert {"right", "random", "wrong colour", "wrong material", "wrong category"} <= {*reasons}


def test_a_caption_only_rules_out_what_it_says() -> None:
    """ "a red sofa" is right for an oak one too, so oak sofas that are red are no negatives."""
    rows = list(full_catalogue().rows)
    said = [dataclasses.replace(row, caption="a red sofa") for row in rows]
    catalogue = Catalogue("a catalogue", said, FACETS, "category")
    captioned = [query for query in queries_of(catalogue) if query.edit == "caption"]
    assert captioned
    for query in captioned:
        assert query.attribute_query.required == {"category": {"sofa"}, "colour": {"red"}}
        assert query.intent.target == "a red sofa"


def near_twins(
    encoder: ImageTextEncoder, catalogue: Catalogue
) -> tuple[InMemoryRetriever, list[Query]]:
    """A coarse stage that cannot tell any two pictures apart, and queries it has read."""
    rng = np.random.default_rng(0)
    gallery = 1 + 1e-3 * rng.normal(size=(len(catalogue.rows), encoder.embedding_dim))
    gallery = (gallery / np.linalg.norm(gallery, axis=1, keepdims=True)).astype(np.float32)
    coarse = InMemoryRetriever(encoder, load_preset("demo"), gallery)
    queries = queries_of(catalogue, 12)
    coarse.embed_texts((query.text, query.intent) for query in queries)
    return coarse, queries


def test_what_nearly_is_a_right_picture_is_not_mined(encoder: ImageTextEncoder) -> None:
    catalogue = full_catalogue()
    coarse, queries = near_twins(encoder, catalogue)

    def mined(similarity: float) -> int:
        sampling = dataclasses.replace(CANDIDATES, duplicate_similarity=similarity)
        return sum(
            candidate.origin.startswith("coarse")
            for query in queries
            for candidate in sample_candidates(
                query, catalogue.attribute_table, coarse, sampling, random.Random(0)
            )
        )

    assert mined(similarity=1.01) > 0
    assert mined(similarity=0.97) == 0


def examples_of(catalogue: Catalogue, seed: int = 0) -> list[RerankExample]:
    return make_examples(
        {"training": catalogue, "validation": catalogue},
        {"training": None, "validation": None},
        SynthesisConfig(
            training=80, validation=30, validation_share=0.3, caption_share=0.2, seed=seed
        ),
        CANDIDATES,
    )


def test_parts_share_no_reference_and_no_phrasing() -> None:
    catalogue = full_catalogue()
    examples = examples_of(catalogue)
    references = {
        part: {catalogue.rows[one.reference].image_id for one in examples if one.part == part}
        for part in PARTS
    }
    assert references["training"]
    assert references["validation"]
    assert not references["training"] & references["validation"]
    assert all(part_of(name, 0.3) == part for part, names in references.items() for name in names)


def test_the_same_seed_gives_the_same_examples() -> None:
    assert examples_of(full_catalogue()) == examples_of(full_catalogue())
    assert examples_of(full_catalogue()) != examples_of(full_catalogue(), seed=1)


def test_examples_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    catalogue = full_catalogue()
    catalogues = {"training": catalogue, "validation": catalogue}
    examples = examples_of(catalogue)
    path = tmp_path / "queries.jsonl"
    write_examples(path, examples, catalogues)  # type: ignore[arg-type]
    assert read_examples(path, catalogues) == examples  # type: ignore[arg-type]
    path.write_text(path.read_text().replace('"reference": "', '"reference": "not-'))
    with pytest.raises(ManifestError, match="line 1: not a query of this catalogue"):
        read_examples(path, catalogues)  # type: ignore[arg-type]


def test_sparse_attributes_are_refused_with_a_way_out() -> None:
    sparse = catalogue_of(
        [{"category": [f"{n}-thing"], "colour": [f"{n}-ish"]} for n in range(40)], captions=False
    )
    facets = tuple(
        Facet(name=name, kind="keyword", values=tuple(f"{n}-{end}" for n in range(40)))
        for name, end in (("category", "thing"), ("colour", "ish"))
    )
    with pytest.raises(ManifestError, match="too sparse for training: .* give 0 queries"):
        examples_of(dataclasses.replace(sparse, facets=facets))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"image": "a.jpg"}, "no attributes to make queries of.*found none"),
        ({"image": "gone.jpg"}, "1 of 2 images are not there, the first is .*gone.jpg"),
        (
            {"image": "a.jpg", "attributes": {"hue": "red", "make": "oak"}},
            "no facet names the thing.*--noun-facet",
        ),
    ],
)
def test_a_manifest_that_will_not_do_is_refused(
    row: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").touch()
    other = {"image": "a.jpg", "image_id": "b", "attributes": {"hue": "blue", "make": "elm"}}
    rows = [row, other if "attributes" in row else {"image": "a.jpg", "image_id": "b"}]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(one) for one in rows))
    with pytest.raises(ManifestError, match=sentence):
        read_catalogue(tmp_path / "m.jsonl", ["setting"], None)
