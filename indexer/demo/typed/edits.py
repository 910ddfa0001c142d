"""What people ask for, family by family: a text, and the scenes that it means.

What a text does not speak of stays: what things are. Where they stand is open unless the text says
it. Of two things, what comes in the place of one may look any way; a price asked for keeps all
else; what no attribute holds, such as size, changes nothing and is *unanswerable*.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from indexer.demo.language import PLACES, describe_item
from indexer.demo.scene import COLOURS, KINDS, PATTERNS, SETTINGS, Item, Scene, sample_item
from indexer.demo.typed.phrasebook import LANGUAGES, Phrasebook
from indexer.demo.typed.target import ItemTarget, SceneTarget, just, lightness
from models.datasets.slips import mistyped

_FACETS: Mapping[str, Sequence[str]] = {"colour": COLOURS, "pattern": PATTERNS, "kind": KINDS}
_NOUNS = {"striped": "stripes", "dotted": "dots", "checked": "checks"}
_NEARLY_AS_LIGHT = 2  # of CIELAB's L: nobody calls that lighter


@dataclass(frozen=True)
class TypedEdit:
    """A text and what it means.

    Attributes:
        text: As it is typed.
        target: The scenes that fit.
        unanswerable: Whether it asks for what no attribute holds: an answer has to say so.
    """

    text: str
    target: SceneTarget
    unanswerable: bool = False


# None: the scene is no reference for it
Maker = Callable[[Scene, random.Random, Phrasebook], TypedEdit | None]


def _another(facet: str, rng: random.Random, *had: str) -> str:
    return rng.choice([value for value in _FACETS[facet] if value not in had])


def _with(item: Item, **allowed: Sequence[str]) -> ItemTarget:
    """An item with other values, and else as it is."""
    return replace(just(item), **{facet: frozenset(values) for facet, values in allowed.items()})


def _all_but(facet: str, *refused: str) -> list[str]:
    return [value for value in _FACETS[facet] if value not in refused]


def _one(scene: Scene) -> Item | None:
    return scene.items[0] if len(scene.items) == 1 else None


def _changed(family: str, facet: str) -> Maker:
    """Another value of a facet, in the gallery's own word."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        new = _another(facet, rng, getattr(item, facet))
        text = book.text(family, facet, rng, new=new, kind=item.kind)
        return TypedEdit(text, SceneTarget((_with(item, **{facet: [new]}),)))

    return make


def _placed(family: str) -> Maker:
    """Another setting."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        setting = rng.choice([each for each in SETTINGS if each != scene.setting])
        place = PLACES[setting][0]
        text = book.text(family, "setting", rng, place=place, setting=setting, kind=item.kind)
        return TypedEdit(text, SceneTarget((just(item),), settings=frozenset([setting])))

    return make


def _two_changes(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    colour, pattern = _another("colour", rng, item.colour), _another("pattern", rng, item.pattern)
    text = book.text("own_words", "two_changes", rng, new=colour, new2=pattern, kind=item.kind)
    return TypedEdit(text, SceneTarget((_with(item, colour=[colour], pattern=[pattern]),)))


def _with_slips(maker: Maker) -> Maker:
    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        made = maker(scene, rng, book)
        return None if made is None else replace(made, text=mistyped(made.text, rng))

    return make


def _reworded(facet: str, words: str = "") -> Maker:
    """Another value in another word, or described; `words`: the table's name."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        new = _another(facet, rng, getattr(item, facet))
        word = book.other_word(words or facet, new, rng)
        if word is None:
            return None
        text = book.text("reworded", words or facet, rng, new=word, kind=item.kind)
        return TypedEdit(text, SceneTarget((_with(item, **{facet: [new]}),)))

    return make


