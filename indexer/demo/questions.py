"""Yes-or-no questions about a scene, half of them near misses: what a base reranker learns from."""

import random
from dataclasses import dataclass, replace

from indexer.demo import language
from indexer.demo.scene import COLOURS, KINDS, PATTERNS, SETTINGS, Item, Scene, sample_item


@dataclass(frozen=True)
class Question:
    """What comes behind "Is it", and the answer.

    A phrase with an article says all that is in the picture: beside a hat, "a red sofa" is wrong.
    A bare word asks whether it is there at all.
    """

    phrase: str
    answer: bool


def make_questions(scene: Scene, count: int) -> list[Question]:
    """`count` questions; the same scene always gets the same."""
    rng = random.Random(f"questions/{scene.seed}")
    return [
        _about_a_word(scene, rng) if rng.random() < 0.3 else _about_everything(scene, rng)
        for _ in range(count)
    ]


def _about_a_word(scene: Scene, rng: random.Random) -> Question:
    if rng.random() < 0.2:
        setting = scene.setting if rng.random() < 0.5 else rng.choice(SETTINGS)
        return Question(rng.choice(language.PLACES[setting]), setting == scene.setting)
    facet, words = rng.choice((("kind", KINDS), ("colour", COLOURS), ("pattern", PATTERNS)))
    there = [getattr(item, facet) for item in scene.items]
    word = rng.choice(there) if rng.random() < 0.5 else rng.choice(words)
    return Question(word, word in there)


def _about_everything(scene: Scene, rng: random.Random) -> Question:
    other = scene if rng.random() < 0.4 else _near_miss(scene, rng)
    ordered = len(other.items) == 2 and rng.random() < 0.4
    if ordered:
        phrase = language.describe_items(other.items)
    else:
        items = rng.sample(other.items, len(other.items))
        phrase = " and ".join(language.describe_item(item) for item in items)
    placed = rng.random() < 0.3
    if placed:
        phrase += f" {language.PLACES[other.setting][0]}"
    return Question(
        phrase,
        sorted(other.items) == sorted(scene.items)
        and (not ordered or other.items == scene.items)
        and (not placed or other.setting == scene.setting),
    )


def _near_miss(scene: Scene, rng: random.Random) -> Scene:
    """The scene with one thing wrong: a facet, the place, the sides, an object too many or few."""
    index = rng.randrange(len(scene.items))
    item = scene.items[index]
    ways = ["colour", "pattern", "kind", "setting"]
    ways += ["mixed", "sides", "fewer"] if len(scene.items) == 2 else ["more"]
    way = rng.choice(ways)
    if way == "setting":
        return replace(scene, setting=rng.choice(SETTINGS))
    if way == "more":
        extra = sample_item(rng, held_out_allowed=False, not_kind=item.kind)
        return replace(scene, items=(item, extra) if rng.random() < 0.5 else (extra, item))
    if way == "fewer":
        return replace(scene, items=(item,))
    if way == "sides":
        return replace(scene, items=scene.items[::-1])
    if way == "mixed":
        left, right = scene.items
        facet = rng.choice(("colour", "pattern"))
        return replace(
            scene,
            items=(
                replace(left, **{facet: getattr(right, facet)}),
                replace(right, **{facet: getattr(left, facet)}),
            ),
        )
    words = {"colour": COLOURS, "pattern": PATTERNS, "kind": KINDS}[way]
    taken = {getattr(i, way) for i in scene.items} if way == "kind" else {getattr(item, way)}
    wrong: Item = replace(item, **{way: rng.choice([w for w in words if w not in taken])})
    items = list(scene.items)
    items[index] = wrong
    return replace(scene, items=tuple(items))
