"""Texts as people type them: the tables `validation.toml` and `test.toml`.

Fields of a text: {new}, {new2}: wanted values, or other words for them; {a_new}: with its article;
{old}: a value of the reference, {old_s}: its pattern as a noun ("stripes"); {other}: a value that
neither has; {kind}: what the reference shows; {setting}, {place}: where something stands, bare and
with its preposition; {a}, {b}: the two things of a reference, {a} the one it is about; {left},
{right}: the two by their sides; {item}: a whole new thing; {limit}: a price. In other languages
{the_a}, {the_b} and {of_a} have their articles.
"""

import random
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from models.query.attribute_reader import with_article

PhrasebookName = Literal["validation", "test"]
LANGUAGES: Mapping[str, str] = {"de": "German", "fr": "French", "es": "Spanish"}


class Phrasebook:
    """The texts of one split. Use `phrasebook`."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables

    def text(self, family: str, edit: str, rng: random.Random, **words: str) -> str:
        """One of a family's texts for an edit, of those whose fields are all given."""
        return _filled(self._tables[family][edit], rng, words)

    def other_word(self, facet: str, value: str, rng: random.Random) -> str | None:
        """Another word for a value; None: there is none."""
        words = self._tables["reworded"]["words"][facet].get(value)
        return None if words is None else str(rng.choice(words))

    def foreign(self, language: str, edit: str, rng: random.Random, **words: str) -> str:
        """A text in another language; things are given as `translated` gives them."""
        texts = self._tables["languages"][language]["texts"][edit]
        return _filled(texts, rng, words)

    def translated(self, language: str, facet: str, value: str) -> str:
        """The word for a colour or pattern, the words for a setting."""
        return str(self._tables["languages"][language]["words"][facet][value])

    def noun(self, language: str, kind: str) -> tuple[str, str, str]:
        """A thing with its articles: "a", "the" and "of the" (German: dative)."""
        table = self._tables["languages"][language]
        gender, _, word = table["words"]["kind"][kind].partition(" ")
        a, the, of = (f"{article} {word}" for article in table["articles"][gender])
        return a, the, of

    def all_texts(self) -> Iterator[str]:
        """Every text of the tables, its fields unfilled."""
        for family, table in self._tables.items():
            if family == "languages":
                tables = [language["texts"] for language in table.values()]
            else:
                tables = [{e: texts for e, texts in table.items() if e != "words"}]
            for texts in (texts for edits in tables for texts in edits.values()):
                yield from texts

    def other_words(self) -> Iterator[str]:
        """Every other word for a value."""
        for values in self._tables["reworded"]["words"].values():
            for words in values.values():
                yield from words


@cache
def phrasebook(name: PhrasebookName) -> Phrasebook:
    """The texts of a split."""
    path = Path(__file__).with_name(f"{name}.toml")
    return Phrasebook(tomllib.loads(path.read_text("utf-8")))


def _filled(texts: list[str], rng: random.Random, words: Mapping[str, str]) -> str:
    known = dict(words)
    if "new" in words:
        known.setdefault("a_new", with_article(words["new"]))
    return rng.choice([text for text in texts if _fields(text) <= known.keys()]).format(**known)


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in Formatter().parse(text) if field}
