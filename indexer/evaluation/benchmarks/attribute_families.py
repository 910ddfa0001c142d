"""Queries of a gallery's own attributes in texts as people type them, family by family.

Any labelled catalogue will do: own words, typos, negation, several values, comparisons of its
numbers, and, where the catalogue names other words for its values, those. Synonyms that it does
not name, and other languages, would need words of ours, which would measure our words.
"""

import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from indexer.evaluation.types import Query
from models.contracts.gallery import AttributeValue, Facet
from models.datasets.attribute_queries import EditableImages, in_turn
from models.datasets.slips import mistyped
from models.query.attribute_reader import with_article

Answers = Sequence[str]
Values = tuple[str, ...]


@dataclass(frozen=True)
class _Reference:
    """An image that a text is about, and what may be found from it."""

    image: str
    gallery: EditableImages[str]
    numbers: Mapping[str, Mapping[str, float]]  # image → numeric facet → value
    texts: Mapping[str, Mapping[str, Sequence[str]]]
    synonyms: Mapping[str, Mapping[str, Sequence[str]]]
    rng: random.Random

    def text(self, family: str, form: str, **words: str) -> str:
        if "n" in words:
            words["a_n"] = with_article(words["n"])
        return self.rng.choice(self.texts[family][form]).format(**words)

    def others(self, *facets: str) -> Mapping[Values, Answers]:
        """Other values of facets → the images with them and all else of the core."""
        known = self.gallery.values(self.image)
        kept = {f: known[f] for f in self.gallery.core if f in known and f not in facets}
        if not kept or not known.keys() >= set(facets):  # of nothing, any reference would do
            return {}
        there = self.gallery.alternatives(kept, facets)
        old = [known[facet] for facet in facets]
        return {
            new: images
            for new, images in there.items()
            if all(a != b for a, b in zip(old, new, strict=True))
        }

    def form(self, facet: str) -> str:
        if facet == self.gallery.noun_facet:
            return "noun"
        return "place" if facet in self.gallery.context else "change"


Made = tuple[str, Answers]  # a text, and the images that fit
Maker = Callable[[_Reference, str], Made | None]


def _changed(family: str) -> Maker:
    def make(reference: _Reference, facet: str) -> Made | None:
        others = reference.others(facet)
        if not others:
            return None
        new = reference.rng.choice(sorted(others))
        words = {"n": new[0], "f": _spoken(facet)}
        return reference.text(family, reference.form(facet), **words), others[new]

    return make


def _slipped(reference: _Reference, facet: str) -> Made | None:
    made = _changed("typos")(reference, facet)
    return None if made is None else (mistyped(made[0], reference.rng), made[1])


def _reworded(reference: _Reference, facet: str) -> Made | None:
    said = reference.synonyms.get(facet, {})
    others = {new: images for new, images in reference.others(facet).items() if new[0] in said}
    if not others:
        return None
    new = reference.rng.choice(sorted(others))
    words = {"n": reference.rng.choice(said[new[0]]), "f": _spoken(facet)}
    return reference.text("reworded", reference.form(facet), **words), others[new]


def _refused(reference: _Reference, facet: str) -> Made | None:
    others = reference.others(facet)
    old = reference.gallery.values(reference.image).get(facet, "")
    found = [image for images in others.values() for image in images]
    return (reference.text("negation", "refused", o=old), found) if found else None


def _contrasted(reference: _Reference, facet: str) -> Made | None:
    others = reference.others(facet)
    if not others:
        return None
    old = reference.gallery.values(reference.image)[facet]
    new = reference.rng.choice(sorted(others))
    return reference.text("negation", "contrast", o=old, n=new[0]), others[new]


def _two_refused(reference: _Reference, facet: str) -> Made | None:
    others = reference.others(facet)
    if len(others) < 2:
        return None
    refused = reference.rng.choice(sorted(others))
    old = reference.gallery.values(reference.image)[facet]
    found = [image for new, images in others.items() if new != refused for image in images]
    return reference.text("negation", "two", o=old, p=refused[0]), found


def _either(reference: _Reference, facet: str) -> Made | None:
    others = reference.others(facet)
    if len(others) < 2:
        return None
    one, two = reference.rng.sample(sorted(others), 2)
    text = reference.text("several_values", "either", n=one[0], n2=two[0])
    return text, [*others[one], *others[two]]


def _both(reference: _Reference, facet: str) -> Made | None:
    """Of this facet and another that describes the thing."""
    describing = [
        f for f in reference.gallery.core if f not in (facet, reference.gallery.noun_facet)
    ]
    if facet == reference.gallery.noun_facet or not describing:
        return None
    others = reference.others(facet, reference.rng.choice(describing))
    if not others:
        return None
    new = reference.rng.choice(sorted(others))
    return reference.text("several_values", "both", n=new[0], n2=new[1]), others[new]


