"""Phrasings: what measures an adapter is in words that it was not trained with."""

from itertools import combinations

import pytest

from models.datasets.phrasings import PHRASINGS


@pytest.mark.parametrize(("one", "other"), [*combinations(PHRASINGS, 2)])
def test_no_two_sets_have_a_phrasing_in_common(one: str, other: str) -> None:
    """Or `evaluate --benchmark attributes` would ask an adapter what it has learned by heart."""
    ours, theirs = (
        {text for forms in PHRASINGS[name].values() for text in forms}  # type: ignore[index]
        for name in (one, other)
    )
    assert ours
    assert not ours & theirs
