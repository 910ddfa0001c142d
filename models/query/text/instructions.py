"""What a text asks for: values in their roles, and changes that name no value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.query.text.linking import Link
from models.query.text.tokens import Token

Role = Literal["want", "refuse", "add", "remove", "replace", "keep", "only", "compare"]
Side = Literal["left", "right"]

# what a text can ask for without naming a value; lists of the lexica
CHANGES = frozenset(
    [
        "cheaper",
        "dearer",
        "lighter",
        "darker",
        "vivid",
        "muted",
        "warmer",
        "cooler",
        "neutral",
        "left",
        "right",
        "left_of",
        "right_of",
        "swap_sides",
        "one",
        "both",
        "two",
        "open_place",
    ]
)


@dataclass
class NounPhrase:
    """Values that belong together, and what is to be done with them.

    Attributes:
        links: Describing values, then the thing, in order; none where a side says which thing.
        role: What is to be done.
        joined: How it follows the phrase before it: "and", "or", or not at all.
        clause: Number of its clause.
        start: Index of its first token.
        definite: "the hat" is one that is there.
        side: The thing on that side.
        listed: Only a comma stands between it and the phrase before it.
    """

    links: list[Link]
    role: Role
    joined: Literal["", "and", "or"]
    clause: int
    start: int
    definite: bool = False
    side: Side | None = None
    listed: bool = False


@dataclass(frozen=True)
class Instructions:
    """What a text asks for.

    Attributes:
        phrases: In order.
        changes: What it asks for without naming a value, see `CHANGES`.
        others: Facets that are to have another value than they have.
        borrowed: Facets that are to be as those of a thing: (colour, guitar) for "in the guitar's
            colour".
        places: Value of a context facet → the words that the text names it with: "on the beach".
        idle: Words that name nothing and do nothing.
        not_understood: Those of them that come near to a value, or that are words of no language:
            where the rest was understood, others are taken for small talk.
        tokens: Of the text; the links' places are among them.
    """

    phrases: list[NounPhrase]
    changes: frozenset[str]
    others: tuple[str, ...]
    borrowed: tuple[tuple[str, str], ...]
    places: Mapping[str, str]
    idle: tuple[Token, ...]
    not_understood: tuple[Token, ...]
    tokens: Sequence[Token] = ()
