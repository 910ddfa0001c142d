"""Composed queries made of attributes: values of a reference image, changed, and put in words.

"The same but wooden" changes one or two facets and keeps what else the reference is; "anything but
wooden" leaves the new value open. Facets that say where something is shown (`Facet.context`) are
kept by no edit, only changed by edits of their own.

The generator knows no gallery: `EditableImages` says which images have which values, and with what
an edit's answers must agree. An image is named by whatever its keeper names it by.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, Protocol, TypeVar

from models.datasets.phrasings import PhrasingSet, phrase

T = TypeVar("T")
Key = TypeVar("Key")


@dataclass(frozen=True)
class AttributeEdit:
    """A kind of change.

    Attributes:
        facets: One or two facets that take other values.
        negated: The value is only ruled out, of one facet; what it becomes is left open.
    """

    facets: tuple[str, ...]
    negated: bool = False

    @property
    def name(self) -> str:
        """In words, such as "change colour" or "not this category"."""
        return f"{'not this' if self.negated else 'change'} {' and '.join(self.facets)}"


@dataclass(frozen=True)
class EditQuery(Generic[Key]):
    """A composed query.

    Attributes:
        edit: The kind of change.
        reference: The reference image.
        text: The modification text.
        kept: Facet → value of the reference that an answer keeps; never empty.
        old: The reference's values of the edit's facets, in their order.
        new: An answer's values of them; empty where the edit leaves them open.
        answers: All images that the query asks for; never empty, never the reference.
    """

    edit: AttributeEdit
    reference: Key
    text: str
    kept: Mapping[str, str]
    old: tuple[str, ...]
    new: tuple[str, ...]
    answers: tuple[Key, ...]


class EditableImages(Protocol[Key]):
    """Images with one value per facet."""

    @property
    def core(self) -> Sequence[str]:
        """Facets that say what a thing is."""
        ...

    @property
    def context(self) -> Sequence[str]:
        """Facets that say where it is shown."""
        ...

    @property
    def noun_facet(self) -> str | None:
        """The facet that names the thing, which is phrased as a noun."""
        ...

    def values(self, image: Key) -> Mapping[str, str]:
        """An image's value of each facet; empty: the image is no reference."""
        ...

    def alternatives(
        self, kept: Mapping[str, str], facets: tuple[str, ...]
    ) -> Mapping[tuple[str, ...], Sequence[Key]]:
        """Of the images that agree in what is kept: their values of the facets → the images."""
        ...


def attribute_edits(core: Sequence[str], context: Sequence[str]) -> list[AttributeEdit]:
    """Every kind of change of these facets: each changed, each of the core negated, pairs of it."""
    changed = [AttributeEdit((name,)) for name in (*core, *context)]
    negated = [AttributeEdit((name,), negated=True) for name in core]
    return changed + negated + [AttributeEdit(pair) for pair in combinations(core, 2)]


def attribute_queries(
    images: EditableImages[Key],
    references: Sequence[Key],
    count: int,
    phrasings: PhrasingSet,
    rng: random.Random,
) -> Iterator[EditQuery[Key]]:
    """Queries of every kind of change in turn, one of a kind per reference at most.

    Args:
        images: Where answers come from.
        references: Images that may be references, in the order they are taken.
        count: The most queries.
        phrasings: Whose phrasings.
        rng: Chooses new values and phrasings; its state decides the queries.
    """
    edits = attribute_edits(images.core, images.context)
    return in_turn([_queries(images, edit, references, phrasings, rng) for edit in edits], count)


def in_turn(makers: Iterable[Iterator[T]], count: int) -> Iterator[T]:
    """One of each maker, again and again, until `count` are made or all makers are exhausted."""
    running, made = list(makers), 0
    while running:
        for maker in list(running):
            if made >= count:
                return
            try:
                item = next(maker)
            except StopIteration:
                running.remove(maker)
                continue
            made += 1
            yield item


def _queries(
    images: EditableImages[Key],
    edit: AttributeEdit,
    references: Sequence[Key],
    phrasings: PhrasingSet,
    rng: random.Random,
) -> Iterator[EditQuery[Key]]:
    for reference in references:
        known = images.values(reference)
        kept = {f: known[f] for f in images.core if f in known and f not in edit.facets}
        # where nothing is kept, any reference would do
        if not kept or not known.keys() >= set(edit.facets):
            continue
        old = tuple(known[facet] for facet in edit.facets)
        there = images.alternatives(kept, edit.facets)
        others = {new: there[new] for new in there if _all_differ(old, new)}
        if not others:
            continue
        new = rng.choice(sorted(others))
        answers = [i for each in others.values() for i in each] if edit.negated else others[new]
        yield EditQuery(
            edit,
            reference,
            phrase(_form(edit, images.noun_facet), edit.facets, old, new, phrasings, rng),
            kept,
            old,
            () if edit.negated else new,
            tuple(answers),
        )


def _all_differ(old: Sequence[str], new: Sequence[str]) -> bool:
    return all(a != b for a, b in zip(old, new, strict=True))


def _form(edit: AttributeEdit, noun_facet: str | None) -> str:
    if edit.negated:
        return "not"
    if len(edit.facets) == 2:
        return "two"
    return "noun" if edit.facets[0] == noun_facet else "change"
