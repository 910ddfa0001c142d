"""The grammar of modification texts: links and cues → what is to be done with what.

A cue holds until its noun phrase, its list or its clause ends: "not a, b or c" refuses three
values, "not a, b" refuses one and wants the other, "a is ugly" refuses what stands before it.
"""

from collections.abc import Sequence
from typing import Literal

from models.query.text.instructions import CHANGES, Instructions, NounPhrase, Role, Side
from models.query.text.lexicon import Cue, Lexicon, lexicon_of
from models.query.text.linking import Link, Linker
from models.query.text.surroundings import Surroundings
from models.query.text.tokens import Token, tokenize
from models.query.text.vocabulary.colours import COLOUR_MOVES

_PREFIXES: tuple[tuple[str, Role], ...] = (
    ("remove", "remove"),
    ("refuse", "refuse"),
    ("only", "only"),
    ("add", "add"),
)
_SUFFIXES: tuple[tuple[str, Role], ...] = (
    ("refuse_before", "refuse"),
    ("remove_before", "remove"),
    ("only_before", "only"),
    ("add_before", "add"),
)


def read_instructions(text: str, linker: Linker) -> Instructions:
    """Read a modification text in any of the lexica's languages.

    Args:
        text: In any words.
        linker: Of the gallery.
    """
    tokens = tokenize(text)
    lexicon = lexicon_of(tokens)
    tokens = [
        t if t.is_mark else Token(linker.mend(t.text, lexicon), t.start, t.end) for t in tokens
    ]
    named = linker.named(tokens)
    cues = [cue for cue in lexicon.cues(tokens) if named.isdisjoint(range(cue.start, cue.end))]
    cued = frozenset(at for cue in cues for at in range(cue.start, cue.end))
    links = linker.link(tokens, lexicon, cued)
    return _Reader(tokens, links, cues, lexicon, linker).read()


