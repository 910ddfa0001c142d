"""Query embeddings where facets are made: worked by hand in a space of four directions."""

import numpy as np
import pytest

from models.contracts.gallery import Facet
from models.query.made_facets.blending import blend, context_phrases

SOFA, BLUE, BEACH, FRINGE = np.eye(4, dtype=np.float32)
CONTEXT = np.stack([BEACH, -BEACH])


def test_the_reference_counts_without_its_context() -> None:
    (row,) = blend(SOFA[None], SOFA, BEACH + FRINGE, np.zeros(4, np.float32), CONTEXT)
    assert row @ BEACH == pytest.approx(0, abs=1e-6)
    assert row @ FRINGE == pytest.approx(row @ SOFA)  # what no word says stays


def test_a_change_is_made_more_of_than_the_target_says() -> None:
    nothing = np.zeros(4, np.float32)
    (row,) = blend(BLUE[None], SOFA, nothing, nothing, CONTEXT)
    assert row @ BLUE == pytest.approx(1.6 / np.hypot(1.6, 0.6))
    assert row @ SOFA < 0


def test_rows_are_of_unit_length_one_for_each_alternative() -> None:
    rows = blend(np.stack([SOFA, BLUE]), SOFA, FRINGE, BLUE, CONTEXT[:1])
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1])


def test_context_phrases_are_of_made_context_facets() -> None:
    facets = [
        Facet(name="place", kind="keyword", values=("sea", "room"), context=True, made=True),
        Facet(name="colour", kind="keyword", values=("red",), made=True),
        Facet(name="setting", kind="keyword", values=("street",), context=True),
    ]
    assert context_phrases(facets) == ["an object in the sea", "an object in the room"]
