"""What a demo scene is made of, and how scenes are sampled.

A scene is one or two objects in a setting; an object is a kind with a colour and a pattern. This
module knows words and randomness, nothing of drawing (`render.py`) or of sentences (`language.py`).

Some (kind, colour, pattern) combinations are held out: they never appear in a training scene, so
that validation and test can say how well a model combines what it has only seen apart.
"""

import random
import zlib
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from models.errors import InputError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

KINDS = (
    "sofa", "chair", "lamp", "table", "cushion", "dress", "shirt", "shoe",
    "hat", "bag", "umbrella", "mug", "teapot", "vase", "car", "guitar",
)  # fmt: skip
COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey",
)  # fmt: skip
PATTERNS = ("plain", "striped", "dotted", "checked")
SETTINGS = ("studio", "beach", "snow", "forest", "street", "night", "room", "desert")

HELD_OUT_PERCENT = 10
TWO_OBJECT_SHARE = 0.5
# a facet that no shipped model knows; the shipped reranker's vision tower tells these apart, unlike
# gloss, wood grain, weave, leather and fur, which are lost between its patches of 16 px
FINISHES = ("matte", "metallic", "glassy", "glowing")
UNFINISHED_SHARE = 0.3  # of the scenes of a catalogue with finishes

_PRICES = {
    "sofa": 640, "chair": 120, "lamp": 75, "table": 260, "cushion": 25, "dress": 90, "shirt": 35,
    "shoe": 80, "hat": 40, "bag": 110, "umbrella": 30, "mug": 12, "teapot": 38, "vase": 45,
    "car": 18500, "guitar": 340,
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Item:
    """One object of a scene; `finish` is "" in catalogues without that facet."""

    kind: str
    colour: str
    pattern: str
    finish: str = ""

    @property
    def is_held_out(self) -> bool:
        """Whether training scenes must not contain this combination."""
        return zlib.crc32(f"{self.kind}/{self.colour}/{self.pattern}".encode()) % 100 < (
            HELD_OUT_PERCENT
        )


@dataclass(frozen=True)
class Scene:
    """One or two items, left to right, in a setting.

    Attributes:
        items: The objects, left to right.
        setting: Where they stand, one of `SETTINGS`.
        seed: Decides everything a caption does not tell: scale, position, shade, scenery.
    """

    items: tuple[Item, ...]
    setting: str
    seed: int = field(compare=False)

    @property
    def is_held_out(self) -> bool:
        """Whether any item is a held-out combination."""
        return any(item.is_held_out for item in self.items)

    @property
    def price(self) -> int:
        """A made-up price of all items together, so that numeric filters can be tried."""
        wobble = random.Random(self.seed).uniform(0.8, 1.25)
        return round(sum(_PRICES[item.kind] for item in self.items) * wobble)

    def attributes(self) -> dict[str, str | list[str] | int]:
        """The facets a catalogue would know about this image; lists where there are two items."""
        finishes = [item.finish for item in self.items if item.finish]
        return {
            "category": _one_or_list([item.kind for item in self.items]),
            "colour": _one_or_list([item.colour for item in self.items]),
            "pattern": _one_or_list([item.pattern for item in self.items]),
            **({"finish": _one_or_list(finishes)} if finishes else {}),
            "setting": self.setting,
            "price": self.price,
        }


def _one_or_list(values: list[str]) -> str | list[str]:
    unique = list(dict.fromkeys(values))
    return unique[0] if len(unique) == 1 else unique


def sample_item(rng: random.Random, *, held_out_allowed: bool, not_kind: str | None = None) -> Item:
    """Draw one item; items of one scene differ in kind, so that words can tell them apart."""
    while True:
        item = Item(rng.choice(KINDS), rng.choice(COLOURS), rng.choice(PATTERNS))
        if item.kind != not_kind and (held_out_allowed or not item.is_held_out):
            return item


def sample_scene(rng: random.Random, *, held_out_allowed: bool) -> Scene:
    """Draw a scene with one or two items."""
    items: tuple[Item, ...] = (sample_item(rng, held_out_allowed=held_out_allowed),)
    if rng.random() < TWO_OBJECT_SHARE:
        items += (sample_item(rng, held_out_allowed=held_out_allowed, not_kind=items[0].kind),)
    return Scene(items, rng.choice(SETTINGS), rng.getrandbits(32))


def variations(scene: Scene, rng: random.Random, *, held_out_allowed: bool) -> list[Scene]:
    """Scenes one step away from `scene`, as a real catalogue has them: other colour, place, …

    Every step is one that a composed query can ask for, so a gallery built of families has right
    answers and, around them, the hard wrong ones.
    """

    def redraw(index: int, **change: str) -> tuple[Item, ...]:
        items = list(scene.items)
        items[index] = replace(items[index], **change)
        return tuple(items)

    index = rng.randrange(len(scene.items))
    item = scene.items[index]
    other_kinds = [kind for kind in KINDS if kind not in {i.kind for i in scene.items}]
    candidates = [
        redraw(index, colour=rng.choice([c for c in COLOURS if c != item.colour])),
        redraw(index, pattern=rng.choice([p for p in PATTERNS if p != item.pattern])),
        redraw(index, kind=rng.choice(other_kinds)),
        redraw(
            index,
            colour=rng.choice([c for c in COLOURS if c != item.colour]),
            pattern=rng.choice([p for p in PATTERNS if p != item.pattern]),
        ),
        scene.items,
    ]
    if len(scene.items) == 2:
        candidates += [scene.items[::-1], (scene.items[0],), (scene.items[1],)]
    else:
        extra = sample_item(rng, held_out_allowed=held_out_allowed, not_kind=item.kind)
        candidates += [(item, extra), (extra, item)]
    return [
        Scene(items, rng.choice(SETTINGS), rng.getrandbits(32))
        for items in candidates
        if held_out_allowed or not any(i.is_held_out for i in items)
    ]


def with_finishes(scene: Scene) -> Scene:
    """The scene with a finish for every item, or, like products without a description, without;
    the same scene always gets the same.
    """
    rng = random.Random(f"finishes/{scene.seed}")
    if rng.random() < UNFINISHED_SHARE:
        return scene
    return replace(
        scene, items=tuple(replace(item, finish=rng.choice(FINISHES)) for item in scene.items)
    )


def sample_scenes(count: int, seed: int, split: Split, families: bool | None = None) -> list[Scene]:
    """Draw the scenes of one split.

    Training scenes never hold a held-out combination.

    Args:
        count: How many scenes, at least 1.
        seed: Same seed, count and split give the same scenes.
        split: Splits draw from different random streams, so they share no scene.
        families: Whether scenes come in families (`variations`): a gallery without near neighbours
            asks nothing hard. By default validation and test scenes do, and training scenes are
            independent draws.

    Raises:
        InputError: `count` is below 1.
    """
    if count < 1:
        raise InputError(f"a catalogue needs at least 1 image, got {count}")
    rng = random.Random(f"{split}/{seed}")
    held_out = split != "train"
    if not (split != "train" if families is None else families):
        return [sample_scene(rng, held_out_allowed=held_out) for _ in range(count)]
    scenes: list[Scene] = []
    while len(scenes) < count:
        parent = sample_scene(rng, held_out_allowed=held_out)
        scenes += [parent, *variations(parent, rng, held_out_allowed=held_out)]
    return scenes[:count]
