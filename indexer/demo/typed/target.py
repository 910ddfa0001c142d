"""What a modification text asks for, as scenes: per item and facet the set of values that will do.

Knows nothing of texts; `edits.py` says which text asks for what.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import inf

from indexer.demo.artwork import PALETTE
from indexer.demo.scene import COLOURS, KINDS, PATTERNS, Item, Scene
from models.query.text.vocabulary.colours import lab_of

Values = frozenset[str]


@dataclass(frozen=True)
class ItemTarget:
    """The values that an item may have; by default any."""

    kind: Values = frozenset(KINDS)
    colour: Values = frozenset(COLOURS)
    pattern: Values = frozenset(PATTERNS)

    def fits(self, item: Item) -> bool:
        """Whether an item is one of what is allowed."""
        return (
            item.kind in self.kind and item.colour in self.colour and item.pattern in self.pattern
        )


def just(item: Item) -> ItemTarget:
    """An item as it is."""
    return ItemTarget(frozenset([item.kind]), frozenset([item.colour]), frozenset([item.pattern]))


@dataclass(frozen=True)
class SceneTarget:
    """The scenes that fit.

    Attributes:
        items: One per item of a scene.
        ordered: Whether they stand in this order, left to right.
        settings: Where they may stand; None: anywhere.
        below: What the price is below.
        above: What the price is above.
    """

    items: tuple[ItemTarget, ...]
    ordered: bool = False
    settings: Values | None = None
    below: float = inf
    above: float = -inf

    def fits(self, scene: Scene) -> bool:
        """Whether a scene is one of what is allowed."""
        if len(scene.items) != len(self.items) or not self.above < scene.price < self.below:
            return False
        if self.settings is not None and scene.setting not in self.settings:
            return False
        orders = [scene.items] if self.ordered else permutations(scene.items)
        return any(
            all(allowed.fits(item) for allowed, item in zip(self.items, order, strict=True))
            for order in orders
        )


class SceneIndex:
    """Finds the scenes that fit a target."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self._by_kinds: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, scene in enumerate(scenes):
            self._by_kinds[_key(item.kind for item in scene.items)].append(number)

    def answers(self, target: SceneTarget, reference: int) -> list[int]:
        """Numbers of the scenes that fit, ascending, without the reference."""
        keys = {_key(kinds) for kinds in product(*(item.kind for item in target.items))}
        near = [number for key in keys for number in self._by_kinds.get(key, ())]
        return sorted(n for n in near if n != reference and target.fits(self.scenes[n]))


def _key(kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(kinds))


def lightness(colour: str) -> float:
    """CIELAB's L, 0 to 100, of a colour as it is drawn."""
    return float(lab_of(PALETTE[colour].removeprefix("#"))[0])
