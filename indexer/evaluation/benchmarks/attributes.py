"""A labelled benchmark made of a gallery's own attributes: nobody has to label anything.

A query changes an image's attributes in words; right is every image with exactly the attributes
that follow. What does not count is context (facets that say where something is shown, see
`Facet.context`), unless the query is about it. Images with several values of a facet show several
things: they are asked about by nobody and right for nothing, but they are in the way like in life.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

from indexer.evaluation.benchmarks.measures import mean_average_precision, recall_of_any
from indexer.evaluation.benchmarks.phrasings import phrase
from indexer.evaluation.types import Benchmark, BenchmarkError, Query
from models.contracts.gallery import AttributeValue, Facet

DEPTH, FEWEST_QUERIES = 50, 20
Split = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


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


@dataclass(frozen=True)
class Edit:
    """A kind of change: which facets take other values, or one that may not keep its own."""

    facets: tuple[str, ...]
    negated: bool = False

    @property
    def kind(self) -> str:
        """As reports call it."""
        return f"{'not this' if self.negated else 'change'} {' and '.join(self.facets)}"


def make(
    images: Sequence[tuple[str, Mapping[str, AttributeValue]]],
    facets: Sequence[Facet],
    noun_facet: str | None,
    *,
    count: int,
    seed: int,
    split: Split,
) -> Benchmark:
    """Make queries, as many of each kind of change as there are, up to `count`.

    Args:
        images: Id and attributes of every image of the gallery.
        facets: The gallery's schema.
        noun_facet: The facet that names the thing.
        count: The most queries.
        seed: Same gallery, seed and split give the same queries.
        split: The two have no reference in common: tune on one, report the other.

    Raises:
        BenchmarkError: The attributes are too few or too sparse to make queries of.
    """
    labelled = _labelled(images, facets)
    core = sorted({name for image in labelled for name in image.core})
    context = sorted({name for image in labelled for name in image.context})
    if not core:
        raise BenchmarkError(
            "the gallery has no attributes to make queries of: it takes facets with words for "
            "values (like category, colour), one value per image"
        )
    rng = random.Random(f"attributes/{split}/{seed}")
    mine = [image for image in labelled if _split_of(image.image_id) == split]
    rng.shuffle(mine)
    edits = [Edit((name,)) for name in (*core, *context)]
    edits += [Edit((name,), negated=True) for name in core]
    edits += [Edit(pair) for pair in combinations(core, 2)]
    makers = [_queries(edit, mine, labelled, noun_facet, rng) for edit in edits]
    queries = list(_in_turn(makers, count))
    if len(queries) < FEWEST_QUERIES:
        raise BenchmarkError(
            f"the attributes are too sparse for a benchmark: of {len(images)} images, "
            f"{len(labelled)} have one value for each of their attributes ({', '.join(core)}), and "
            f"only {len(queries)} changes lead from one image to another; it takes "
            f"{FEWEST_QUERIES}. Facets with fewer, more common values help"
        )
    return Benchmark(
        name=f"attributes-{split}",
        queries=queries,
        measures=[*(recall_of_any(k) for k in (1, 10, DEPTH)), mean_average_precision(10)],
        depth=DEPTH,
        headline="mAP@10",
        notes=[
            f"Made of the gallery's own attributes ({', '.join([*core, *context])}), seed {seed}: "
            "as right as those are. An image that fits without being labelled so counts as wrong.",
        ],
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


def _queries(
    edit: Edit,
    references: Sequence[LabelledImage],
    images: Sequence[LabelledImage],
    noun_facet: str | None,
    rng: random.Random,
) -> Iterator[Query]:
    """Every query that this edit makes of the references, one each."""
    there: dict[tuple[object, ...], dict[tuple[str, ...], list[str]]] = defaultdict(dict)
    for image in images:
        if (spot := _spot(image, edit)) is not None:
            there[spot[0]].setdefault(spot[1], []).append(image.image_id)
    for reference in references:
        spot = _spot(reference, edit)
        if spot is None:
            continue
        key, old = spot
        others = {new: ids for new, ids in there[key].items() if _all_differ(old, new)}
        if not others:
            continue
        new = rng.choice(sorted(others))
        right = [i for ids in others.values() for i in ids] if edit.negated else others[new]
        yield Query(
            query_id=f"{reference.image_id}/{edit.kind}",
            reference_id=reference.image_id,
            text=phrase(edit.facets, old, new, edit.negated, noun_facet, rng),
            relevant_ids=tuple(sorted(right)),
            kinds=(edit.kind,),
        )


def _spot(image: LabelledImage, edit: Edit) -> tuple[tuple[object, ...], tuple[str, ...]] | None:
    """What an edit keeps of an image, and the values it changes; None if it lacks either: where
    nothing is kept, the reference would have no say.
    """
    known = {**image.core, **image.context}
    if any(name not in known for name in edit.facets):
        return None
    kept = tuple(sorted((k, v) for k, v in image.core.items() if k not in edit.facets))
    return (kept, tuple(known[name] for name in edit.facets)) if kept else None


def _all_differ(old: Sequence[str], new: Sequence[str]) -> bool:
    return all(a != b for a, b in zip(old, new, strict=True))


def _in_turn(makers: Sequence[Iterator[Query]], count: int) -> Iterator[Query]:
    """One of each maker, again and again, until `count` or all are exhausted."""
    running, made = list(makers), 0
    while running and made < count:
        for maker in list(running):
            query = next(maker, None)
            if query is None:
                running.remove(maker)
            elif made < count:
                made += 1
                yield query
