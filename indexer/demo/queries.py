"""Composed queries over a set of scenes, with every right answer computed from the scenes.

What a modification text does not speak of splits in two: what the objects *are* (kind, colour,
pattern) is kept; where they stand (setting, and who is left or right) is free, unless the text
names it. This is the same intersection that the service searches by.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from indexer.demo import language
from indexer.demo.scene import COLOURS, KINDS, PATTERNS, Item, Scene, Split, sample_item
from models.datasets.attribute_queries import in_turn


@dataclass(frozen=True)
class ComposedQuery:
    """A reference scene, what should be different, and the scenes that fit.

    Attributes:
        reference: Index of the reference scene.
        edit: The kind of edit, one of `language.EDITS`.
        modification_text: The change in words.
        target: The picture that is asked for, in words, without what is free.
        preserve: Phrases of the reference that must stay.
        desired: Phrases the text asks for.
        forbidden: Phrases the text rules out.
        answers: Indices of all scenes that fit; never empty, never the reference.
        held_out: Whether the target contains a combination never trained on.
    """

    reference: int
    edit: str
    modification_text: str
    target: str
    preserve: list[str]
    desired: list[str]
    forbidden: list[str]
    answers: list[int]
    held_out: bool


@dataclass(frozen=True)
class _Target:
    items: tuple[Item, ...]
    words: dict[str, str]
    preserve: list[str]
    desired: list[str]
    forbidden: list[str]
    ordered: bool = False  # whether left and right matter
    setting: str | None = None


class _SceneIndex:
    """Finds all scenes that fit a target."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._by_items: dict[tuple[Item, ...], list[int]] = defaultdict(list)
        self.scenes = scenes
        for number, scene in enumerate(scenes):
            self._by_items[tuple(sorted(scene.items))].append(number)

    def answers(self, target: _Target, reference: int) -> list[int]:
        return [
            number
            for number in self._by_items[tuple(sorted(target.items))]
            if number != reference
            and (not target.ordered or self.scenes[number].items == target.items)
            and (target.setting is None or self.scenes[number].setting == target.setting)
        ]


def compose_queries(
    scenes: Sequence[Scene], split: Split, seed: int, count: int
) -> list[ComposedQuery]:
    """Make composed queries, as many of each kind of edit as the scenes allow, up to `count`.

    Args:
        scenes: The gallery; references and answers come from it.
        split: Decides the phrasings, see `language.modification_text`.
        seed: Same scenes, split and seed give the same queries.
        count: The most queries to return.

    Returns:
        Queries in a shuffled order, kinds of edit taken in turn.
    """
    rng = random.Random(f"queries/{split}/{seed}")
    index = _SceneIndex(scenes)
    order = list(range(len(scenes)))
    rng.shuffle(order)
    makers = [_queries_of(edit, index, order, split, rng) for edit in language.EDITS]
    return list(in_turn(makers, count))


def _queries_of(
    edit: str, index: _SceneIndex, order: list[int], split: Split, rng: random.Random
) -> Iterator[ComposedQuery]:
    for found in _edits_of(edit, index.scenes, order, split, rng):
        if index.answers(found[1], found[0]):
            yield _query(found, index, split, rng)


def _query(
    found: tuple[int, _Target, str], index: _SceneIndex, split: Split, rng: random.Random
) -> ComposedQuery:
    reference, target, edit = found
    two_objects = len(index.scenes[reference].items) == 2
    words = language.describe_items(target.items)
    if not target.ordered:
        words = " and ".join(language.describe_item(item) for item in target.items)
    if target.setting is not None:
        words += f" {language.PLACES[target.setting][0]}"
    return ComposedQuery(
        reference=reference,
        edit=edit,
        modification_text=language.modification_text(
            edit, target.words, split, rng, must_name=edit in _OBJECT_EDITS and two_objects
        ),
        target=words,
        preserve=target.preserve,
        desired=target.desired,
        forbidden=target.forbidden,
        answers=index.answers(target, reference),
        held_out=any(item.is_held_out for item in target.items),
    )


