"""Conditions on numbers that a text names: "under 50 €", "between 20 and 40 kg", "cheaper".

They are read before anything is linked, in all languages of the lexica at once, and what they
consist of is taken out of the text: "under" is then no place, and "no more than" no refusal.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pydantic import ValidationError

from models.contracts.filter import NumberRange, both
from models.contracts.gallery import AttributeValue, Facet
from models.query.text.lexicon import Lexicon, lexicon_of, lexicons
from models.query.text.tokens import Token, stem, tokenize

Mend = Callable[[str, Lexicon], str]

_NUMBER = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+|\d+)(?:[.,]\d{1,2})?(?![.,]?\d)(k\b)?", re.I
)
_GROUPING = re.compile(r"[.,'’\u00a0\u202f](?=\d{3})")
_CURRENCY = re.compile(r"\s?[€$£¥]")
_DASH = re.compile(r"\s*[-–—]\s*")
_PRICES = ("price", "cost", "preis", "prix", "precio")
_UNITS = frozenset(
    ["mm", "cm", "m", "km", "in", "inch", "inches", "ft", "feet", "g", "kg", "lb", "lbs", "oz"]
    + ["ml", "l", "litre", "litres", "liter", "gb", "tb", "mb", "w", "kw", "v", "hz", "%", "h"]
)
_MONEY = "money"
_NEAR = 3  # words between a number and its cue, or a cue and the name of its attribute


@dataclass(frozen=True)
class Conditions:
    """What a text asks of a gallery's numbers.

    Attributes:
        ranges: Numeric facet → what it must be.
        rest: The text, blanks in the place of what the ranges were read from.
        not_understood: Offsets of conditions that are on nothing the gallery has.
    """

    ranges: Mapping[str, NumberRange]
    rest: str
    not_understood: tuple[tuple[int, int], ...]


def read_conditions(
    text: str,
    facets: Sequence[Facet],
    attributes: Mapping[str, AttributeValue],
    mend: Mend = lambda word, _: word,
) -> Conditions:
    """The conditions of a text.

    Args:
        text: In any words.
        facets: The gallery's schema; facets of numbers count.
        attributes: Of the reference, where they are known: what "cheaper" is compared with.
        mend: A word and the text's language → the word that it is a slip of.
    """
    reader = _Reader(text, [facet.name for facet in facets if facet.kind == "number"], mend)
    reader.read_bounds()
    reader.read_comparisons(attributes)
    return Conditions(reader.ranges, reader.rest, tuple(sorted(reader.unused)))


class _Reader:
    """Goes through the numbers of a text, then through its comparisons."""

    def __init__(self, text: str, facets: Sequence[str], mend: Mend) -> None:
        self._text, self._facets, self.rest = text, facets, text
        self._tokens = tokenize(text)
        self._lexicon = lexicon_of(self._tokens)
        self._words = [t.text if t.is_mark else mend(t.text, self._lexicon) for t in self._tokens]
        self.ranges: dict[str, NumberRange] = {}
        self.unused: list[tuple[int, int]] = []

    def read_bounds(self) -> None:
        behind = 0
        for number in _NUMBER.finditer(self._text):
            if number.start() >= behind:
                behind = max(behind, self._read_bound(number))

    def _read_bound(self, number: re.Match[str]) -> int:
        """Read one condition; returns the offset behind it."""
        first, last = self._place(number.span())
        start, before = self._cue_before(first)
        end, unit = self._unit(number, last)
        second = self._second(end, before)
        if second is not None:
            values = sorted((_value(number), _value(second)))
            end, other = self._unit(second, self._place(second.span())[1])
            bounds, unit = {"gte": values[0], "lte": values[1]}, unit or other
            if "between" not in before and unit is None and self._named(start, end) is None:
                return second.end()
        else:
            end, after = self._cue_after(end)
            bounds = {kind: _value(number) for kind in ("gte", "gt", "lte", "lt") if kind in before}
            bounds = {after: _value(number)} if after is not None else dict([*bounds.items()][:1])
        if not bounds and unit is None:
            return number.end()
        self._add(start, end, unit, bounds)
        return self._offset(end)

    def _add(self, start: int, end: int, unit: str | None, bounds: Mapping[str, float]) -> None:
        facet = self._facet(start, end, unit)
        start = self._lead(start)
        offsets = self._tokens[start].start, self._offset(end)
        self._take_out(*offsets)
        try:
            found = NumberRange(**bounds) if facet is not None else None
        except ValidationError:  # none is set, or one is beyond all numbers
            found = None
        if facet is None or found is None:
            self.unused.append(offsets)
        else:
            self.ranges[facet] = both(self.ranges[facet], found) if facet in self.ranges else found

    def read_comparisons(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Apply "cheaper" and "dearer", and "a lower rating", to what the reference has."""
        mended = {t.start: w for t, w in zip(self._tokens, self._words, strict=True)}
        shown = [Token(mended[t.start], t.start, t.end) for t in tokenize(self.rest)]
        for cue in self._lexicon.cues(shown):
            kinds = cue.kinds & {"cheaper", "dearer"}
            if kinds:
                span = shown[cue.start].start, shown[cue.end - 1].end
                price = next((name for name in self._facets if _is_price(name)), None)
                self._compare(price, attributes, "cheaper" in kinds, span)
        for token, following in zip(shown, shown[1:], strict=False):
            side = next((kind for kind in ("lower", "higher") if token.text in _cues()[kind]), None)
            facet = self._names(following.text)
            if side is not None and facet is not None and not _is_price(facet):
                self._compare(facet, attributes, side == "lower", (token.start, following.end))
                self._take_out(token.start, following.end)

    def _compare(
        self,
        facet: str | None,
        attributes: Mapping[str, AttributeValue],
        lower: bool,
        span: tuple[int, int],
    ) -> None:
        value = attributes.get(facet) if facet is not None else None
        if facet is None or not isinstance(value, int | float):
            self.unused.append(span)
        elif facet not in self.ranges:
            self.ranges[facet] = NumberRange(**{"lt" if lower else "gt": float(value)})

    # where things stand

    def _place(self, span: tuple[int, int]) -> tuple[int, int]:
        """Indexes of the first token of some characters, and behind the last."""
        inside = [n for n, t in enumerate(self._tokens) if t.start < span[1] and t.end > span[0]]
        return inside[0], inside[-1] + 1

    def _offset(self, end: int) -> int:
        """The offset behind the last token, and behind a currency's sign."""
        offset = self._tokens[end - 1].end
        sign = _CURRENCY.match(self._text, offset)
        return sign.end() if sign is not None else offset

    def _take_out(self, start: int, end: int) -> None:
        self.rest = self.rest[:start] + " " * (end - start) + self.rest[end:]

    def _cue_before(self, first: int) -> tuple[int, frozenset[str]]:
        """The cue that a number stands behind: its first token, and what it says."""
        for end in range(first, max(0, first - _NEAR), -1):
            for start in range(max(0, end - _longest()), end):
                kinds = _by_words().get(tuple(self._words[start:end]), frozenset())
                if kinds := kinds & {"lt", "lte", "gt", "gte", "between"}:
                    return start, kinds
            if not self._is_filler(end - 1):
                break
        return first, frozenset()

    def _cue_after(self, end: int) -> tuple[int, str | None]:
        for stop in range(min(len(self._words), end + _longest()), end, -1):
            kinds = _by_words().get(tuple(self._words[end:stop]), frozenset())
            for kind in kinds & {"lte_behind", "gte_behind"}:
                return stop, kind.removesuffix("_behind")
        return end, None

    def _second(self, end: int, before: frozenset[str]) -> re.Match[str] | None:
        """The other end of a range: "20 to 40", "20–40", "between 20 and 40"."""
        offset = self._offset(end)
        number = _NUMBER.search(self._text, offset)
        if number is None:
            return None
        between = self._text[offset : number.start()]
        joined = tuple(token.text for token in tokenize(between) if not token.is_mark)
        if _DASH.fullmatch(between.rstrip("€$£¥")):
            return number
        joins = {tuple(words.split()) for words in _cues()["to"]}
        ands = {tuple(words.split()) for words in _cues()["and"]} if "between" in before else set()
        return number if joined in joins | ands and "," not in between else None

    def _unit(self, number: re.Match[str], end: int) -> tuple[int, str | None]:
        """The index behind a number's unit, and the unit."""
        sign = self._text[max(0, number.start() - 2) : number.start()].strip()[-1:]
        if sign in tuple("€$£¥") or _CURRENCY.match(self._text, self._tokens[end - 1].end):
            return end, _MONEY
        if self._text[number.end() : number.end() + 2].strip()[:1] == "%":
            return end, "%"
        glued = self._text[number.end() : self._tokens[end - 1].end].lower()
        word = glued or (self._words[end] if end < len(self._words) else "")
        behind = end if glued else end + 1
        if word in _cues()["money"]:
            return behind, _MONEY
        if word in _UNITS and (glued or word != "in"):
            return behind, word
        return end, None

    def _is_filler(self, at: int) -> bool:
        return self._words[at] in _fillers() or self._words[at] in _cues()["money"]

    def _lead(self, start: int) -> int:
        """The first token of the words that lead to a condition: "with a price of at most"."""
        named = [
            at
            for at in range(max(0, start - _NEAR), start)
            if self._names(self._words[at]) is not None
            and all(self._is_filler(n) for n in range(at + 1, start))
        ]
        start = named[0] if named else start
        while start and self._words[start - 1] in _fillers():
            start -= 1
        return start

    # what it is about

    def _facet(self, start: int, end: int, unit: str | None) -> str | None:
        """The facet that a condition is on: by name, by unit, or as the only one that it can be."""
        named = self._named(start, end)
        if named is not None:
            return named
        prices = [name for name in self._facets if _is_price(name)]
        others = [name for name in self._facets if name not in prices]
        if unit == _MONEY:
            return prices[0] if prices else None
        if unit is not None:
            of_unit = [name for name in others if unit in _parts(name)]
            likely = of_unit or others
            return likely[0] if len(likely) == 1 else None
        if prices:
            return prices[0]
        return others[0] if len(others) == 1 else None

    def _named(self, start: int, end: int) -> str | None:
        """The facet whose name stands near."""
        near = self._words[max(0, start - _NEAR) : end + _NEAR]
        return next((name for word in near if (name := self._names(word)) is not None), None)

    def _names(self, word: str) -> str | None:
        if word in _cues()["price"]:
            return next((name for name in self._facets if _is_price(name)), None)
        for name in self._facets:
            parts = [stem(part) for part in _parts(name) if part not in _UNITS]
            if stem(word) in parts:
                return name
        return None


