"""The intent of a composed query without an LLM: the reference in the gallery's own words, changed
by what the modification text says.

What the text does not touch is preserved, what it replaces is forbidden, and context facets (where
something stands) are open unless the text names them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from models.contracts.gallery import AttributeValue, Facet
from models.contracts.intent import (
    MAX_PHRASE_CHARS,
    MAX_PHRASES,
    ComposedIntent,
    Provenance,
    TextSpan,
    UnreadSpan,
)
from models.encoder.types import Embedding
from models.query.attribute_reader import (
    AttributeReader,
    DepictedItem,
    Reading,
    still_possible,
    with_article,
)
from models.query.target import Target, TargetItem, alternatives, words_of
from models.query.target_editing import find_target
from models.query.text.conditions import Conditions, read_conditions
from models.query.text.grammar import read_instructions
from models.query.text.instructions import Instructions
from models.query.text.linking import Linker
from models.query.text.sentence_encoder import sentence_encoder
from models.query.text.tokens import Token
from models.query.text_requests import TextRequests

Attributes = Mapping[str, AttributeValue]
Role = Literal["preserve", "desired", "forbidden"]

_SUGGESTED, _SUGGESTIONS = 8, 3  # words that had no effect; values that come nearest, of each


@dataclass(frozen=True)
class IntentCandidate:
    """An intent that a composed query may have.

    Attributes:
        intent: The intent, in words.
        reading: Of the reference, the likeliest of which decides; None: this is the intent.
        target: What may be shown, by the gallery's attributes; None where they do not say.
        instructions: What the text asks for, where it was read with the gallery's words.
    """

    intent: ComposedIntent
    reading: Reading | None = None
    target: Target | None = None
    instructions: Instructions | None = None


class IntentBuilder:
    """Composes intents for one gallery. Making one takes a second: it embeds the vocabulary's words
    with the sentence encoder.
    """

    def __init__(
        self, facets: Sequence[Facet], noun_facet: str, linker: Linker | None = None
    ) -> None:
        """Prepare for a schema; see `AttributeReader`.

        Args:
            facets: The gallery's schema.
            noun_facet: The facet that names the thing.
            linker: Of the gallery, instead of the usual one.
        """
        self._facets, self._noun = facets, noun_facet
        words = [facet for facet in facets if facet.kind == "keyword" and facet.values]
        self._describing = [f.name for f in words if not f.context and f.name != noun_facet]
        self._context = [facet.name for facet in words if facet.context]
        self._reader = AttributeReader(facets, noun_facet)
        self._linker = linker or Linker(facets, noun_facet, sentence_encoder())

    def vocabulary(self) -> list[str]:
        """The texts that images are compared with, whatever is asked."""
        return self._reader.vocabulary()

    def candidates(
        self,
        reference: Embedding,
        text: str,
        known: Mapping[str, Embedding],
        attributes: Attributes | None = None,
    ) -> TextRequests[list[IntentCandidate]]:
        """Intents of a composed query, all with source `facets`: one per reading of the reference.

        Args:
            reference: The reference image's embedding, (D,).
            text: The modification text, in any words; one of which nothing is understood is desired
                as it stands.
            known: Text → its embedding, (D,): what need not be asked for.
            attributes: Of the reference, where it is a gallery image: what it shows is then known.
        """
        labels = attributes or {}
        conditions = read_conditions(text, self._facets, labels, self._linker.mend)
        instructions = read_instructions(conditions.rest, self._linker)
        items = self._known_items(labels)
        if items is not None:
            return [self._candidate(items, labels, instructions, conditions, text, "known")]
        readings = yield from self._reader.read(reference, self._said_to_be_there(instructions))
        return [
            replace(
                self._candidate(reading.items, labels, instructions, conditions, text, "read"),
                reading=reading,
            )
            for reading in still_possible(readings, reference, known)
        ]

    def _said_to_be_there(self, instructions: Instructions) -> list[str]:
        """Things that the text takes for granted: "the sofa", or one that is to go."""
        return [
            link.value
            for phrase in instructions.phrases
            for link in phrase.links
            if link.facet == self._noun
            and (phrase.definite or phrase.role in ("refuse", "remove", "replace", "keep", "only"))
        ]

    def _known_items(self, attributes: Attributes) -> list[DepictedItem] | None:
        """What an image shows by its own attributes: one thing or two; lists of the same length
        speak of the same things, in order.
        """
        things = words_of(attributes.get(self._noun))
        if not 0 < len(things) <= 2:
            return None
        items: list[dict[str, str]] = [{} for _ in things]
        for facet in self._describing:
            values = words_of(attributes.get(facet))
            if len(values) == 1:
                values *= len(things)
            if len(values) == len(things):
                for item, value in zip(items, values, strict=True):
                    item[facet] = value
        return [
            DepictedItem(thing, tuple(item.items()))
            for thing, item in zip(things, items, strict=True)
        ]

    def _candidate(
        self,
        items: Sequence[DepictedItem],
        attributes: Attributes,
        instructions: Instructions,
        conditions: Conditions,
        text: str,
        how: Literal["known", "read"],
    ) -> IntentCandidate:
        where = {f: words[0] for f in self._context if (words := words_of(attributes.get(f)))}
        reading = [{**dict(item.attributes), self._noun: item.category, **where} for item in items]
        target = find_target(instructions, reading, self._facets, self._linker)
        changed = bool(conditions.ranges) or target.differs_from(reading)
        idle = instructions.not_understood if changed else _content(instructions)
        spans = _spans([*((t.start, t.end) for t in idle), *conditions.not_understood], text)
        asked = instructions.phrases or instructions.changes or instructions.others
        if not (asked or conditions.ranges):
            intent = ComposedIntent(
                target=_cut(" and ".join(item.phrase for item in items)),
                preserve=_as_role([item.phrase for item in items]),
                desired=_as_role([text]),
                source="facets",
                reading=how,
                not_understood=spans,
            )
            return IntentCandidate(intent)
        phrases = self._phrases(target, instructions.places)
        intent = ComposedIntent(
            target=phrases[0],
            preserve=_as_role(self._preserved(target)),
            desired=_as_role(target.desired),
            forbidden=_as_role([v for v in target.forbidden if v not in target.desired]),
            source="facets",
            reading=how,
            conditions=dict(conditions.ranges),
            alternatives=tuple(phrases),
            not_understood=spans,
        )
        return IntentCandidate(intent, target=target, instructions=instructions)

    def _phrases(self, target: Target, said: Mapping[str, str]) -> list[str]:
        """All that may be shown, in words; places as the text has them, where it names them."""
        joint = " to the left of " if target.ordered else " and "
        return [
            _cut(
                " ".join(
                    [
                        joint.join(with_article(" ".join(words)) for words in things),
                        *(said.get(place, f"in the {place}") for place in places),
                    ]
                )
            )
            for things, places in alternatives(target)
        ]

    def _preserved(self, target: Target) -> list[str]:
        return list(dict.fromkeys(phrase for phrase, _, _ in self._kept(target)))

    def _kept(self, target: Target) -> Iterator[tuple[str, TargetItem, list[str]]]:
        """Single values of a thing that changes, whole phrases of things that do not: each with its
        thing and facets.
        """
        for item in target.items:
            known = [facet for facet in (*self._describing, self._noun) if facet in item.known]
            same = [facet for facet in known if item.allowed.get(facet) == (item.known[facet],)]
            if same == known and same and not item.changed:
                yield with_article(" ".join(item.known[facet] for facet in same)), item, same
            else:
                yield from ((item.known[facet], item, [facet]) for facet in same)

    def explained(
        self, candidate: IntentCandidate, text: str, logit_scale: float
    ) -> ComposedIntent:
        """An intent that says where its phrases come from, and what was meant by what had no
        effect.

        Args:
            candidate: One of `candidates`, its reading with a score.
            text: The modification text.
            logit_scale: What turns the encoder's cosines into logits.
        """
        candidate = replace(candidate, intent=self._with_suggestions(candidate.intent))
        if candidate.target is None or candidate.instructions is None:
            return candidate.intent
        origins = _Origins(candidate, candidate.instructions, text, self._noun, logit_scale)
        intent = candidate.intent
        found = {
            phrase: origins.seen("preserve", phrase, item, facets)
            for phrase, item, facets in self._kept(candidate.target)
        }
        kept = [found.get(phrase) for phrase in intent.preserve]
        wanted = [origins.said("desired", phrase) for phrase in intent.desired]
        refused = [
            origins.said("forbidden", phrase) or origins.replaced(phrase)
            for phrase in intent.forbidden
        ]
        known = tuple(filter(None, [*kept, *wanted, *refused]))
        return intent.model_copy(update={"provenance": known})

    def _with_suggestions(self, intent: ComposedIntent) -> ComposedIntent:
        spans = intent.not_understood
        words = [s.text.lower() for s in spans if not any(map(str.isdigit, s.text))][:_SUGGESTED]
        near = dict(zip(words, self._linker.suggestions(words, _SUGGESTIONS), strict=True))
        found = (s.model_copy(update={"nearest": near.get(s.text.lower(), ())}) for s in spans)
        return intent.model_copy(update={"not_understood": tuple(found)}) if spans else intent


class _Origins:
    """Where the phrases of one intent come from."""

    def __init__(
        self,
        candidate: IntentCandidate,
        instructions: Instructions,
        text: str,
        noun: str,
        logit_scale: float,
    ) -> None:
        self._reading, self._text, self._noun = candidate.reading, text, noun
        self._tokens, self._logit_scale = instructions.tokens, logit_scale
        self._links = {
            (link.value, phrase.role in ("refuse", "remove", "replace")): link
            for phrase in reversed(instructions.phrases)
            for link in phrase.links
        }

    def seen(
        self, role: Role, phrase: str, item: TargetItem | None, facets: Sequence[str]
    ) -> Provenance:
        """A phrase that speaks of the reference."""
        reading = self._reading
        if reading is None or reading.evidence is None or item is None:
            source: Literal["known", "read"] = "known" if reading is None else "read"
            return Provenance(role=role, phrase=phrase, source=source)
        number = next(n for n, one in enumerate(reading.items) if _is_of(one, item, self._noun))
        sure = [
            reading.evidence.confidence(reading.items, number, facet, self._logit_scale)
            for facet in facets
        ]
        return Provenance(role=role, phrase=phrase, source="read", confidence=round(min(sure), 3))

    def said(self, role: Role, phrase: str) -> Provenance | None:
        """A phrase that words of the text name."""
        link = self._links.get((phrase, role == "forbidden"))
        if link is None:
            return None
        start, end = self._tokens[link.start].start, self._tokens[link.end - 1].end
        return Provenance(
            role=role,
            phrase=phrase,
            source="said",
            confidence=round(link.score, 3),
            said=TextSpan(text=self._text[start:end], start=start, end=end),
            how=link.how,
        )

    def replaced(self, phrase: str) -> Provenance:
        """A phrase that speaks of what the reference shows and is not to be shown."""
        items = self._reading.items if self._reading is not None else ()
        for item in items:
            shown = {**dict(item.attributes), self._noun: item.category}
            facets = [facet for facet, value in shown.items() if value == phrase]
            facets = facets or (list(shown) if item.phrase == phrase else [])
            if facets:
                return self.seen("forbidden", phrase, TargetItem({}, shown), facets)
        return self.seen("forbidden", phrase, None, ())


def _is_of(item: DepictedItem, target: TargetItem, noun: str) -> bool:
    """Whether this is the thing that the target's item was."""
    shown = {**dict(item.attributes), noun: item.category}
    return all(target.known.get(facet) == value for facet, value in shown.items())


def _content(instructions: Instructions) -> list[Token]:
    """All words that say more than what is to stay: none of them had an effect."""
    named = [
        token
        for phrase in instructions.phrases
        if phrase.role != "keep"
        for link in phrase.links
        for token in instructions.tokens[link.start : link.end]
    ]
    return [*instructions.idle, *named]


def _spans(offsets: Sequence[tuple[int, int]], text: str) -> tuple[UnreadSpan, ...]:
    return tuple(UnreadSpan(text=text[a:b], start=a, end=b) for a, b in sorted(set(offsets)))


def _cut(phrase: str) -> str:
    return phrase[:MAX_PHRASE_CHARS].strip()


def _as_role(phrases: Sequence[str]) -> tuple[str, ...]:
    """Each phrase once, none of them empty, as many as an intent may have."""
    return tuple(dict.fromkeys(_cut(phrase) for phrase in phrases if phrase.strip()))[:MAX_PHRASES]
