"""Composed queries from a catalogue's attributes and captions, without further labels.

"This, but wooden" changes one or two facets of a reference and keeps the others; "not wooden"
leaves the new value open; a caption asks for another picture in a whole sentence. What an answer
must satisfy (`AttributeQuery`) and what a reranker shall say the query means (`Intent`) follow.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.contracts.intent import MAX_PHRASE_CHARS, Intent
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
    edits: list[tuple[tuple[str, ...], bool]] = [
        ((name,), False) for name in (*catalogue.core, *catalogue.context)
    ]
    edits += [((name,), True) for name in catalogue.core]
    edits += [(pair, False) for pair in combinations(catalogue.core, 2)]
    makers = [
        _changes(catalogue, facets, negated, shuffled, part, rng) for facets, negated in edits
    ]
    captioned = _round_robin(
        [_captions(catalogue, shuffled, part, rng)], round(caption_share * count)
    )
    return [*captioned, *_round_robin(makers, count - len(captioned))]


def part_of(image_id: str, validation_share: float) -> Part:
    """Where a reference belongs: its name alone decides, so that no reference is in both parts."""
    return PARTS[random.Random(f"part/{image_id}").random() < validation_share]


def _changes(
    catalogue: Catalogue, facets: tuple[str, ...], negated: bool, references: Sequence[int],
    part: Part, rng: random.Random,
) -> Iterator[Query]:  # fmt: skip
    """Every query that one kind of change makes of the references, one each."""
    attribute_table = catalogue.attribute_table
    edit = f"{'not this' if negated else 'change'} {' and '.join(facets)}"
    for reference in references:
        known = attribute_table.single(reference)
        # a reference with several things would leave open which of them is meant
        if len(known) < len(attribute_table.all_of(reference)) or not known.keys() >= set(facets):
            continue
        kept = {f: known[f] for f in catalogue.core if f in known and f not in facets}
        old = tuple(known[facet] for facet in facets)
        new = () if negated else _new_values(catalogue, kept, facets, old, rng)
        if not kept or new is None:  # where nothing is kept, the reference would have no say
            continue
        required = {**kept, **dict(zip(facets, new, strict=False))}
        attribute_query = AttributeQuery(
            {facet: frozenset([value]) for facet, value in required.items()},
            {facets[0]: old[0]} if negated else {},
        )
        answers = np.flatnonzero(attribute_table.relevance(attribute_query).relevant)
        if not len(answers):
            continue
        yield Query(
            edit, facets, reference,
            phrase(_form(catalogue, facets, negated), facets, old, new, part, rng),
            _intent(catalogue, required, kept, old, new, negated),
            attribute_query, tuple(answers.tolist()),
        )  # fmt: skip


def _new_values(
    catalogue: Catalogue, kept: Mapping[str, str], facets: tuple[str, ...], old: tuple[str, ...],
    rng: random.Random,
) -> tuple[str, ...] | None:  # fmt: skip
    """Values that some picture has, which agrees with the reference in all that is kept."""
    attribute_table = catalogue.attribute_table
    alike = attribute_table.relevance(
        AttributeQuery({facet: frozenset([value]) for facet, value in kept.items()})
    ).relevant
    there = set()
    for picture in np.flatnonzero(alike):
        known = attribute_table.single(int(picture))
        new = tuple(known.get(facet, "") for facet in facets)
        if all(new) and all(a != b for a, b in zip(old, new, strict=True)):
            there.add(new)
    return rng.choice(sorted(there)) if there else None


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


def _intent(
    catalogue: Catalogue, required: Mapping[str, str], kept: Mapping[str, str],
    old: tuple[str, ...], new: tuple[str, ...], negated: bool,
) -> Intent:  # fmt: skip
    """What the query means, with the target in the words that the service finds for it."""
    noun = required.get(catalogue.noun_facet, "one")
    adjectives = [
        (facet, required[facet])
        for facet in catalogue.core
        if facet in required and facet != catalogue.noun_facet
    ]
    target = DepictedItem(noun, tuple(adjectives)).phrase
    target += "".join(f", {required[facet]}" for facet in catalogue.context if facet in required)
    target += f" that is not {old[0]}" if negated else ""
    return Intent(
        target=target[:MAX_PHRASE_CHARS],
        preserve=tuple(kept.values())[:8],
        desired=new,
        forbidden=old,
    )


def _form(catalogue: Catalogue, facets: tuple[str, ...], negated: bool) -> str:
    if negated:
        return "not"
    if len(facets) == 2:
        return "two"
    return "noun" if facets[0] == catalogue.noun_facet else "change"


def _round_robin(makers: Sequence[Iterator[Query]], count: int) -> list[Query]:
    """One of each maker, again and again, until there are `count` or all are exhausted."""
    running = list(makers)
    made: list[Query] = []
    while running and len(made) < count:
        for maker in list(running):
            query = next(maker, None)
            if query is None:
                running.remove(maker)
            else:
                made.append(query)
    return made[:count]