def _edits_of(
    edit: str, scenes: Sequence[Scene], order: list[int], split: Split, rng: random.Random
) -> Iterator[tuple[int, _Target, str]]:
    """Every target of one kind of edit, over all scenes, in random order."""
    for _ in range(8):
        for number in order:
            target = _TARGETS[edit](scenes[number], rng, split != "train")
            if target is not None:
                yield number, target, edit


def _the(scene: Scene, item: Item) -> str:
    return f"the {item.kind}" if len(scene.items) == 2 else "it"


def _facet_words(item: Item) -> list[str]:
    return [word for word in (item.colour, item.pattern, item.kind) if word != "plain"]


def _change_at(scene: Scene, index: int, changes: dict[str, str]) -> _Target:
    """Replace facets of one item; the scene's other objects, and its other facets, stay."""
    item = scene.items[index]
    items = list(scene.items)
    items[index] = replace(item, **changes)
    old = [getattr(item, facet) for facet in changes]
    new = list(changes.values())
    kept = [word for word in _facet_words(item) if word not in old]
    kept += [language.describe_item(other) for other in scene.items if other != item]
    words = {"the": _the(scene, item), "old": old[0], "new": new[0], "new2": new[-1]}
    return _Target(tuple(items), words, kept, new, old)


def _colour(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    index = rng.randrange(len(scene.items))
    other = rng.choice([c for c in COLOURS if c != scene.items[index].colour])
    return _change_at(scene, index, {"colour": other})


def _pattern(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    index = rng.randrange(len(scene.items))
    other = rng.choice([p for p in PATTERNS if p != scene.items[index].pattern])
    return _change_at(scene, index, {"pattern": other})


def _kind(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    index = rng.randrange(len(scene.items))
    other = rng.choice([k for k in KINDS if k not in {item.kind for item in scene.items}])
    return _change_at(scene, index, {"kind": other})


def _two_changes(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    index = rng.randrange(len(scene.items))
    item = scene.items[index]
    return _change_at(
        scene,
        index,
        {
            "colour": rng.choice([c for c in COLOURS if c != item.colour]),
            "pattern": rng.choice([p for p in PATTERNS if p != item.pattern]),
        },
    )


def _setting(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    setting = rng.choice([s for s in language.PLACES if s != scene.setting])
    place = rng.choice(language.PLACES[setting])
    return _Target(
        scene.items,
        {"place": place},
        [language.describe_item(item) for item in scene.items],
        [place],
        [language.PLACES[scene.setting][0]],
        setting=setting,
    )


def _relation(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    if len(scene.items) < 2:
        return None
    index = rng.randrange(2)
    words = {"the": _the(scene, scene.items[index]), "side": ("right", "left")[index]}
    items = scene.items[::-1]
    return _Target(
        items,
        words,
        [language.describe_item(item) for item in scene.items],
        [language.describe_items(items)],
        [language.describe_items(scene.items)],
        ordered=True,
    )


def _add(scene: Scene, rng: random.Random, held_out_allowed: bool) -> _Target | None:
    if len(scene.items) > 1:
        return None
    (item,) = scene.items
    extra = sample_item(rng, held_out_allowed=held_out_allowed, not_kind=item.kind)
    side = rng.choice(("left", "right"))
    items = (extra, item) if side == "left" else (item, extra)
    phrase = language.describe_item(extra)
    return _Target(
        items, {"item": phrase, "side": side}, [language.describe_item(item)], [phrase], [],
        ordered=True,
    )  # fmt: skip


def _remove(scene: Scene, rng: random.Random, _: bool) -> _Target | None:
    if len(scene.items) < 2:
        return None
    gone, kept = rng.sample(scene.items, 2)
    words = {"the": f"the {gone.kind}", "other": kept.kind}
    return _Target(
        (kept,), words, [language.describe_item(kept)], [], [language.describe_item(gone)]
    )


_OBJECT_EDITS = {"colour", "pattern", "kind", "two_changes"}
_TARGETS = {
    "colour": _colour, "pattern": _pattern, "kind": _kind, "setting": _setting,
    "relation": _relation, "add": _add, "remove": _remove, "two_changes": _two_changes,
}  # fmt: skip
