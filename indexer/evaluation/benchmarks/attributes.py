"""A benchmark made of a gallery's own attributes: it needs no labels beside them.

A query changes an image's attributes in words; right is every image with exactly the attributes
that follow. What does not count is context (facets that say where something is shown, see
`Facet.context`), unless the query is about it. Images with several values of a facet show several
things: they are neither references nor answers, but the gallery holds them all the same.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from indexer.evaluation.benchmarks.attribute_families import typed_queries
from indexer.evaluation.benchmarks.measures import mean_average_precision, recall_of_any
from indexer.evaluation.types import TEMPLATES, Benchmark, BenchmarkError, Query
from models.contracts.gallery import AttributeValue, Facet
from models.datasets.attribute_queries import EditQuery, attribute_queries

DEPTH, FEWEST_QUERIES = 50, 20
Split = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LabelledImage:
    """An image that shows one thing.

    Attributes:
        image_id: Its id.
        core: Facet → value, of what counts.
        context: Facet → value, of where it is shown.
    """

    image_id: str
    core: Mapping[str, str]
    context: Mapping[str, str]


class LabelledGallery:
    """A gallery's images that show one thing, as `attribute_queries` needs them.

    Answers have exactly the kept values: one that has a facet more, or lacks one, is another thing.
    """

    def __init__(self, images: Sequence[LabelledImage], noun_facet: str | None) -> None:
        self.core = sorted({name for image in images for name in image.core})
        self.context = sorted({name for image in images for name in image.context})
        self.noun_facet = noun_facet
        self._images = {image.image_id: image for image in images}
        self._values = {image.image_id: {**image.core, **image.context} for image in images}
        self._edited: dict[tuple[str, ...], dict[Key, dict[tuple[str, ...], list[str]]]] = {}

    def __len__(self) -> int:
        return len(self._images)

    @property
    def image_ids(self) -> list[str]:
        """In ascending order."""
        return list(self._images)

    def values(self, image: str) -> Mapping[str, str]:
        """An image's value of each facet it has."""
        return self._values[image]

    def alternatives(
        self, kept: Mapping[str, str], facets: tuple[str, ...]
    ) -> Mapping[tuple[str, ...], Sequence[str]]:
        """Values of the facets → ids of the images with them and exactly what is kept."""
        if facets not in self._edited:
            self._edited[facets] = self._by_kept_values(facets)
        return self._edited[facets].get(_edit_key(kept, ()), {})

    def _by_kept_values(
        self, facets: tuple[str, ...]
    ) -> dict[Key, dict[tuple[str, ...], list[str]]]:
        found: dict[Key, dict[tuple[str, ...], list[str]]] = defaultdict(dict)
        for image_id, values in self._values.items():
            if values.keys() >= set(facets):
                new = tuple(values[facet] for facet in facets)
                key = _edit_key(self._images[image_id].core, facets)
                found[key].setdefault(new, []).append(image_id)
        return found


def make(
    images: Sequence[tuple[str, Mapping[str, AttributeValue]]],
    facets: Sequence[Facet],
    noun_facet: str | None,
    *,
    count: int,
    seed: int,
    split: Split,
    typed: int = 0,
) -> Benchmark:
    """Make queries, as many of each kind of change as there are, up to `count`, and some in texts
    as people type them.

    Args:
        images: Id and attributes of every image of the gallery.
        facets: The gallery's schema.
        noun_facet: The facet that names the thing.
        count: The most queries.
        seed: Same gallery, seed and split give the same queries.
        split: The two have no reference in common: tune on one, report the other.
        typed: The most queries in typed texts, see `attribute_families`.

    Raises:
        BenchmarkError: The attributes are too few or too sparse to make queries of.
    """
    gallery = LabelledGallery(_labelled(images, facets), noun_facet)
    if not gallery.core:
        raise BenchmarkError(
            "the gallery has no attributes to make queries of: it takes facets with words for "
            "values (like category, colour), one value per image"
        )
    queries = _queries(gallery, count, seed, split)
    if len(queries) < FEWEST_QUERIES:
        raise BenchmarkError(
            f"the attributes are too sparse for a benchmark: of {len(images)} images, "
            f"{len(gallery)} have one value for each of their attributes "
            f"({', '.join(gallery.core)}), and only {len(queries)} changes lead from one image to "
            f"another; it takes {FEWEST_QUERIES}. Facets with fewer, more common values help"
        )
    rng = random.Random(f"attributes/typed/{split}/{seed}")
    references = [image_id for image_id in gallery.image_ids if _split_of(image_id) == split]
    queries += typed_queries(gallery, images, facets, references, typed, split, rng)
    named = ", ".join([*gallery.core, *gallery.context])
    return Benchmark(
        name=f"attributes-{split}",
        queries=queries,
        measures=[*(recall_of_any(k) for k in (1, 10, DEPTH)), mean_average_precision(10)],
        depth=DEPTH,
        headline="mAP@10",
        notes=[
            f"Made of the gallery's own attributes ({named}), seed {seed}: "
            "as right as those are. An image that fits without being labelled so counts as wrong.",
        ],
    )


def _queries(gallery: LabelledGallery, count: int, seed: int, split: Split) -> list[Query]:
    rng = random.Random(f"attributes/{split}/{seed}")
    references = [image_id for image_id in gallery.image_ids if _split_of(image_id) == split]
    rng.shuffle(references)
    return [_query(q) for q in attribute_queries(gallery, references, count, "benchmark", rng)]


def _query(made: EditQuery[str]) -> Query:
    return Query(
        query_id=f"{made.reference}/{made.edit.name}",
        reference_id=made.reference,
        text=made.text,
        relevant_ids=tuple(sorted(made.answers)),
        kinds=(made.edit.name,),
        family=TEMPLATES,
    )


def _labelled(
    images: Sequence[tuple[str, Mapping[str, AttributeValue]]], facets: Sequence[Facet]
) -> list[LabelledImage]:
    words = {facet.name: facet for facet in facets if facet.kind == "keyword" and facet.values}
    found = []
    for image_id, attributes in sorted(images):
        known = {name: attributes[name] for name in words if name in attributes}
        single = {name: _only(value) for name, value in known.items()}
        if any(value is None for value in single.values()):
            continue
        core = {k: v for k, v in single.items() if v is not None and not words[k].context}
        context = {k: v for k, v in single.items() if v is not None and words[k].context}
        if core:
            found.append(LabelledImage(image_id, core, context))
    return found


def _only(value: AttributeValue) -> str | None:
    """The value, if it is one."""
    if isinstance(value, list):
        return value[0].strip() if len(value) == 1 else None
    return str(value).strip()


def _split_of(image_id: str) -> Split:
    return SPLITS[random.Random(image_id).randrange(2)]


def _edit_key(values: Mapping[str, str], facets: Sequence[str]) -> Key:
    """What an edit of the facets keeps of these values."""
    return tuple(sorted((k, v) for k, v in values.items() if k not in facets))
