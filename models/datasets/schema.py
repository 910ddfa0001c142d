"""What a gallery's attributes are: one kind per attribute, and the values that images have.

An attribute has the same kind in every image, so what the schema says, what is stored and what a
filter asks for are the same values. Knows nothing of files.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.contracts.gallery import (
    MAX_FACET_VALUE_CHARS,
    MAX_FACET_VALUES,
    AttributeValue,
    Facet,
)
from models.errors import InputError

Kind = Literal["keyword", "number", "flag"]

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MAX_EXACT = 2**53  # beyond, filters, which compare doubles, cannot tell neighbours apart


class SchemaError(InputError):
    """The attributes do not fit the settings; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One attribute of one image, before the kind of the attribute is known.

    Attributes:
        texts: Its values as they were written, stripped, none blank, none twice; one at least.
        kind: What it would be by itself.
    """

    texts: tuple[str, ...]
    kind: Kind

    def value_as(self, kind: Kind) -> AttributeValue:
        """The value, as one of an attribute of this kind; a cell's own, or `keyword`."""
        if kind == "flag":
            return self.texts[0].lower() == "true"
        number = number_of(self.texts[0]) if kind == "number" else None
        if number is not None:
            return number
        return self.texts[0] if len(self.texts) == 1 else list(self.texts)


