"""Intent → one unit vector: the formula, and what must hold for any input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent
from models.query.composition import Composer, RoleEmbeddings, intersect, unite
from models.query.text_requests import answer
from models.query.weights import CompositionWeights

DIM = 6
NONE = np.zeros((0, DIM), np.float32)


def unit(*values: float) -> np.ndarray:
    vector = np.array([*values, *([0.0] * (DIM - len(values)))], np.float32)
    return vector / np.linalg.norm(vector)


embeddings = arrays(np.float32, DIM, elements=st.floats(-1, 1, width=32)).filter(
    lambda vector: np.linalg.norm(vector) > 0.1
)
weights = st.builds(
    CompositionWeights,
    **{
        name: st.floats(0, 1)
        for name in ("desired", "preserve", "text", "forbidden", "union_reference")
    },
    target=st.floats(0.01, 1),  # with nothing to search by there are no weights
)


def test_the_formula_worked_by_hand() -> None:
    roles = RoleEmbeddings(
        target=unit(1),
        preserve=np.stack([unit(0, 1), unit(0, 0, 1)]),
        desired=unit(0, 0, 0, 1)[None],
        forbidden=unit(0, 0, 0, 0, 1)[None],
    )
    w = CompositionWeights(target=0.8, desired=0.1, preserve=0.4, text=0.3, forbidden=0.2)
    expected = np.array([0.8, 0.1, 0.1, 0.1, -0.2, 0.3 + 0.2])
    query = intersect(
        roles, reference=unit(0, 0, 0, 0, 0, 1), text=unit(0, 0, 0, 0, 0, 1), weights=w
    )
    np.testing.assert_allclose(query, expected / np.linalg.norm(expected), atol=1e-6)


def test_what_has_no_role_does_not_count() -> None:
    """With the reference's weight at zero, nothing but the roles moves the query."""
    w = CompositionWeights(preserve=0.0)
    roles = RoleEmbeddings(unit(1), NONE, NONE, NONE)
    snow, beach = unit(0, 1), unit(0, 0, 1)
    np.testing.assert_array_equal(
        intersect(roles, snow, unit(1, 1), w), intersect(roles, beach, unit(1, 1), w)
    )


@given(embeddings, embeddings, embeddings, weights)
def test_queries_have_unit_length(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, w: CompositionWeights
) -> None:
    roles = RoleEmbeddings(a, b[None], c[None], NONE)
    for query in (intersect(roles, b, c, w), unite(a, b, w)):
        assert query.dtype == np.float32
        length = np.linalg.norm(query)
        assert length == pytest.approx(1, abs=1e-3) or length == pytest.approx(0, abs=1e-3)


def test_the_union_goes_from_text_to_image() -> None:
    image, text = unit(1), unit(0, 1)
    np.testing.assert_allclose(unite(image, text, CompositionWeights(union_reference=1)), image)
    np.testing.assert_allclose(unite(image, text, CompositionWeights(union_reference=0)), text)


def test_a_baseline_has_no_intent_of_its_own() -> None:
    """A read intent says how an intersection weighs; the union beside it stays the plain sum."""
    spec = GallerySpec(
        encoder_fingerprint="e", embedding_dim=DIM, preset="demo", rerank_px=448, thumbnail_px=256,
        built_at="2026-01-01T00:00:00",
    )  # fmt: skip
    read = ComposedIntent(target="a hat", source="facets", reading="read", alternatives=("a hat",))
    composer = Composer(spec, CompositionWeights(union_reference=1))
    rows = answer(composer.embed("union", unit(1), "in red", read), lambda texts: unit(0, 1)[None])
    np.testing.assert_allclose(rows, unit(1)[None])
