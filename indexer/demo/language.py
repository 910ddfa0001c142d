"""What is said about demo scenes: captions, modification texts, and the target of an edit in words.

Test phrasings are disjoint from training and validation phrasings, so a score on the test split
says something about language never seen.
"""

import random
from collections.abc import Mapping

from indexer.demo.scene import Item, Scene, Split
from models.query.attribute_reader import with_article

PLACES: Mapping[str, tuple[str, ...]] = {
    "studio": ("in a studio", "on a studio background", "in a photo studio"),
    "beach": ("on the beach", "at the beach", "on a sandy beach"),
    "snow": ("in the snow", "in snow", "in a snowy landscape"),
    "forest": ("in the forest", "in a forest", "in front of forest trees"),
    "street": ("on the street", "on a city street", "in the street"),
    "night": ("at night", "under the night sky", "in the night"),
    "room": ("in a room", "in the living room", "inside a room"),
    "desert": ("in the desert", "in a desert", "on desert sand"),
}


def describe_item(item: Item, rng: random.Random | None = None) -> str:
    """Like "a blue striped sofa"; with `rng` also "a striped blue sofa", "a plain blue sofa".

    Where the catalogue has finishes, the item's stands first: "a metallic blue striped sofa".
    """
    words = [item.colour] if item.pattern == "plain" else [item.colour, item.pattern]
    if rng is not None:
        if item.pattern == "plain" and rng.random() < 0.3:
            words = ["plain", item.colour]
        elif rng.random() < 0.3:
            words.reverse()
    finish = [item.finish] if item.finish else []
    return with_article(" ".join([*finish, *words, item.kind]))


def describe_items(items: tuple[Item, ...], rng: random.Random | None = None) -> str:
    """The items without their setting, left to right: "a red mug to the left of a white hat"."""
    if len(items) == 1:
        return describe_item(items[0], rng)
    left, right = (describe_item(item, rng) for item in items)
    joins: tuple[str, ...] = ("{left} to the left of {right}", "{left} left of {right}")
    if rng is None:
        return joins[0].format(left=left, right=right)
    joins += (
        "{right} to the right of {left}",
        "{right} right of {left}",
        "{left} on the left and {right} on the right",
        "{left} beside {right}",
        "{left} next to {right}",
        "{right} and {left}",
        "{left} and {right}",
    )
    return rng.choice(joins).format(left=left, right=right)


def caption(scene: Scene, rng: random.Random | None = None) -> str:
    """The scene in one sentence; without `rng` the canonical one, with it a paraphrase."""
    if rng is None:
        return f"{describe_items(scene.items)} {PLACES[scene.setting][0]}"
    items, place = describe_items(scene.items, rng), rng.choice(PLACES[scene.setting])
    forms = (
        "{items} {place}",
        "a picture of {items} {place}",
        "{items}, {place}",
        "{place}, {items}",
    )
    return rng.choice(forms).format(items=items, place=place)


def partial_caption(scene: Scene, rng: random.Random) -> str:
    """A caption that leaves things out, down to one word: how people write queries.

    It may be silent about colours or the setting, but never about an object: "a sofa" is no caption
    of a sofa beside a lamp.
    """
    place = rng.choice(PLACES[scene.setting])
    kinds = " and ".join(with_article(item.kind) for item in scene.items)
    forms = [f"{kinds} {place}", kinds, place, scene.setting]
    if len(scene.items) == 1:
        (item,) = scene.items
        forms += [
            item.kind, item.colour, item.pattern, f"something {item.colour}",
            f"something {item.pattern}", f"{item.colour} {item.kind}",
            f"{item.pattern} {item.kind}",
        ]  # fmt: skip
    return rng.choice(forms)


def captions(scene: Scene, count: int) -> list[str]:
    """`count` different ways to caption a scene: canonical first; of the others, every third leaves
    out the setting, and every seventh more than that.
    """
    rng = random.Random(f"captions/{scene.seed}")
    said = [caption(scene)]
    for number in range(1, count):
        if number % 7 == 0:
            said.append(partial_caption(scene, rng))
        elif number % 3 == 0:
            said.append(describe_items(scene.items, rng))
        else:
            said.append(caption(scene, rng))
    return said


