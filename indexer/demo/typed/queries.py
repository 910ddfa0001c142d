"""Composed queries in typed texts over a set of scenes, with every right answer."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from indexer.demo.scene import Scene, Split
from indexer.demo.typed.edits import FAMILIES, Maker
from indexer.demo.typed.phrasebook import Phrasebook, phrasebook
from indexer.demo.typed.target import SceneIndex, SceneTarget
from models.datasets.attribute_queries import in_turn

_PASSES = 8  # over the scenes, each with other values


@dataclass(frozen=True)
class TypedQuery:
    """A reference scene, a typed text, and the scenes that fit.

    Attributes:
        reference: Index of the reference scene.
        family: One of `FAMILIES`.
        edit: One of the family's.
        text: The modification text.
        target: What it means.
        answers: Indices of all scenes that fit; never empty, never the reference.
        unanswerable: Whether it asks for what no attribute holds; the answers then are what keeps
            all that there is.
    """

    reference: int
    family: str
    edit: str
    text: str
    target: SceneTarget
    answers: list[int]
    unanswerable: bool


def compose_typed_queries(
    scenes: Sequence[Scene], split: Split, seed: int, count: int
) -> list[TypedQuery]:
    """Make queries, families in turn and of each family its edits, up to `count`.

    Args:
        scenes: The gallery; references and answers come from it.
        split: Decides the texts; there are none for "train", because nothing is trained with them.
        seed: Same scenes, split and seed give the same queries.
        count: The most queries to return.
    """
    if split == "train":
        return []
    book, index = phrasebook(split), SceneIndex(scenes)
    rng = random.Random(f"typed/{split}/{seed}")
    families = [
        in_turn(
            [_queries(index, book, rng, (family, edit, maker)) for edit, maker in edits.items()],
            count,
        )
        for family, edits in FAMILIES.items()
    ]
    return list(in_turn(families, count))


def _queries(
    index: SceneIndex,
    book: Phrasebook,
    rng: random.Random,
    made_by: tuple[str, str, Maker],
) -> Iterator[TypedQuery]:
    family, edit, maker = made_by
    for _ in range(_PASSES):
        for number in rng.sample(range(len(index.scenes)), len(index.scenes)):
            made = maker(index.scenes[number], rng, book)
            if made is None:
                continue
            answers = index.answers(made.target, number)
            if answers:
                yield TypedQuery(
                    number, family, edit, made.text, made.target, answers, made.unanswerable
                )
