"""The typed lexicon that facets are made of: everyday words, by type. Data: `things.toml`,
`descriptions.toml`.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from models.query.attribute_reader import with_article

_FOLDER = Path(__file__).parent
NOUN_FACET = "thing"


@dataclass(frozen=True)
class WordType:
    """Words of one type that describe a thing, or say where it is shown.

    Attributes:
        name: Of the type, and of the facet that is made of it.
        words: Candidates for values.
        phrase: How a word is said with a thing: "{word} {thing}", without the article.
        plain: What a thing is called that has none of the marked values; None: nothing is said.
        context: The words say where or in which light, not what it is.
    """

    name: str
    words: tuple[str, ...]
    phrase: str
    plain: str | None
    context: bool

    def phrases(self, word: str, thing: str) -> str:
        """A word said with a thing."""
        return with_article(self.phrase.format(word=word, thing=thing))


@dataclass(frozen=True)
class FacetLexicon:
    """Things and the words that describe them.

    Attributes:
        things: Nouns, in the singular.
        types: Types of describing words; those of the context last.
    """

    things: tuple[str, ...]
    types: tuple[WordType, ...]

    def without(self, words: Iterable[str]) -> "FacetLexicon":
        """The same lexicon without some words."""
        gone = frozenset(words)
        return FacetLexicon(
            tuple(word for word in self.things if word not in gone),
            tuple(
                replace(one, words=tuple(word for word in one.words if word not in gone))
                for one in self.types
            ),
        )


@cache
def facet_lexicon() -> FacetLexicon:
    """The shipped lexicon."""
    things = tomllib.loads((_FOLDER / "things.toml").read_text("utf-8"))
    types = tomllib.loads((_FOLDER / "descriptions.toml").read_text("utf-8"))
    return FacetLexicon(
        tuple(word for theme in things.values() for word in _words(theme)),
        tuple(
            WordType(
                name,
                _words(given["words"]),
                given["phrase"],
                given.get("plain"),
                given.get("context", False),
            )
            for name, given in types.items()
        ),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in text.split(",") if word.strip())
