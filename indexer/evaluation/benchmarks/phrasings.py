"""Words for a change of attributes, in any vocabulary."""

import random
from collections.abc import Sequence

# {f}: the facet's name, {o} and {n}: its old and new value
_NOUN = ("a {n} instead of the {o}", "replace it with a {n}", "the same as a {n}")
_CHANGE = (
    "the same but {n}", "{n} instead of {o}", "make it {n}", "change the {f} to {n}",
    "the {f} should be {n}",
)  # fmt: skip
_TWO = (
    "the same but {n} and {n2}", "make it {n} and {n2}",
    "change the {f} to {n} and the {f2} to {n2}",
)  # fmt: skip
_NOT = ("the same but not {o}", "anything but {o}", "not {o}, another {f}")


def phrase(
    facets: Sequence[str],
    old: Sequence[str],
    new: Sequence[str],
    negated: bool,
    noun_facet: str | None,
    rng: random.Random,
) -> str:
    """A modification text.

    Args:
        facets: What changes, one or two facets.
        old: Their values in the reference.
        new: The values wished for; a negation leaves them open.
        negated: Whether the old value is only ruled out.
        noun_facet: The facet that names the thing.
        rng: Chooses the phrasing.
    """
    templates: tuple[str, ...]
    if negated:
        templates = _NOT
    elif len(facets) == 2:
        templates = _TWO
    else:
        templates = _NOUN if facets[0] == noun_facet else _CHANGE
    return rng.choice(templates).format(
        f=_words(facets[0]), f2=_words(facets[-1]), o=old[0], n=new[0], n2=new[-1]
    )


def _words(facet: str) -> str:
    return facet.replace("_", " ").lower()
