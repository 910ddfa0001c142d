"""A reading of the reference, changed by a text's instructions: what may be shown."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.contracts.gallery import Facet
from models.query.attribute_reader import with_article
from models.query.target import Target, TargetItem
from models.query.text.instructions import Instructions, NounPhrase
from models.query.text.linking import Link, Linker
from models.query.text.vocabulary.colours import COLOUR_MOVES, moved_colours


def find_target(
    instructions: Instructions,
    reading: Sequence[Mapping[str, str]],
    facets: Sequence[Facet],
    linker: Linker,
) -> Target:
    """Apply instructions to a reading.

    Args:
        instructions: Of the text.
        reading: The reference's things, one or two: facet → value, context facets included.
        facets: The gallery's schema.
        linker: Of the gallery.
    """
    return _Editor(instructions, reading, facets, linker).target()


class _Editor:
    """A target on its way."""

    def __init__(
        self,
        instructions: Instructions,
        reading: Sequence[Mapping[str, str]],
        facets: Sequence[Facet],
        linker: Linker,
    ) -> None:
        self._phrases = [replace(phrase) for phrase in instructions.phrases]
        self._changes, self._borrowed = instructions.changes, instructions.borrowed
        self._others, self._linker, self._noun = instructions.others, linker, linker.noun_facet
        words = [facet for facet in facets if facet.kind == "keyword" and facet.values]
        self._values = {facet.name: facet.values for facet in words}
        self._describing = [f.name for f in words if not f.context and f.name != self._noun]
        shown = {self._noun, *self._describing}
        self._there = [  # the reference's things
            TargetItem({f: (v,) for f, v in one.items() if f in shown}, dict(one))
            for one in reading
        ]
        self._target = Target(list(self._there), self._noun, self._describing)
        self._focus: TargetItem | None = None  # what the text is about
        self._going: list[TargetItem] = []  # removed, or to be replaced
        refusals = [p for p in self._phrases if p.role == "refuse" and self._thing(p) is None]
        self._refused = {(link.facet, link.value) for p in refusals for link in p.links}
        self._made: dict[int, TargetItem] = {}  # start of the phrase → the thing it brought
        self._compared: dict[str, str] = {}  # facet of colours → what a shade is compared with

    def target(self) -> Target:
        """Refusals first, so that what is new finds the place of what goes."""
        self._tell_added_from_wanted()
        self._find_focus()
        self._phrases = [phrase for phrase in self._phrases if not self._is_compared(phrase)]
        for phrase in self._phrases:
            self._place(phrase)
            if phrase.role in ("refuse", "remove", "replace"):
                self._take_away(phrase)
        alone: list[TargetItem] = []
        for number, phrase in enumerate(self._phrases):
            if phrase.role not in ("refuse", "remove", "replace"):
                self._ask_for(phrase, number, alone)
        self._drop_what_goes(alone)
        self._borrow()
        self._change_others()
        self._change_shades()
        self._count_and_order()
        return self._target

    def _is_compared(self, phrase: NounPhrase) -> bool:
        """Whether it only says what a shade is compared with: "darker than yellow"."""
        if phrase.role != "compare":
            return False
        phrase.role, colours = "want", self._linker.colour_facets
        self._compared |= {link.facet: link.value for link in phrase.links if link.facet in colours}
        phrase.links = [link for link in phrase.links if link.facet not in colours]
        return not phrase.links

    def _thing(self, phrase: NounPhrase) -> str | None:
        return next((link.value for link in phrase.links if link.facet == self._noun), None)

    def _adjectives(self, phrase: NounPhrase) -> list[Link]:
        return [link for link in phrase.links if link.facet in self._describing]

    def _item(self, phrase: NounPhrase) -> TargetItem | None:
        """The reference's thing that a phrase names, by its kind or its side."""
        if phrase.side is not None and len(self._there) == 2:
            return self._there[0 if phrase.side == "left" else 1]
        kind = self._thing(phrase)
        named = [
            item for item in self._there if kind is not None and item.known.get(self._noun) == kind
        ]
        return named[0] if named else None

    def _about(self) -> TargetItem:
        """The thing that is changed where a text does not say which."""
        if self._focus is None and len(self._there) == 2 and "right" in self._changes:
            return self._there[1]
        staying = [item for item in self._there if item not in self._going]
        return self._focus or (staying or self._there)[0]

    def _find_focus(self) -> None:
        """A single thing, or the only one that the text wants."""
        named = [self._item(phrase) for phrase in self._phrases if phrase.role == "want"]
        wanted = [item for item in named if item is not None]
        if len(self._there) == 1:
            self._focus = self._there[0]
        elif len({id(item) for item in wanted}) == 1:
            self._focus = wanted[0]

    def _tell_added_from_wanted(self) -> None:
        """In "a bag next to the car" the bag is added, where the car is there."""
        beside, alone = self._changes & {"left_of", "right_of"}, len(self._there) == 1
        for before, phrase in zip(self._phrases, self._phrases[1:], strict=False):
            new = self._thing(before) is not None and self._item(before) is None
            roles = {"add", *(["want"] if beside else ()), *(["keep"] if alone else ())}
            there = phrase.role in roles and self._item(phrase) is not None
            if there and new and before.role in ("want", "add"):
                before.role, phrase.role = "add", "keep"

    def _is(self, item: TargetItem, adjectives: Sequence[Link]) -> bool:
        return all(item.known.get(link.facet) == link.value for link in adjectives)

    def _wants_adjectives(self, facets: set[str] | None = None) -> bool:
        """Whether some phrase asks for describing values alone (of these facets)."""
        return any(
            phrase.role == "want"
            and self._thing(phrase) is None
            and any(facets is None or link.facet in facets for link in self._adjectives(phrase))
            for phrase in self._phrases
        )

    def _place(self, phrase: NounPhrase) -> None:
        for link in phrase.links:
            if link.facet not in self._linker.context:
                continue
            if phrase.role in ("refuse", "remove", "replace"):
                now = self._target.context.get(link.facet, self._values[link.facet])
                self._target.context[link.facet] = tuple(v for v in now if v != link.value)
                self._target.forbidden.append(link.value)
            else:
                self._target.context[link.facet] = (link.value,)
                self._target.desired.append(link.value)

    def _take_away(self, phrase: NounPhrase) -> None:
        item, adjectives, kind = self._item(phrase), self._adjectives(phrase), self._thing(phrase)
        if item is not None:
            self._take_away_from(item, phrase)
        elif kind is not None:
            self._target.forbidden.append(kind)
        elif adjectives:
            having = [one for one in self._there if self._is(one, adjectives)]
            about = self._about()
            owner = about if about in having or not having else having[0]
            self._refuse(owner, adjectives)
            self._focus = self._focus or owner

    def _take_away_from(self, item: TargetItem, phrase: NounPhrase) -> None:
        adjectives = self._adjectives(phrase)
        describes = (
            not self._is(item, adjectives)
            or len(self._there) == 1
            or not phrase.definite
            or self._wants_adjectives()
        )
        if phrase.role == "refuse" and adjectives and describes:
            self._refuse(item, adjectives)
            self._focus = item
        elif phrase.role == "replace" and not self._new_things():
            self._focus = item
        elif item not in self._going:
            self._going.append(item)

    def _new_things(self) -> bool:
        wanted = [phrase for phrase in self._phrases if phrase.role in ("want", "add")]
        return any(self._thing(phrase) and self._item(phrase) is None for phrase in wanted)

    def _ask_for(self, phrase: NounPhrase, number: int, alone: list[TargetItem]) -> None:
        item, adjectives, kind = self._item(phrase), self._adjectives(phrase), self._thing(phrase)
        if item is not None:
            changed = self._is_changed_next(number) or self._changes & COLOUR_MOVES
            if phrase.role == "only":
                self._focus = item
                alone += [] if changed else [item]
            elif phrase.role == "add" and not (adjectives or phrase.definite or self._there[1:]):
                self._add(phrase)
            self._describe(item, phrase)
        elif kind is not None:
            made = self._made_before(number)
            if made is not None and phrase.joined == "or":  # "add a lamp or a hat"
                made.allowed[self._noun] = (*made.allowed[self._noun], kind)
                self._made[phrase.start] = made
            elif phrase.role == "add" and not self._going:
                self._add(phrase)
            else:
                self._want_thing(phrase, number)
        elif adjectives:
            self._want_adjectives(phrase, number)

    def _made_before(self, number: int) -> TargetItem | None:
        """The thing that the phrase before one has brought."""
        return self._made.get(self._phrases[number - 1].start) if number else None

    def _is_changed_next(self, number: int) -> bool:
        """Whether a change follows: "only the table should be purple" takes nothing away."""
        following = self._phrases[number + 1 : number + 2]
        return any(
            phrase.clause == self._phrases[number].clause
            and self._thing(phrase) is None
            and self._adjectives(phrase)
            for phrase in following
        )

    def _describe(self, item: TargetItem, phrase: NounPhrase) -> None:
        """Take "the blue hat" that is there, or that is to be blue."""
        adjectives = self._adjectives(phrase)
        if phrase.role == "want":
            self._focus = item
        if adjectives and not self._is(item, adjectives):
            self._set(item, adjectives)

    def _want_thing(self, phrase: NounPhrase, number: int) -> None:
        kind = self._thing(phrase) or ""
        named = [self._item(other) for other in self._phrases]
        only = self._target.items[0]
        if self._going:
            self._rename(self._going.pop(0), phrase)
        elif "two" in self._changes and len(self._target.items) == 1:
            self._add(phrase)
        elif len(self._target.items) == 1 and (only.changed or (only in named and phrase.joined)):
            if phrase.joined == "or":
                only.allowed[self._noun] = (*only.allowed.get(self._noun, ()), kind)
            else:
                self._add(phrase)
        else:
            self._rename(self._replaced_by(phrase, number), phrase)

    def _replaced_by(self, phrase: NounPhrase, number: int) -> TargetItem:
        """The thing in whose place a new one comes."""
        before = self._phrases[number - 1] if number else None
        if before is not None and not phrase.joined and before.clause == phrase.clause:
            item = self._item(before)  # "make the table a guitar"
            if item is not None and not self._adjectives(before) and not self._wants_adjectives():
                return item
        if self._focus is not None and not self._focus.changed and len(self._there) == 1:
            return self._focus
        named = [self._item(other) for other in self._phrases]
        free = [item for item in self._target.items if not item.changed and item not in named]
        return (free or [self._about()])[0]

    def _rename(self, item: TargetItem, phrase: NounPhrase) -> None:
        """Put a new thing in the place of another; of two, what describes it is open."""
        kind = self._thing(phrase) or ""
        self._target.forbidden.append(item.known.get(self._noun, ""))
        self._target.desired.append(kind)
        item.allowed[self._noun], item.changed, self._focus = (kind,), True, item
        self._made[phrase.start] = item
        if len(self._target.items) > 1:
            for facet in self._describing:
                item.allowed.pop(facet, None)
        self._set(item, self._adjectives(phrase))

    def _add(self, phrase: NounPhrase) -> None:
        kind = self._thing(phrase) or ""
        item = TargetItem({self._noun: (kind,)}, changed=True)
        self._target.items[:] = [*self._target.items[:1], item]
        self._made[phrase.start] = item
        self._target.desired.append(kind)
        self._set(item, self._adjectives(phrase))

    def _want_adjectives(self, phrase: NounPhrase, number: int) -> None:
        adjectives = self._adjectives(phrase)
        facets = {link.facet for link in adjectives}
        others = [
            other
            for other in self._phrases[number + 1 :]
            if other.role == "want"
            and self._thing(other) is None
            and any(link.facet in facets for link in other.links)
        ]
        owners = [item for item in self._there if self._is(item, adjectives)]
        told = others and others[0].joined != "or" and phrase.joined != "or"
        more = any(other is not phrase and self._adjectives(other) for other in self._phrases)
        pointed = len(self._there) > 1 and phrase.definite and more
        if owners and (told or pointed):  # "the orange one in white"
            self._focus = owners[0]
        elif "both" in self._changes:
            for item in self._target.items:
                self._set(item, adjectives)
        else:
            made = self._made_before(number)
            self._set(made or self._about(), adjectives, more=phrase.joined == "or")

    def _set(self, item: TargetItem, adjectives: Sequence[Link], more: bool = False) -> None:
        for link in adjectives:
            if (link.facet, link.value) in self._refused:
                continue  # "grey stripes? skip the grey"
            before = item.allowed.get(link.facet, ()) if more and item.changed else ()
            item.allowed[link.facet] = tuple(dict.fromkeys((*before, link.value)))
            had = item.known.get(link.facet)
            if had is not None and had != link.value:
                self._target.forbidden.append(had)
            self._target.desired.append(link.value)
        item.changed = item.changed or bool(adjectives)

    def _refuse(self, item: TargetItem, adjectives: Sequence[Link]) -> None:
        for link in adjectives:
            now = item.allowed.get(link.facet, self._values[link.facet])
            if now == (link.value,):
                now = self._values[link.facet]
            item.allowed[link.facet] = tuple(v for v in now if v != link.value) or now
            self._target.forbidden.append(link.value)

    def _drop_what_goes(self, alone: Sequence[TargetItem]) -> None:
        items = self._target.items
        for item in self._going:
            kind = item.known.get(self._noun, "")
            self._target.forbidden.append(kind)
            if len(items) > 1:
                items.remove(item)
            else:
                item.allowed[self._noun] = tuple(v for v in self._values[self._noun] if v != kind)
        for item in items if alone else ():
            if item not in alone:
                facets = (*self._describing, self._noun)
                words = [item.known[facet] for facet in facets if facet in item.known]
                self._target.forbidden.append(with_article(" ".join(words)))
        items[:] = alone or items

    def _borrow(self) -> None:
        """Give one of two things what the other has: "in the guitar's colour"."""
        for facet, kind in self._borrowed:
            lenders = [item for item in self._there if item.known.get(self._noun) == kind]
            others = [item for item in self._target.items if item not in lenders]
            value = lenders[0].known.get(facet) if lenders else None
            if value is not None and others and facet in self._describing:
                item = self._focus if self._focus in others else others[0]
                item.allowed[facet], item.changed = (value,), True
                self._target.desired.append(value)

    def _change_others(self) -> None:
        """Allow any other where "another colour" or "somewhere else" is asked for."""
        places = tuple(self._linker.context) if "open_place" in self._changes else ()
        for facet in (*self._others, *places):
            had = self._about().known.get(facet)
            others = tuple(v for v in self._values.get(facet, ()) if v != had)
            if facet in self._linker.context and facet not in self._target.context and others:
                self._target.context[facet] = others
            elif facet in self._describing and had and self._about().allowed.get(facet) == (had,):
                self._about().allowed[facet] = others
                self._target.forbidden.append(had)

    def _change_shades(self) -> None:
        shades = self._changes & COLOUR_MOVES
        for facet in self._linker.colour_facets:
            item = self._about()
            own = item.known.get(facet)
            had = self._compared.get(facet, own)
            if shades and had and item.allowed.get(facet, (own,)) == (own,):
                moved = moved_colours(had, self._values[facet], shades)
                item.allowed[facet] = moved or (had,)

    def _count_and_order(self) -> None:
        items = self._target.items
        if "two" in self._changes and len(items) == 1:
            kind = items[0].known.get(self._noun)
            others = tuple(v for v in self._values[self._noun] if v != kind)
            items.append(TargetItem({self._noun: others}, changed=True))
        if "one" in self._changes and len(items) == 2:
            items[:] = [*items[:1], *self._named_items()][-1:]
        if len(items) == 2:
            self._order()

    def _named_items(self) -> list[TargetItem]:
        """The things of the target in the order in which the text names them."""
        named = [self._made.get(phrase.start) or self._item(phrase) for phrase in self._phrases]
        return [item for item in named if item is not None and item in self._target.items]

    def _order(self) -> None:
        items, named = self._target.items, self._named_items()
        if "swap_sides" in self._changes:
            items.reverse()
            self._target.ordered = True
        elif sides := self._changes & {"left", "left_of", "right", "right_of"}:
            first = (named or [item for item in items if item.changed] or items)[0]
            other = next(item for item in items if item is not first)
            items[:] = [first, other] if sides & {"left", "left_of"} else [other, first]
            self._target.ordered = not any(phrase.side for phrase in self._phrases)