def _reworded_place(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    setting = rng.choice([each for each in SETTINGS if each != scene.setting])
    place = book.other_word("setting", setting, rng) or ""
    text = book.text("reworded", "setting", rng, place=place, kind=item.kind)
    return TypedEdit(text, SceneTarget((just(item),), settings=frozenset([setting])))


def _refused(facet: str) -> Maker:
    """The value that it has."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        old = getattr(item, facet)
        noun = {"old_s": _NOUNS[old]} if old in _NOUNS else {}
        text = book.text("negation", facet, rng, old=old, kind=item.kind, **noun)
        return TypedEdit(text, SceneTarget((_with(item, **{facet: _all_but(facet, old)}),)))

    return make


def _refused_place(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    text = book.text("negation", "setting", rng, place=PLACES[scene.setting][0])
    others = frozenset(SETTINGS) - {scene.setting}
    return TypedEdit(text, SceneTarget((just(item),), settings=others))


def _contrast(edit: str) -> Maker:
    """One colour refused, another wanted: "not red, blue"; "red. no, blue"."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        new = _another("colour", rng, item.colour)
        other = _another("colour", rng, item.colour, new)
        text = book.text("negation", edit, rng, old=item.colour, new=new, other=other)
        return TypedEdit(text, SceneTarget((_with(item, colour=[new]),)))

    return make


def _two_refused(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    other = _another("colour", rng, item.colour)
    text = book.text("negation", "two", rng, old=item.colour, other=other)
    allowed = _all_but("colour", item.colour, other)
    return TypedEdit(text, SceneTarget((_with(item, colour=allowed),)))


def _two(scene: Scene, rng: random.Random) -> tuple[Item, Item] | None:
    """The thing that a text is about, and the other one."""
    if len(scene.items) != 2:
        return None
    about, other = rng.sample(scene.items, 2)
    return about, other


def _one_changed(facet: str) -> Maker:
    """A colour or pattern of one of two things."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (things := _two(scene, rng)) is None:
            return None
        about, other = things
        new = _another(facet, rng, getattr(about, facet))
        text = book.text("several_things", facet, rng, new=new, a=about.kind, b=other.kind)
        return TypedEdit(text, SceneTarget((_with(about, **{facet: [new]}), just(other))))

    return make


def _removed(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (things := _two(scene, rng)) is None:
        return None
    about, other = things
    text = book.text("several_things", "remove", rng, a=about.kind, b=other.kind)
    return TypedEdit(text, SceneTarget((just(other),)))


def _replaced(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (things := _two(scene, rng)) is None:
        return None
    about, other = things
    new = _another("kind", rng, about.kind, other.kind)
    text = book.text("several_things", "replace", rng, new=new, a=about.kind, b=other.kind)
    return TypedEdit(text, SceneTarget((ItemTarget(kind=frozenset([new])), just(other))))


def _added(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    new = _another("kind", rng, item.kind)
    text = book.text("several_things", "add", rng, new=new, kind=item.kind)
    return TypedEdit(text, SceneTarget((just(item), ItemTarget(kind=frozenset([new])))))


def _added_item(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    extra = sample_item(rng, held_out_allowed=True, not_kind=item.kind)
    text = book.text("several_things", "add_item", rng, item=describe_item(extra), kind=item.kind)
    return TypedEdit(text, SceneTarget((just(item), just(extra))))


def _swapped(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if len(scene.items) != 2:
        return None
    left, right = scene.items
    text = book.text("several_things", "swap", rng, left=left.kind, right=right.kind)
    return TypedEdit(text, SceneTarget((just(right), just(left)), ordered=True))


def _both(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (things := _two(scene, rng)) is None:
        return None
    about, other = things
    new = _another("colour", rng, about.colour, other.colour)
    text = book.text("several_things", "both", rng, new=new, a=about.kind, b=other.kind)
    return TypedEdit(text, SceneTarget(tuple(_with(item, colour=[new]) for item in things)))


def _foreign(language: str) -> Maker:
    """Any of these in another language."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if len(scene.items) == 2:
            return _foreign_of_two(language, scene, rng, book)
        (item,) = scene.items
        edit = rng.choice(("colour", "pattern", "kind", "setting", "negation", "add"))
        if edit == "setting":
            where = rng.choice([each for each in SETTINGS if each != scene.setting])
            words = {"place": book.translated(language, "setting", where)}
            target = SceneTarget((just(item),), settings=frozenset([where]))
        elif edit == "negation":
            words = {"old": book.translated(language, "colour", item.colour)}
            target = SceneTarget((_with(item, colour=_all_but("colour", item.colour)),))
        elif edit in ("kind", "add"):
            new = _another("kind", rng, item.kind)
            words = {"a_new": book.noun(language, new)[0]}
            added = (just(item), ItemTarget(kind=frozenset([new])))
            target = SceneTarget(added if edit == "add" else (_with(item, kind=[new]),))
        else:
            new = _another(edit, rng, getattr(item, edit))
            words = {"new": book.translated(language, edit, new)}
            target = SceneTarget((_with(item, **{edit: [new]}),))
        return TypedEdit(book.foreign(language, edit, rng, **words), target)

    return make


def _foreign_of_two(
    language: str, scene: Scene, rng: random.Random, book: Phrasebook
) -> TypedEdit | None:
    about, other = rng.sample(scene.items, 2)
    _, the_a, of_a = book.noun(language, about.kind)
    words = {"the_a": the_a, "of_a": of_a, "the_b": book.noun(language, other.kind)[1]}
    if rng.random() < 0.5:
        return TypedEdit(
            book.foreign(language, "remove", rng, **words), SceneTarget((just(other),))
        )
    new = _another("kind", rng, about.kind, other.kind)
    words["a_new"] = book.noun(language, new)[0]
    target = SceneTarget((ItemTarget(kind=frozenset([new])), just(other)))
    return TypedEdit(book.foreign(language, "replace", rng, **words), target)


def _priced(edit: str) -> Maker:
    """Cheaper, dearer, or within a limit."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        limit = round(scene.price * rng.uniform(0.9, 1.1))
        text = book.text("comparison", edit, rng, limit=str(limit), kind=item.kind)
        if edit == "dearer":
            return TypedEdit(text, SceneTarget((just(item),), above=scene.price))
        below = {"cheaper": scene.price, "below": limit, "at_most": limit + 1}[edit]
        return TypedEdit(text, SceneTarget((just(item),), below=below))

    return make


def _shaded(edit: str) -> Maker:
    """A lighter or darker colour."""

    def make(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
        if (item := _one(scene)) is None:
            return None
        sign = 1 if edit == "lighter" else -1
        here = lightness(item.colour)
        allowed = [c for c in COLOURS if sign * (lightness(c) - here) > _NEARLY_AS_LIGHT]
        text = book.text("comparison", edit, rng, kind=item.kind)
        return TypedEdit(text, SceneTarget((_with(item, colour=allowed),)))

    return make


def _one_more(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    text = book.text("comparison", "more", rng, kind=item.kind)
    return TypedEdit(text, SceneTarget((just(item), ItemTarget())))


def _sized(scene: Scene, rng: random.Random, book: Phrasebook) -> TypedEdit | None:
    if (item := _one(scene)) is None:
        return None
    text = book.text("comparison", "size", rng)
    return TypedEdit(text, SceneTarget((just(item),)), unanswerable=True)


FAMILIES: Mapping[str, Mapping[str, Maker]] = {
    "own words": {
        "colour": _changed("own_words", "colour"), "pattern": _changed("own_words", "pattern"),
        "kind": _changed("own_words", "kind"), "setting": _placed("own_words"),
        "two changes": _two_changes,
    },
    "reworded": {
        "colour": _reworded("colour"), "pattern": _reworded("pattern"), "kind": _reworded("kind"),
        "setting": _reworded_place, "kind described": _reworded("kind", "indirect_kind"),
        "colour described": _reworded("colour", "indirect_colour"),
    },
    "typos": {
        **{f: _with_slips(_changed("typos", f)) for f in _FACETS},
        "setting": _with_slips(_placed("typos")),
    },
    "negation": {
        "colour": _refused("colour"), "pattern": _refused("pattern"), "setting": _refused_place,
        "contrast": _contrast("contrast"), "two": _two_refused,
        "correction": _contrast("correction"),
    },
    "several things": {
        "colour": _one_changed("colour"), "pattern": _one_changed("pattern"), "remove": _removed,
        "replace": _replaced, "add": _added, "add item": _added_item, "swap": _swapped,
        "both": _both,
    },
    "languages": {name: _foreign(code) for code, name in LANGUAGES.items()},
    "comparison": {
        "cheaper": _priced("cheaper"), "dearer": _priced("dearer"), "below": _priced("below"),
        "at most": _priced("at_most"), "lighter": _shaded("lighter"), "darker": _shaded("darker"),
        "one more": _one_more, "size": _sized,
    },
}  # fmt: skip