def number_of(text: str) -> int | float | None:
    """The number that a text is, if it is written the way JSON writes numbers.

    No number are `007`, `+5`, `1e400` and whole numbers beyond 2⁵³: they name things, and would
    lose digits.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match[2] or match[3]:
        value = float(text)
        return value if math.isfinite(value) else None
    return int(text) if len(text) <= 17 and abs(int(text)) <= _MAX_EXACT else None


def words(texts: Iterable[str]) -> Cell | None:
    """The cell of texts that are words, whatever they look like; None: all are blank."""
    stripped = (text.strip() for text in texts)
    unique = tuple(dict.fromkeys(text for text in stripped if text))
    return Cell(unique, "keyword") if unique else None


def guessed(text: str) -> Cell | None:
    """The cell of a text whose kind is not given: `a|b` is two words; None: it is blank."""
    cell = words(text.split("|"))
    if cell is None or len(cell.texts) > 1:
        return cell
    only = cell.texts[0]
    if only.lower() in ("true", "false"):
        return Cell(cell.texts, "flag")
    return Cell(cell.texts, "keyword" if number_of(only) is None else "number")


class AttributeCounter:
    """The attributes of a gallery, image by image, in memory that depends on their number alone.

    An attribute is of the kind that all its values are, else of words, and each value the text that
    was written. Counted are words until there are too many of them to be a vocabulary.
    """

    def __init__(self, order: Sequence[Facet] = ()) -> None:
        """Count from nothing.

        Args:
            order: An earlier schema, whose order of attributes, and of equally frequent words, the
                new one keeps.
        """
        self._columns = {facet.name: _Column(facet.values) for facet in order}

    @property
    def names(self) -> list[str]:
        """The attributes that some image has, in order of appearance."""
        return [name for name, column in self._columns.items() if column.has_values]

    def join(self, facets: Iterable[Facet]) -> None:
        """Make what is counted here and elsewhere of one kind, before `typed` is asked.

        Args:
            facets: The schema of the images elsewhere. Their words make words of numbers here.

        Raises:
            SchemaError: Words here would make words of what is something else elsewhere.
        """
        for facet in facets:
            column = self._columns.get(facet.name)
            if column is not None and not column.fits(facet.kind):
                raise SchemaError(
                    f"the attribute {facet.name} has words that do not fit the "
                    f"{facet.kind}s that the gallery has there"
                )

    def add_cells(self, cells: Mapping[str, Cell]) -> None:
        """Count one image's attributes, as they were written."""
        for name, cell in cells.items():
            self._column(name).add(cell.kind, cell.texts)

    def add(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Count one image's attributes, of which the kinds are known."""
        for name, value in attributes.items():
            texts = value if isinstance(value, list) else (str(value),)
            self._column(name).add(_kind(value), texts)

    def typed(self, cells: Mapping[str, Cell]) -> dict[str, AttributeValue]:
        """One image's attributes, each of the kind that it is in all images counted by now."""
        return {name: cell.value_as(self._columns[name].kind) for name, cell in cells.items()}

    def schema(
        self, context_facets: Iterable[str], noun_facet: str | None
    ) -> tuple[tuple[Facet, ...], str | None]:
        """The attribute schema of the images counted by now; see `schema_of`."""
        context, names = set(context_facets), self.names
        wanted = context | ({noun_facet} if noun_facet else set())
        if missing := sorted(wanted - set(names)):
            raise SchemaError(
                f"no image has the attribute {', '.join(missing)}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        facets = tuple(self._columns[name].facet(name, name in context) for name in names)
        with_words = [facet.name for facet in facets if facet.values]
        if noun_facet is None:
            return facets, "category" if "category" in with_words else None
        if noun_facet not in with_words:
            what = next(_without_words(facet) for facet in facets if facet.name == noun_facet)
            raise SchemaError(
                f"the attribute {noun_facet} cannot name the thing that is shown: {what}; "
                f"these have words: {', '.join(with_words) or 'none'}"
            )
        return facets, noun_facet

    def _column(self, name: str) -> "_Column":
        return self._columns.setdefault(name, _Column())


class _Column:
    """One attribute of all images: its kind, and its words while they may be a vocabulary."""

    def __init__(self, order: Sequence[str] = ()) -> None:
        self._rank = {word: rank for rank, word in enumerate(order)}
        self._kind: Kind | None = None
        self._counts: Counter[str] | None = Counter()  # None: these are no vocabulary
        self._multi_valued = False

    @property
    def kind(self) -> Kind:
        return self._kind or "keyword"

    @property
    def has_values(self) -> bool:
        return self._kind is not None

    def fits(self, kind: Kind) -> bool:
        """Take on the kind that it has elsewhere; False: that is not possible."""
        self._kind = kind if self._kind in (None, kind) else "keyword"
        return self._kind == kind

    def add(self, kind: Kind, texts: Sequence[str]) -> None:
        self._kind = kind if self._kind in (None, kind) else "keyword"
        self._multi_valued |= len(texts) > 1
        if self._counts is None:
            return
        self._counts.update(texts)
        if len(self._counts) > MAX_FACET_VALUES or any(
            len(text) > MAX_FACET_VALUE_CHARS for text in texts
        ):
            self._counts = None

    def facet(self, name: str, context: bool) -> Facet:
        if self.kind != "keyword":
            return Facet(name=name, kind=self.kind, context=context)
        ranked = sorted((self._counts or {}).items(), key=self._place)
        return Facet(
            name=name,
            kind="keyword",
            values=tuple(word for word, _ in ranked),
            context=context,
            multi_valued=self._multi_valued,
        )

    def _place(self, counted: tuple[str, int]) -> tuple[int, int]:
        """Most frequent first, then in the order that was given, then of appearance."""
        word, count = counted
        return -count, self._rank.get(word, len(self._rank))


def schema_of(
    images: Iterable[Mapping[str, AttributeValue]],
    context_facets: Iterable[str],
    noun_facet: str | None,
) -> tuple[tuple[Facet, ...], str | None]:
    """The attribute schema of a gallery.

    Args:
        images: The attributes of all its images; one kind per attribute.
        context_facets: Names of facets that are context, see `Facet`.
        noun_facet: The facet that names the thing; None takes `category` if there is one.

    Returns:
        The facets in order of appearance, and the noun facet (None: there is none, so no intents
        can be read from facets).

    Raises:
        SchemaError: A named facet is not among the attributes, or the noun facet has no words.
    """
    counter = AttributeCounter()
    for attributes in images:
        counter.add(attributes)
    return counter.schema(context_facets, noun_facet)


def _kind(value: AttributeValue) -> Kind:
    if isinstance(value, bool):
        return "flag"
    return "number" if isinstance(value, int | float) else "keyword"


def _without_words(facet: Facet) -> str:
    """Why a facet has no vocabulary."""
    if facet.kind == "number":
        return "it holds numbers"
    if facet.kind == "flag":
        return "it is true or false"
    return (
        f"it has more than {MAX_FACET_VALUES} values, or some of more than "
        f"{MAX_FACET_VALUE_CHARS} characters"
    )
