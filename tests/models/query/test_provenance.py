"""Where the phrases of an intent come from, and how surely."""

import json
from pathlib import Path
from statistics import mean

import pytest
from PIL import Image

from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent, Intent, Provenance
from models.datasets.manifest import read_manifest
from models.datasets.schema import schema_of
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding
from models.query.composition import Composer
from models.query.text_requests import answer
from models.query.weights import CompositionWeights

PICTURES = 120


@pytest.fixture(scope="module")
def composer(catalogue: Path, encoder: ImageTextEncoder) -> Composer:
    attributes = [row.attributes for row in read_manifest(catalogue)]
    facets, noun = schema_of(attributes, ["setting"], None)
    spec = GallerySpec(
        encoder_fingerprint=encoder.fingerprint, embedding_dim=encoder.embedding_dim, facets=facets,
        noun_facet=noun, preset="demo", rerank_px=448, thumbnail_px=256, built_at="now",
    )  # fmt: skip
    return Composer(spec, CompositionWeights(), logit_scale=encoder.logit_scale)


@pytest.fixture(scope="module")
def pictures(
    catalogue: Path, encoder: ImageTextEncoder
) -> list[tuple[list[dict[str, str]], Embedding]]:
    """What is in each picture, and its embedding."""
    rows = [json.loads(line) for line in catalogue.read_text("utf-8").splitlines()][:PICTURES]
    images = [Image.open(catalogue.parent / row["image"]).convert("RGB") for row in rows]
    return list(zip([row["items"] for row in rows], encoder.encode_images(images), strict=True))


def understood(
    composer: Composer,
    encoder: ImageTextEncoder,
    reference: Embedding,
    text: str,
    attributes: dict[str, str] | None = None,
    intent: Intent | None = None,
) -> ComposedIntent:
    asked = composer.compose("intersection", reference, text, intent=intent, attributes=attributes)
    found = answer(asked, encoder.encode_texts).intent
    assert found is not None
    return found


def by_phrase(intent: ComposedIntent) -> dict[str, Provenance]:
    return {one.phrase: one for one in intent.provenance}


def test_what_is_said_has_its_words_and_what_they_were_linked_by(
    composer: Composer, encoder: ImageTextEncoder, pictures: list[tuple[object, Embedding]]
) -> None:
    has = {"category": "sofa", "colour": "red", "pattern": "plain", "setting": "snow"}
    text = "Please make it speckled and navy, not a chair"
    intent = understood(composer, encoder, pictures[0][1], text, has)
    found = by_phrase(intent)
    for phrase, words in (("dotted", "speckled"), ("blue", "navy"), ("chair", "chair")):
        one = found[phrase]
        assert one.source == "said"
        assert one.said is not None
        assert one.said.text == words == text[one.said.start : one.said.end]
        assert one.confidence is not None
        assert 0 < one.confidence <= 1
    assert (found["chair"].how, found["chair"].role) == ("word", "forbidden")
    assert found["blue"].how == "colour"
    assert found["sofa"] == Provenance(role="preserve", phrase="sofa", source="known")
    assert found["red"] == Provenance(role="forbidden", phrase="red", source="known")


def test_every_phrase_of_an_intent_in_the_gallerys_words_has_its_origin(
    composer: Composer, encoder: ImageTextEncoder, pictures: list[tuple[object, Embedding]]
) -> None:
    for text in (
        "the same but blue",
        "a lamp instead",
        "only the hat",
        "remove the lamp",
        "lighter",
    ):
        for _, reference in pictures[:20]:
            intent = understood(composer, encoder, reference, text)
            said = [(one.role, one.phrase) for one in intent.provenance]
            assert said == [
                (role, phrase)
                for role in ("preserve", "desired", "forbidden")
                for phrase in getattr(intent, role)
            ]
            for one in intent.provenance:
                assert (one.confidence is None) == (one.source == "known")


def test_what_a_client_sends_is_the_clients(
    composer: Composer, encoder: ImageTextEncoder, pictures: list[tuple[object, Embedding]]
) -> None:
    sent = Intent(target="a blue sofa", preserve=("sofa",), desired=("blue",))
    intent = understood(composer, encoder, pictures[0][1], "blue", intent=sent)
    assert [(one.phrase, one.source) for one in intent.provenance] == [
        ("sofa", "client"), ("blue", "client"),
    ]  # fmt: skip


def test_confidences_are_about_the_share_that_is_right(
    composer: Composer,
    encoder: ImageTextEncoder,
    pictures: list[tuple[list[dict[str, str]], Embedding]],
) -> None:
    """On pictures that show one thing or two: what is surer is oftener right."""
    sure: list[tuple[float, bool]] = []
    for items, reference in pictures:
        for one in understood(composer, encoder, reference, "somewhere else").provenance:
            if one.source == "read" and one.confidence is not None:
                words = one.phrase.split()[1:]  # of "a red striped sofa"
                right = any({i["colour"], i["pattern"], i["kind"]} <= set(words) for i in items)
                sure.append((one.confidence, right))
    assert len(sure) >= PICTURES
    high = [right for confidence, right in sure if confidence >= 0.8]
    low = [right for confidence, right in sure if confidence < 0.5]
    assert mean(high) > mean(low) + 0.3
    assert abs(mean(confidence for confidence, _ in sure) - mean(r for _, r in sure)) < 0.15