def _value(number: re.Match[str]) -> float:
    """The number that is written: "1,500", "1.500", "19.99" and "19,99", "5k"."""
    digits = number[0].lower().removesuffix("k")
    plain = _GROUPING.sub("", digits).replace(",", ".")
    value = float(plain) * (1000 if number[1] else 1)
    return value if math.isfinite(value) else math.inf


def _is_price(name: str) -> bool:
    return any(word in name.lower() for word in _PRICES)


def _parts(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", name.lower())


@cache
def _cues() -> Mapping[str, frozenset[str]]:
    """What is said of numbers, in all languages."""
    kinds = {kind for lexicon in lexicons() for kind in lexicon.numbers}
    return {
        kind: frozenset(
            " ".join(token.text for token in tokenize(phrase))
            for lexicon in lexicons()
            for phrase in lexicon.numbers.get(kind, ())
        )
        for kind in kinds
    }


@cache
def _by_words() -> Mapping[tuple[str, ...], frozenset[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    for kind, phrases in _cues().items():
        for phrase in phrases:
            found.setdefault(tuple(phrase.split()), set()).add(kind)
    return {words: frozenset(kinds) for words, kinds in found.items()}


@cache
def _longest() -> int:
    return max(map(len, _by_words()))


@cache
def _fillers() -> frozenset[str]:
    return _cues()["filler"]
