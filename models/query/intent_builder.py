"""The intent of a composed query without an LLM: the reference read in the gallery's own words,
overwritten by what the modification text says.

Facets the text does not touch are preserved, values it replaces are forbidden, and context facets
(where something stands) are dropped unless the text names them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from models.contracts.gallery import Facet
from models.contracts.intent import MAX_PHRASE_CHARS, MAX_PHRASES, ComposedIntent
from models.encoder.types import Embedding, EncodeTexts
from models.query.attribute_reader import AttributeReader, DepictedItem
from models.query.facet_linking import Mention, has_word, kept_alone, link_facets, place_phrase


class IntentBuilder:
    """Composes intents for one gallery."""

    def __init__(self, facets: Sequence[Facet], noun_facet: str, encode_texts: EncodeTexts) -> None:
        """Prepare for a schema; see `AttributeReader`."""
        self._facets = [facet for facet in facets if facet.kind == "keyword"]
        self._noun = noun_facet
        self._context = {facet.name for facet in facets if facet.context}
        self._reader = AttributeReader(facets, noun_facet, encode_texts)

    def vocabulary(self) -> list[str]:
        """The texts that images are compared with, whatever is asked."""
        return self._reader.vocabulary()

    def compose(self, reference: Embedding, text: str) -> ComposedIntent:
        """Intent of a composed query.

        Args:
            reference: The reference image's embedding, (D,).
            text: The modification text, in any words; one without any word of the gallery is
                desired as it stands.

        Returns:
            An intent with source `facets`.
        """
        mentions = link_facets(text, self._facets)
        nouns = [m for m in mentions if m.facet == self._noun]
        places = [m for m in mentions if m.facet in self._context]
        there = [m.value for m in nouns if m.definite or m.use == "unwanted"]
        subjects = self._reader.read(reference, there)
        edit = _IntentEdit(subjects, self._noun)
        if not mentions:  # none of the gallery's words: the text is what is wanted, as it stands
            edit.desired.append(text)
        for mention in places:
            edit.place(place_phrase(text, mention), mention)
        edit.apply([m for m in mentions if m.facet not in self._context])
        edit.keep_only(kept_alone(text, [m for m in nouns if m.definite], places))
        return edit.intent(text)


@dataclass
class _IntentEdit:
    """Subjects being edited, and the roles collected on the way."""

    subjects: list[DepictedItem]
    noun_facet: str
    places: list[str] = field(default_factory=list)
    desired: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    added: list[DepictedItem] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)  # values that are new, so not preserved
    focus: int = 0  # the subject that the text is about

    def place(self, phrase: str, mention: Mention) -> None:
        if mention.use == "unwanted":
            self.forbidden.append(phrase)
        else:
            self.places.append(phrase)
            self.desired.append(phrase)

    def apply(self, mentions: Sequence[Mention]) -> None:
        """Work through the mentions of things and their describing facets, in order."""
        self.focus = self._named(mentions)
        adjectives: list[Mention] = []  # of an added thing whose noun is still to come
        new_nouns = [m for m in mentions if self._is_new_noun(m) and m.use == "wanted"]
        for mention in mentions:
            if mention.facet != self.noun_facet:
                if mention.use == "added":
                    adjectives.append(mention)
                elif mention.use == "unwanted":
                    self.forbidden.append(mention.value)
                else:
                    self._set(mention)
            elif mention.use == "added" and self._is_new_noun(mention):
                self._add(mention.value, adjectives)
                adjectives = []
            elif mention.use == "unwanted" and not new_nouns:
                self._remove(mention.value)
            elif mention in new_nouns:
                self._rename(mention.value)
        for mention in adjectives:  # "with a striped pattern on the table" adds no thing
            self._set(mention)

    def keep_only(self, nouns: set[str]) -> None:
        """Remove all others, if any of these is there."""
        if any(subject.noun in nouns for subject in self.subjects):
            for subject in [s for s in self.subjects if s.noun not in nouns]:
                self._remove(subject.noun)

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
        """All subjects in words, in the order the text asks for, if it asks."""
        things = [subject.phrase for subject in self.subjects + self.added]
        if len(things) != 2 or not has_word(text, "left", "right"):
            return " and ".join(things)
        moved = 1 if self.added else self.focus  # the thing that goes to the side named
        goes_left = (moved == 0) == has_word(text, "left")
        left, right = things if goes_left else things[::-1]
        return f"{left} to the left of {right}"

    def _preserved(self) -> list[str]:
        """Single words of a thing that changes, whole phrases of things that do not."""
        kept = []
        for subject in self.subjects:
            words = [*(value for _, value in subject.adjectives), subject.noun]
            if self.changed.isdisjoint(words):
                kept.append(subject.phrase)
            else:
                kept += [word for word in words if word not in self.changed]
        return list(dict.fromkeys(kept))

    def _named(self, mentions: Sequence[Mention]) -> int:
        """Which subject the text is about: the one it names, else the first."""
        named = [m.value for m in mentions if m.facet == self.noun_facet and m.use != "added"]
        for index, subject in enumerate(self.subjects):
            if subject.noun in named:
                return index
        return 0

    def _is_new_noun(self, mention: Mention) -> bool:
        return mention.facet == self.noun_facet and all(
            subject.noun != mention.value for subject in self.subjects
        )

    def _set(self, mention: Mention) -> None:
        subject = self.subjects[self.focus]
        old = dict(subject.adjectives).get(mention.facet)
        if old != mention.value:
            if old is not None:
                self.forbidden.append(old)
            self.changed.add(mention.value)
        self.desired.append(mention.value)
        adjectives = tuple(
            (facet, mention.value if facet == mention.facet else value)
            for facet, value in subject.adjectives
        )
        self.subjects[self.focus] = replace(subject, adjectives=adjectives)

    def _rename(self, noun: str) -> None:
        self.forbidden.append(self.subjects[self.focus].noun)
        self.desired.append(noun)
        self.changed.add(noun)
        self.subjects[self.focus] = replace(self.subjects[self.focus], noun=noun)

    def _add(self, noun: str, adjectives: Sequence[Mention]) -> None:
        thing = DepictedItem(noun, tuple((m.facet, m.value) for m in adjectives))
        self.added.append(thing)
        self.desired.append(thing.phrase)

    def _remove(self, noun: str) -> None:
        for subject in [s for s in self.subjects if s.noun == noun]:
            self.forbidden.append(subject.phrase)
            if len(self.subjects) > 1:
                self.subjects.remove(subject)
                self.focus = 0


def _as_role(phrases: Sequence[str]) -> tuple[str, ...]:
    """Without repetitions, within the contract's bounds."""
    cut = dict.fromkeys(phrase.strip()[:MAX_PHRASE_CHARS].strip() for phrase in phrases)
    return tuple(phrase for phrase in cut if phrase)[:MAX_PHRASES]