def _compared(form: str) -> Maker:
    def make(reference: _Reference, facet: str) -> Made | None:
        here = reference.numbers.get(reference.image, {}).get(facet)
        known = reference.gallery.values(reference.image)
        if here is None or not known:
            return None
        kept = {f: known[f] for f in reference.gallery.core if f in known}
        same = reference.gallery.alternatives(kept, ()).get((), ())
        there = {i: n for i in same if (n := reference.numbers.get(i, {}).get(facet)) is not None}
        bound = here
        if form in ("below", "above"):
            bound = _between(reference.rng, sorted({*there.values(), here}))
        sign = -1 if form in ("lower", "below") else 1
        found = [i for i, n in there.items() if i != reference.image and sign * (n - bound) > 0]
        text = reference.text("comparison", form, f=_spoken(facet), x=f"{bound:g}")
        return (text, found) if found else None

    return make


def _between(rng: random.Random, numbers: Sequence[float]) -> float:
    """A number that none of these is, between two of them where there are two."""
    if len(numbers) < 2:
        return numbers[0]
    at = rng.randrange(len(numbers) - 1)
    return float(f"{(numbers[at] + numbers[at + 1]) / 2:.6g}")


def _spoken(facet: str) -> str:
    return facet.replace("_", " ").lower()


_OF_WORDS: Mapping[str, Mapping[str, Maker]] = {
    "own words": {"change": _changed("own_words")},
    "reworded": {"change": _reworded},
    "typos": {"change": _slipped},
    "negation": {"refused": _refused, "contrast": _contrasted, "two": _two_refused},
    "several values": {"either": _either, "both": _both},
}
_OF_NUMBERS: Mapping[str, Maker] = {
    form: _compared(form) for form in ("lower", "higher", "below", "above")
}


def typed_queries(
    gallery: EditableImages[str],
    images: Sequence[tuple[str, Mapping[str, AttributeValue]]],
    facets: Sequence[Facet],
    references: Sequence[str],
    count: int,
    split: str,
    rng: random.Random,
) -> list[Query]:
    """Queries in typed texts, families in turn, up to `count`.

    Args:
        gallery: Where answers come from.
        images: Id and attributes of every image of the gallery.
        facets: Its schema; `number` facets are compared.
        references: Images that may be references, in the order they are taken.
        count: The most queries.
        split: Whose phrasings: "validation" or "test".
        rng: Chooses values and phrasings.
    """
    made_of = _Material(gallery, _numbers(images, facets), _texts()[split], facets, rng)
    words = [*gallery.core, *gallery.context]
    numbers = [facet.name for facet in facets if facet.kind == "number"]
    families = [
        in_turn(
            [
                made_of.queries(references, family, f"{edit} {facet}", maker, facet)
                for edit, maker in edits.items()
                for facet in (gallery.core if family in ("negation", "several values") else words)
            ],
            count,
        )
        for family, edits in _OF_WORDS.items()
    ]
    comparisons = [
        made_of.queries(references, "comparison", f"{edit} {facet}", maker, facet)
        for edit, maker in _OF_NUMBERS.items()
        for facet in numbers
    ]
    return list(in_turn([*families, in_turn(comparisons, count)], count))


class _Material:
    """What all queries are made of."""

    def __init__(
        self,
        gallery: EditableImages[str],
        numbers: Mapping[str, Mapping[str, float]],
        texts: Mapping[str, Mapping[str, Sequence[str]]],
        facets: Sequence[Facet],
        rng: random.Random,
    ) -> None:
        self._gallery, self._numbers, self._texts, self._rng = gallery, numbers, texts, rng
        self._synonyms = {facet.name: facet.synonyms for facet in facets}

    def queries(
        self, references: Sequence[str], family: str, edit: str, maker: Maker, facet: str
    ) -> Iterator[Query]:
        """One per reference at most."""
        for image in self._rng.sample(references, len(references)):
            reference = _Reference(
                image, self._gallery, self._numbers, self._texts, self._synonyms, self._rng
            )
            made = maker(reference, facet)
            if made is not None and made[1]:
                yield Query(
                    query_id=f"{image}/{family}/{edit}",
                    reference_id=image,
                    text=made[0],
                    relevant_ids=tuple(sorted(made[1])),
                    kinds=(f"{family}: {edit}",),
                    family=family,
                )


def _numbers(
    images: Sequence[tuple[str, Mapping[str, AttributeValue]]], facets: Sequence[Facet]
) -> dict[str, dict[str, float]]:
    names = [facet.name for facet in facets if facet.kind == "number"]
    return {
        image: {
            name: float(value)
            for name in names
            if isinstance(value := attributes.get(name), int | float)
        }
        for image, attributes in images
    }


@cache
def _texts() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("attribute_texts.toml").read_text("utf-8"))
