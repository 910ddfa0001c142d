"""Composed queries from a catalogue's attributes and captions, without further labels.

Changes of attributes are those of `models.datasets.attribute_queries`; a caption asks for another
picture in a whole sentence. What an answer must satisfy (`AttributeQuery`) and what a reranker
shall say the query means (`Intent`) follow.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.contracts.intent import MAX_PHRASE_CHARS, Intent
from models.datasets.attribute_queries import EditQuery, attribute_queries, in_turn
from models.datasets.phrasings import PARTS, Part, phrase
from models.query.attribute_reader import DepictedItem
from models.query.facet_linking import link_facets
from models.training.reranker.catalogue import AttributeQuery, Catalogue


@dataclass(frozen=True)
class Query:
    """A composed query.

    Attributes:
        edit: Its kind in words, such as "change colour".
        facets: The facets that change.
        reference: The reference picture's number in the catalogue.
        text: The modification text.
        intent: What it means.
        attribute_query: What an answer must satisfy.
        answers: Numbers of pictures that do; never the reference.
    """

    edit: str
    facets: tuple[str, ...]
    reference: int
    text: str
    intent: Intent
    attribute_query: AttributeQuery
    answers: tuple[int, ...]


def compose_queries(
    catalogue: Catalogue, part: Part, references: Sequence[int], count: int, seed: int,
    caption_share: float,
) -> list[Query]:  # fmt: skip
    """Make queries: as many from captions as `caption_share` says, the rest of each kind in turn.

    Args:
        catalogue: The pictures.
        part: Whose phrasings.
        references: Pictures that may be references.
        count: The most queries.
        seed: Same catalogue, part and seed give the same queries.
        caption_share: From 0 to 1.
    """
    rng = random.Random(f"{part}/{seed}")
    shuffled = list(references)
    rng.shuffle(shuffled)
    captioned = in_turn([_captions(catalogue, shuffled, part, rng)], round(caption_share * count))
    queries = list(captioned)
    images = _CatalogueImages(catalogue)
    for edit in attribute_queries(images, shuffled, count - len(queries), part, rng):
        queries.append(_as_query(catalogue, edit))
    return queries


def part_of(image_id: str, validation_share: float) -> Part:
    """Where a reference belongs: its name alone decides, so that no reference is in both parts."""
    return PARTS[random.Random(f"part/{image_id}").random() < validation_share]


class _CatalogueImages:
    """A catalogue's pictures with one value per facet, for `attribute_queries`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.core, self.context = catalogue.core, catalogue.context
        self.noun_facet: str | None = catalogue.noun_facet
        self._table = catalogue.attribute_table

    def values(self, image: int) -> Mapping[str, str]:
        """Nothing of a picture with several values of a facet, which may show several things."""
        known = self._table.single(image)
        return known if len(known) == len(self._table.all_of(image)) else {}

    def alternatives(
        self, kept: Mapping[str, str], facets: tuple[str, ...]
    ) -> Mapping[tuple[str, ...], Sequence[int]]:
        """Of the pictures with just what is kept: their values of the facets → the pictures."""
        alike = self._table.relevance(
            AttributeQuery({facet: frozenset([value]) for facet, value in kept.items()})
        ).relevant
        found: dict[tuple[str, ...], list[int]] = {}
        for picture in np.flatnonzero(alike).tolist():
            known = self._table.single(picture)
            if known.keys() >= set(facets):
                found.setdefault(tuple(known[facet] for facet in facets), []).append(picture)
        return found


def _as_query(catalogue: Catalogue, made: EditQuery[int]) -> Query:
    facets = made.edit.facets
    required = {**made.kept, **dict(zip(facets, made.new, strict=False))}
    return Query(
        edit=made.edit.name,
        facets=facets,
        reference=made.reference,
        text=made.text,
        intent=_intent(catalogue, required, made),
        attribute_query=AttributeQuery(
            {facet: frozenset([value]) for facet, value in required.items()},
            {facets[0]: made.old[0]} if made.edit.negated else {},
        ),
        answers=tuple(sorted(made.answers)),
    )


def _captions(
    catalogue: Catalogue, references: Sequence[int], part: Part, rng: random.Random
) -> Iterator[Query]:
    """Queries that ask for another picture by its caption.

    The attribute query holds what the caption says in the catalogue's own words, no more: "a sofa"
    is no reason to call another colour wrong. Right is the captioned picture alone, because a
    caption may say what no attribute does.
    """
    for reference, picture in zip(references, [*references[1:], *references[:1]], strict=True):
        caption = catalogue.rows[picture].caption
        if not caption or picture == reference:
            continue
        labelled = catalogue.attribute_table.all_of(picture)
        said: dict[str, set[str]] = {}
        for mention in link_facets(caption, catalogue.facets):
            if mention.value in labelled.get(mention.facet, ()):
                said.setdefault(mention.facet, set()).add(mention.value)
        if len(said) < 2:
            continue
        words = [value for values in said.values() for value in sorted(values)]
        yield Query(
            "caption", (), reference, phrase("caption", (), (), (caption,), part, rng),
            Intent(target=caption[:MAX_PHRASE_CHARS], desired=tuple(words[:8])),
            AttributeQuery({facet: frozenset(values) for facet, values in said.items()}),
            (picture,),
        )  # fmt: skip


def _intent(catalogue: Catalogue, required: Mapping[str, str], made: EditQuery[int]) -> Intent:
    """What the query means, with the target in the words that the service finds for it."""
    noun = required.get(catalogue.noun_facet, "one")
    adjectives = [
        (facet, required[facet])
        for facet in catalogue.core
        if facet in required and facet != catalogue.noun_facet
    ]
    target = DepictedItem(noun, tuple(adjectives)).phrase
    target += "".join(f", {required[facet]}" for facet in catalogue.context if facet in required)
    target += f" that is not {made.old[0]}" if made.edit.negated else ""
    return Intent(
        target=target[:MAX_PHRASE_CHARS],
        preserve=tuple(made.kept.values())[:8],
        desired=made.new,
        forbidden=made.old,
    )