class _Reader:
    """Goes through a text once, from left to right."""

    def __init__(
        self,
        tokens: Sequence[Token],
        links: Sequence[Link],
        cues: Sequence[Cue],
        lexicon: Lexicon,
        linker: Linker,
    ) -> None:
        self._tokens, self._linker, self._lexicon = tokens, linker, lexicon
        self._definite_words = lexicon.words_of("definite")
        self._links = {link.start: link for link in links}
        self._cues = {cue.start: cue for cue in cues}
        self._near = Surroundings(tokens, self._links, self._cues, lexicon, linker)
        self._phrases: list[NounPhrase] = []
        self._changes: set[str] = set()
        self._others: list[str] = []
        self._borrowed: list[tuple[str, str]] = []
        self._clause = 0
        self._begin("want")
        self._joined: Literal["", "and", "or"] = ""
        self._open = False  # the next link may belong to the last phrase
        self._listed = False  # nothing but a comma came since the last phrase
        self._definite = False

    def read(self) -> Instructions:
        at = 0
        while at < len(self._tokens):
            if at in self._links:
                at = self._take_link(self._links[at])
            elif at in self._cues:
                at = self._take_cue(self._cues[at])
            else:
                self._take_word(at)
                at += 1
        idle = self._without_effect()
        return Instructions(
            self._phrases,
            frozenset(self._changes),
            tuple(self._others),
            tuple(self._borrowed),
            dict(filter(None, map(self._near.place, self._links.values()))),
            idle,
            tuple(t for t in idle if self._linker.may_matter(t.text, self._lexicon.language)),
            self._tokens,
        )

    def _begin(self, role: Role, single: bool = False, replacing: bool = False) -> None:
        """From here on, values have this role; `single`: those of one noun phrase."""
        self._role, self._single, self._replacing = role, single, replacing

    def _take_link(self, link: Link) -> int:
        if (lent := self._near.lent(link)) is not None:
            self._open = False
            self._borrowed.append((lent[0], link.value))
            return lent[1]
        last = self._phrases[-1] if self._phrases else None
        if last is not None and self._open and self._belongs(link, last):
            last.links.append(link)
        else:
            if self._single and last is not None and not self._joined and last.role == self._role:
                self._begin("want")
            self._phrases.append(
                NounPhrase(
                    [link],
                    self._role,
                    self._joined,
                    self._clause,
                    link.start,
                    self._definite,
                    listed=self._listed,
                )
            )
        self._joined, self._definite, self._open, self._listed = "", False, True, False
        if self._role == "refuse" and link.facet == self._linker.noun_facet:
            facet = self._linker.facet_of(self._near.word(link.end) or "-")
            if facet is not None:  # "not the guitar colour"
                self._others.append(facet)
                self._phrases[-1].role = "want"
                return link.end + 1
        return link.end

    def _belongs(self, link: Link, phrase: NounPhrase) -> bool:
        """Whether a value goes on a phrase: describing values, then one thing."""
        context, noun = self._linker.context, self._linker.noun_facet
        facets = {known.facet for known in phrase.links}
        return bool(facets) and link.facet not in facets | context and not facets & {noun, *context}

    def _take_cue(self, cue: Cue) -> int:
        follower = self._tokens[cue.end].text if cue.end < len(self._tokens) else "."
        self._open = self._listed = False
        outward = self._near.word(cue.start) in self._lexicon.words_of("outward")
        if outward and cue.end - cue.start == 1 and follower in self._lexicon.words_of("place"):
            return cue.end  # "out in the snow"
        pointed = follower in self._lexicon.words_of("pointed")
        alone = self._role in ("remove", "only") and self._next_link(cue.end) is None
        if cue.kinds & {"left", "right"} and (pointed or alone):
            side: Side = "left" if "left" in cue.kinds else "right"
            self._phrases.append(
                NounPhrase([], self._role, self._joined, self._clause, cue.start, True, side)
            )
            self._joined = ""
            return cue.end + pointed
        if "correct" in cue.kinds or (
            self._tokens[cue.start].text == "no"
            and cue.end - cue.start == 1
            and not follower[0].isalnum()
            and self._phrases
            and not self._near.word(cue.start - 1).isalnum()
        ):
            self._phrases.clear()
            self._begin("want")
            return cue.end
        self._changes |= cue.kinds & CHANGES
        if cue.kinds - CHANGES:
            self._turn(cue)
        self._definite |= self._tokens[cue.end - 1].text in self._definite_words
        return cue.end

    def _turn(self, cue: Cue) -> None:
        """Do what a cue says to the values behind it, or before it."""
        behind = self._next_link(cue.end)
        here = any(phrase.clause == self._clause for phrase in self._phrases)
        if self._exceeds(cue) and here:  # "the white is too clean for me"
            self._say_of_last("refuse")
        elif "than" in cue.kinds and self._changes & COLOUR_MOVES:
            self._begin("compare", single=True)  # "darker than yellow"
        elif not self._ends_scope(cue):
            self._turn_values(cue, here, behind)

    def _exceeds(self, cue: Cue) -> bool:
        """Whether it says "too …" of what stands before."""
        follows = self._near.word(cue.end)[:1].isalnum() and cue.end not in self._links
        return "excess" in cue.kinds and follows and cue.end not in self._cues

    def _turn_values(self, cue: Cue, here: bool, behind: Link | None) -> None:
        """Give what a cue speaks of its role."""
        if "other" in cue.kinds:
            self._others += filter(None, [self._other_facet(cue.end)])
        elif (role := self._backward(cue, here, behind)) is not None:
            facet = self._near.facet_before(cue.start) if role == "refuse" else None
            if facet is not None:  # "the sofa's colour is awful"
                self._others.append(facet)
            else:
                self._say_of_last(role)
        elif (role := self._forward(cue, behind)) is not None:
            named = self._near.facet_behind(cue.end) if role in ("refuse", "remove") else None
            if named is not None and behind is None:  # "no to its colour"
                self._others.append(named)
            if role == "want" and self._role == "only" and not self._has_link_since("only"):
                return  # "I only want the table"
            if "flip" in cue.kinds and (self._joined or self._is_contrast(cue.start)):
                self._clause += 1  # "just the lamp, but in green", "… and make it green"
            single = bool(cue.kinds & {"instead", "where"}) or role == "replace"
            replacing = role == "replace" or (
                self._replacing and not cue.kinds & {"replace_with", "add"}
            )
            self._begin(role, single, replacing)
            self._joined = ""
        elif cue.kinds & {"and", "or"}:
            self._joined = "or" if "or" in cue.kinds else "and"

    def _ends_scope(self, cue: Cue) -> bool:
        """Whether a refusal ends here: "no dots on the green car", "no hat with the lamp"."""
        return cue.end - cue.start == 1 and self._leave_scope(cue.end)

    def _leave_scope(self, at: int) -> bool:
        """Stop refusing between a preposition and a thing that is there; whether it does."""
        beside = self._near.word(at - 1) in self._lexicon.words_of("beside")
        if not beside and self._near.word(at - 1) not in self._lexicon.words_of("on"):
            return False
        last = self._phrases[-1] if self._phrases else None
        refusing = self._role in ("refuse", "remove") and not self._replacing
        article = self._definite_words if beside else self._lexicon.words_of("determiners")
        if last is None or self._near.word(at) not in article:
            return False
        following = at + 1
        while following in self._links and (
            self._links[following].facet != self._linker.noun_facet
        ):
            following = self._links[following].end
        if following not in self._links or self._replacing:
            return False
        if refusing and last.role == self._role:
            self._begin("keep" if beside else "want", single=True)
        elif beside and self._role == "want":
            self._begin("keep", single=True)
        else:
            return False
        return True

    def _backward(self, cue: Cue, here: bool, behind: Link | None) -> Role | None:
        """The role that a cue gives to the phrase before it, if it does."""
        joins = cue.end in self._cues and self._cues[cue.end].kinds & {"and", "flip"}
        closes = (
            not self._near.word(cue.end)[:1].isalnum() or joins
        )  # nothing of its clause follows
        outward = self._near.word(cue.start) in self._lexicon.words_of("outward")
        if outward and cue.end - cue.start == 1 and not closes:
            return None  # "that would set off the parasol"
        if "keep" in cue.kinds and here and (behind is None or closes):
            return "keep"
        for kind, role in _SUFFIXES:
            if kind in cue.kinds and (here or (self._phrases and behind is None)):
                return role if behind is None or closes or cue.kinds == {kind} else None
        return None

    def _forward(self, cue: Cue, behind: Link | None) -> Role | None:
        """The role that a cue gives to what follows, if it does."""
        kinds = cue.kinds
        if "flip" in kinds and self._is_contrast(cue.start) and self._is_exception(cue.start):
            return "refuse"
        thing = behind is not None and behind.facet == self._linker.noun_facet
        if "refuse_before" in kinds:
            return "refuse" if behind is not None else None
        if self._replacing and kinds & {"replace_with", "add"}:
            return "want"
        if "replace" in kinds:
            return "replace" if behind is not None else None
        if "where" in kinds:
            return "refuse" if thing else None
        if "instead" in kinds or {"remove", "refuse"} <= kinds:
            return "remove" if thing and "instead" not in kinds else "refuse"
        for kind, role in _PREFIXES:
            if kind in kinds:
                return role
        if "keep" in kinds and behind is not None and self._role != "only":
            return "keep"
        return "want" if "flip" in kinds else None

    def _has_link_since(self, role: Role) -> bool:
        """Whether the phrases of the present role have begun."""
        return bool(self._phrases) and self._phrases[-1].role == role

    def _ends_phrase(self, at: int) -> bool:
        return any(link.end == at for link in self._links.values())

    def _is_contrast(self, at: int) -> bool:
        return self._near.word(at) in self._lexicon.words_of("contrasts")

    def _is_exception(self, at: int) -> bool:
        """Whether a "but" makes one: "any colour but red"."""
        return any(
            self._near.word(before) in self._lexicon.words_of("every")
            for before in range(at - 3, at)
        )

    def _say_of_last(self, role: Role) -> None:
        """Give the last phrase, and those it is joined to, a role: "a, b and c are ugly"."""
        in_list = False
        for phrase in reversed(self._phrases):
            things = any(link.facet == self._linker.noun_facet for link in phrase.links)
            if role == "only" and phrase.role == "keep":
                return  # "leave the chair alone"
            phrase.role = "refuse" if role == "remove" and not (things or phrase.side) else role
            in_list |= phrase.joined == "and"
            if not (phrase.joined or (phrase.listed and in_list)):
                return

    def _take_word(self, at: int) -> None:
        word = self._tokens[at].text
        if self._tokens[at].is_mark:
            self._open = False
            self._listed = word == "," and self._ends_phrase(at) and at + 1 in self._links
            self._take_mark(at, word)
        elif self._leave_scope(at + 1):
            self._open = False
        elif word in self._lexicon.words_of("determiners"):
            self._definite = word in self._definite_words
            self._open = False
        elif word not in self._lexicon.function:
            self._open = False

    def _take_mark(self, at: int, mark: str) -> None:
        if mark == ",":
            self._joined = "or" if self._list_goes_on(at) else ""
            if self._joined:
                return
            if self._phrases and self._phrases[-1].role == self._role:
                self._begin("want")
        elif mark in ".;!?:-…":
            self._begin("want")
            self._joined = ""
        else:
            return
        self._clause += 1

    def _list_goes_on(self, at: int) -> bool:
        """Whether a comma stands in a list of what is refused: "not a, b or c"."""
        link = self._next_link(at + 1)
        if self._role not in ("refuse", "remove") or link is None:
            return False
        if any(
            self._cues[n].kinds - {"and", "or"} for n in range(at, link.start) if n in self._cues
        ):
            return False
        for after in range(link.end, len(self._tokens)):
            if after in self._cues:
                joins = self._cues[after].kinds & {"and", "or"}
                return bool(joins) and self._next_link(after) is not None
            if self._tokens[after].is_mark:
                return self._list_goes_on(after)
        return False

    def _next_link(self, start: int) -> Link | None:
        """The first link from here on in this sentence."""
        for at in range(start, len(self._tokens)):
            if at in self._links:
                return self._links[at]
            if self._tokens[at].text in ".;!?":
                return None
        return None

    def _other_facet(self, at: int) -> str | None:
        """The facet that "another …" is about; the thing where nothing else is said."""
        return self._near.facet_named(at) or (None if self._phrases else self._linker.noun_facet)

    def _without_effect(self) -> tuple[Token, ...]:
        spans = [range(link.start, link.end) for link in self._links.values()]
        spans += [range(cue.start, cue.end) for cue in self._cues.values()]
        covered = {at for span in spans for at in span}
        return tuple(
            token
            for at, token in enumerate(self._tokens)
            if at not in covered
            and not token.is_mark
            and not token.text.isdigit()
            and token.text not in self._lexicon.function
            and self._linker.facet_of(token.text) is None
        )
