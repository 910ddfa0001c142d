"""The intent of a composed query without an LLM: the reference read in the gallery's own words,
overwritten by what the modification text says.

Facets the text does not touch are preserved, values it replaces are forbidden, and context facets
(where something stands) are dropped unless the text names them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.contracts.gallery import Facet
from models.contracts.intent import MAX_PHRASE_CHARS, MAX_PHRASES, ComposedIntent
from models.encoder.types import Embedding
from models.query.attribute_reader import AttributeReader, DepictedItem, Reading, still_possible
from models.query.facet_linking import Mention, has_word, kept_alone, link_facets, place_phrase
from models.query.text_requests import TextRequests


@dataclass(frozen=True)
class IntentCandidate:
    """An intent that a composed query may have.

    Attributes:
        intent: The intent.
        reading: Of the reference, the likeliest of which decides; None: this is the intent.
    """

    intent: ComposedIntent
    reading: Reading | None = None


class IntentBuilder:
    """Composes intents for one gallery."""

    def __init__(self, facets: Sequence[Facet], noun_facet: str) -> None:
        """Prepare for a schema; see `AttributeReader`."""
        self._facets = [facet for facet in facets if facet.kind == "keyword"]
        self._noun = noun_facet
        self._context = {facet.name for facet in facets if facet.context}
        self._reader = AttributeReader(facets, noun_facet)

    def vocabulary(self) -> list[str]:
        """The texts that images are compared with, whatever is asked."""
        return self._reader.vocabulary()

    def candidates(
        self, reference: Embedding, text: str, known: Mapping[str, Embedding]
    ) -> TextRequests[list[IntentCandidate]]:
        """Intents of a composed query, all with source `facets`: one per reading of the reference.

        Args:
            reference: The reference image's embedding, (D,).
            text: The modification text, in any words; one without any word of the gallery is
                desired as it stands.
            known: Text → its embedding, (D,): what need not be asked for.
        """
        mentions = link_facets(text, self._facets)
        named = [m for m in mentions if m.facet == self._noun]
        places = [m for m in mentions if m.facet in self._context]
        alone = kept_alone(text, [m for m in named if m.definite], places)
        there = [m.value for m in named if m.definite or m.use == "exclude"]
        readings = yield from self._reader.read(reference, there)
        candidates = []
        for reading in still_possible(readings, reference, known):
            edit = _IntentEdit(list(reading.items), self._noun)
            if not mentions:  # none of the gallery's words: the text is desired as it stands
                edit.desired.append(text)
            for mention in places:
                edit.place(place_phrase(text, mention), mention)
            edit.apply([m for m in mentions if m.facet not in self._context])
            edit.keep_only(alone)
            candidates.append(IntentCandidate(edit.intent(text), reading))
        return candidates


@dataclass
class _IntentEdit:
    """Depicted items being edited, and the roles collected on the way."""

    items: list[DepictedItem]
    noun_facet: str
    places: list[str] = field(default_factory=list)
    desired: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    added: list[DepictedItem] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)  # values that are new, so not preserved
    focus: int = 0  # the item that the text is about

    def place(self, phrase: str, mention: Mention) -> None:
        if mention.use == "exclude":
            self.forbidden.append(phrase)
        else:
            self.places.append(phrase)
            self.desired.append(phrase)

    def apply(self, mentions: Sequence[Mention]) -> None:
        """Work through the mentions of things and their describing facets, in order."""
        self.focus = self._named(mentions)
        attributes: list[Mention] = []  # of an added thing whose category is still to come
        new_categories = [m for m in mentions if self._is_new_category(m) and m.use == "include"]
        for mention in mentions:
            if mention.facet != self.noun_facet:
                if mention.use == "add":
                    attributes.append(mention)
                elif mention.use == "exclude":
                    self.forbidden.append(mention.value)
                else:
                    self._set(mention)
            elif mention.use == "add" and self._is_new_category(mention):
                self._add(mention.value, attributes)
                attributes = []
            elif mention.use == "exclude" and not new_categories:
                self._remove(mention.value)
            elif mention in new_categories:
                self._rename(mention.value)
        for mention in attributes:  # "with a striped pattern on the table" adds no thing
            self._set(mention)

    def keep_only(self, categories: set[str]) -> None:
        """Remove all others, if any of these is there."""
        if any(item.category in categories for item in self.items):
            for item in [i for i in self.items if i.category not in categories]:
                self._remove(item.category)

    def intent(self, text: str) -> ComposedIntent:
        target = " ".join([self._things(text), *self.places]).strip() or text
        return ComposedIntent(
            target=target[:MAX_PHRASE_CHARS],
            preserve=_as_role(self._preserved()),
            desired=_as_role(self.desired),
            forbidden=_as_role([v for v in self.forbidden if v not in self.desired]),
            source="facets",
        )

    def _things(self, text: str) -> str:
        """All items in words, in the order the text asks for, if it asks."""
        things = [item.phrase for item in self.items + self.added]
        if len(things) != 2 or not has_word(text, "left", "right"):
            return " and ".join(things)
        moved = 1 if self.added else self.focus  # the thing that goes to the side named
        goes_left = (moved == 0) == has_word(text, "left")
        left, right = things if goes_left else things[::-1]
        return f"{left} to the left of {right}"

    def _preserved(self) -> list[str]:
        """Single words of a thing that changes, whole phrases of things that do not."""
        kept = []
        for item in self.items:
            words = [*(value for _, value in item.attributes), item.category]
            if self.changed.isdisjoint(words):
                kept.append(item.phrase)
            else:
                kept += [word for word in words if word not in self.changed]
        return list(dict.fromkeys(kept))

    def _named(self, mentions: Sequence[Mention]) -> int:
        """Which item the text is about: the one it names, else the first."""
        named = [m.value for m in mentions if m.facet == self.noun_facet and m.use != "add"]
        for index, item in enumerate(self.items):
            if item.category in named:
                return index
        return 0

    def _is_new_category(self, mention: Mention) -> bool:
        return mention.facet == self.noun_facet and all(
            item.category != mention.value for item in self.items
        )

    def _set(self, mention: Mention) -> None:
        item = self.items[self.focus]
        old = dict(item.attributes).get(mention.facet)
        if old != mention.value:
            if old is not None:
                self.forbidden.append(old)
            self.changed.add(mention.value)
        self.desired.append(mention.value)
        attributes = tuple(
            (facet, mention.value if facet == mention.facet else value)
            for facet, value in item.attributes
        )
        self.items[self.focus] = replace(item, attributes=attributes)

    def _rename(self, category: str) -> None:
        self.forbidden.append(self.items[self.focus].category)
        self.desired.append(category)
        self.changed.add(category)
        self.items[self.focus] = replace(self.items[self.focus], category=category)

    def _add(self, category: str, attributes: Sequence[Mention]) -> None:
        thing = DepictedItem(category, tuple((m.facet, m.value) for m in attributes))
        self.added.append(thing)
        self.desired.append(thing.phrase)

    def _remove(self, category: str) -> None:
        for item in [i for i in self.items if i.category == category]:
            self.forbidden.append(item.phrase)
            if len(self.items) > 1:
                self.items.remove(item)
                self.focus = 0


def _as_role(phrases: Sequence[str]) -> tuple[str, ...]:
    """Without repetitions, within the contract's bounds."""
    cut = dict.fromkeys(phrase.strip()[:MAX_PHRASE_CHARS].strip() for phrase in phrases)
    return tuple(phrase for phrase in cut if phrase)[:MAX_PHRASES]