# {the}: "the sofa" where two objects need telling apart; {old}, {new}: kind, colour or pattern;
# {place}: a phrase of PLACES; {item}: a whole new object; {other}: the object that stays.
_SEEN = {
    "colour": (
        "make {the} {new}", "the same but {new}", "change the colour of {the} to {new}",
        "{the} in {new}", "I want {the} in {new} instead", "{new} instead of {old}",
        "could I see {the} in {new}", "how about {new} for {the}", "{the} has to be {new}",
        "paint {the} {new}", "have you got {the} in {new}", "{the} must be {new}",
        "not {old} but {new}", "exchange the {old} for {new}", "rather {new} than {old}",
        "I prefer {the} {new}", "let {the} be {new}", "like this, only {new}",
        "what if {the} were {new}", "{the} ought to be {new}, not {old}",
        "get {the} in {new}", "just make {the} {new}", "leave {the} as it is, only {new}",
    ),
    "pattern": (
        "make {the} {new}", "the same but {new}", "with a {new} pattern on {the}",
        "{new} instead of {old}", "change the pattern of {the} to {new}",
        "could I see {the} {new}", "I would like {the} {new}", "{the} has to be {new}",
        "let {the} be {new}", "{the} must be {new}", "rather {new} than {old}",
        "can I have {the} {new}", "how about {the} being {new}", "this one, only {new}",
        "show {the} with a {new} pattern", "not {old} but {new}",
        "just make {the} {new}", "get me {the} {new}",
    ),
    "kind": (
        "replace {the} with a {new}", "a {new} instead of {the}", "change {the} to a {new}",
        "turn {the} into a {new}", "swap {the} for a {new}", "a {new} in place of {the}",
        "make {the} a {new}", "rather a {new} than {the}", "exchange {the} for a {new}",
        "I want a {new}, not {the}", "not {the} but a {new}", "put a {new} where {the} is",
        "show me a {new} where {the} stands", "the same as a {new}, without {the}",
        "can {the} be a {new}", "the same with a {new} for {the}",
        "get a {new} for {the}", "just put a {new} in place of {the}",
    ),
    "setting": (
        "put it {place}", "the same {place}", "{place} instead", "move it so that it is {place}",
        "show it {place}", "I want to see this {place}", "how would it look {place}",
        "place it {place}", "this one, but {place}", "can you show me the same {place}",
        "I would like the same {place}", "{place} this time", "take it and show it {place}",
        "let it be {place}", "now it should be {place}", "get it {place}",
        "just put it {place}", "leave it as it is, but {place}", "show all of it {place}",
        "take this out and show it {place}", "have it {place}",
    ),
    "relation": (
        "swap the two", "switch their sides", "with {the} on the {side}",
        "move {the} to the {side}", "exchange the two", "let them trade places",
        "reverse the order", "change their places", "the two in the other order",
        "{the} goes to the {side}", "put {the} on the {side}", "I want {the} on the {side}",
        "{the} should be on the {side}", "let {the} stand to the {side}",
        "turn them the other way", "they should swap positions", "just swap them",
        "get {the} to the {side}", "leave both, but swap them", "one in place of the other",
    ),
    "add": (
        "add {item} on the {side}", "with {item} to its {side}", "put {item} on the {side} of it",
        "and {item} on the {side}", "place {item} to the {side}", "set {item} to its {side}",
        "together with {item} on the {side}", "there is {item} to its {side} too",
        "I also want {item} on the {side}", "show it with {item} on its {side}",
        "{item} should stand to the {side} as well", "also with {item} on its {side}",
        "there should also be {item} on the {side}",
    ),
    "remove": (
        "remove {the}", "without {the}", "take {the} away", "only the {other}",
        "drop {the}", "delete {the}", "{the} should go", "I do not want {the}",
        "leave {the} away", "leave {the} out of the picture", "get {the} out of it",
        "rid the picture of {the}", "I want to be rid of {the}", "no {the}, please",
        "keep only the {other}", "the {other} alone", "just keep the {other}",
        "nothing but the {other}", "the {other} on its own", "I just want the {other}",
        "show me just the {other}", "lose {the}", "{the} can go", "omit {the}", "skip {the}",
        "I can do without {the}", "spare me {the}", "{the} has to go", "{the} is too much",
        "the {other} and nothing else", "the {other} is enough", "leave me the {other}",
        "get me the {other} alone", "I am done with {the}", "strike {the}",
    ),
    "two_changes": (
        "make {the} {new} and {new2}", "the same but {new} and {new2}",
        "change {the} to {new} and {new2}", "I want {the} {new} and {new2}",
        "{the} in {new} and {new2}", "{the} has to be {new} and also {new2}",
        "rather {new} and {new2}", "let {the} be {new2} and {new}",
        "could I see {the} {new} and {new2}", "both {new2} and {new} for {the}",
        "{the} must be {new2} and {new}", "turn {the} {new} and {new2}",
    ),
}  # fmt: skip
_UNSEEN = {
    "colour": (
        "can I have {the} in {new}", "swap the {old} for {new}", "what about {new} for {the}",
        "{the} should be {new}",
    ),
    "pattern": (
        "I'd rather have {the} {new}", "{the} should be {new}", "show me {the} {new} this time",
    ),
    "kind": (
        "a {new} rather than {the}", "the same, but let {the} be a {new}",
        "I'd like a {new} where {the} is",
    ),
    "setting": (
        "I would like to see it {place}", "now {place}, please", "show this {place}",
    ),
    "relation": (
        "the other way round", "exchange their places", "{the} should stand on the {side}",
    ),
    "add": (
        "also show {item} on the {side}", "there should be {item} standing on its {side}",
    ),
    "remove": (
        "leave out {the}", "get rid of {the}", "just the {other}, please",
    ),
    "two_changes": (
        "{the} should be {new} and {new2}", "rather {new} and also {new2} for {the}",
    ),
}  # fmt: skip
# what people say around a change; it belongs to no kind of edit, and a model must learn that it
# does not
_BEFORE = ("please ", "now ", "actually, ", "well, ", "and now ", "this time ", "could you please ")
_AFTER = (", please", " now", ", thank you", " this time", " if possible", ", would you")
EDITS = tuple(_SEEN)


def modification_text(
    edit: str, words: Mapping[str, str], split: Split, rng: random.Random, *, must_name: bool
) -> str:
    """Phrase an edit with a template of the split.

    Args:
        edit: One of `EDITS`.
        words: Values for the template's fields, see the tables above.
        split: "test" uses phrasings that the other splits never use.
        rng: Chooses the phrasing.
        must_name: Only phrasings that name the object will do: "the same but blue" cannot tell
            which of two it means.
    """
    templates = (_UNSEEN if split == "test" else _SEEN)[edit]
    if must_name:
        templates = tuple(t for t in templates if "{the}" in t) or templates
    text = rng.choice(templates).format(**words)
    if split == "test":
        return text
    around = rng.random()
    if around < 0.2:
        return rng.choice(_BEFORE) + text
    return text + rng.choice(_AFTER) if around < 0.4 else text
