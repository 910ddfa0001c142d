"""What stands around a place of a text: words, and names of facets rather than of values."""

from collections.abc import Mapping, Sequence

from models.query.text.lexicon import Cue, Lexicon
from models.query.text.linking import Link, Linker
from models.query.text.tokens import Token


class Surroundings:
    """A text, to be asked about places of it: indexes of tokens, which may lie outside."""

    def __init__(
        self,
        tokens: Sequence[Token],
        links: Mapping[int, Link],
        cues: Mapping[int, Cue],
        lexicon: Lexicon,
        linker: Linker,
    ) -> None:
        """Take a text.

        Args:
            tokens: Its tokens.
            links: Its links by where they start.
            cues: Its cues by where they start.
            lexicon: Of its language.
            linker: Of the gallery.
        """
        self._tokens, self._links, self._cues = tokens, links, cues
        self._lexicon, self._linker = lexicon, linker

    def word(self, at: int) -> str:
        """The token at a place; empty outside the text."""
        return self._tokens[at].text if 0 <= at < len(self._tokens) else ""

    def facet_at(self, at: int) -> str | None:
        """The facet whose name stands at a place."""
        word = self.word(at)
        return self._linker.facet_of(word) if word.isalpha() and at not in self._links else None

    def facet_before(self, at: int) -> str | None:
        """The facet whose name stands right before a place."""
        return self.facet_at(at - 1)

    def facet_behind(self, at: int) -> str | None:
        """The facet whose name is among the next three words."""
        return next(filter(None, map(self.facet_at, range(at, at + 3))), None)

    def facet_named(self, at: int) -> str | None:
        """The facet of the next three words: by its name or a value; the thing for "one"."""
        for place in range(at, at + 3):
            facet = self.facet_at(place)
            if facet is not None:
                return facet
            if place in self._links:
                return self._links[place].facet
            if self.word(place) in self._lexicon.words_of("pointed"):
                return self._linker.noun_facet
        return None

    def place(self, link: Link) -> tuple[str, str] | None:
        """A context value that stands behind a preposition, and the words from there on."""
        if link.facet not in self._linker.context or link.how != "word":
            return None
        for start in range(link.start - 1, max(-1, link.start - 4), -1):
            if self._tokens[start].text in self._lexicon.words_of("place"):
                return link.value, " ".join(t.text for t in self._tokens[start : link.end])
        return None

    def lent(self, link: Link) -> tuple[str, int] | None:
        """The facet that a thing lends to another, and the place behind: "the guitar's colour",
        "the colour of the guitar", "like the guitar in colour".
        """
        if link.facet != self._linker.noun_facet:
            return None
        likeness = self._lexicon.words_of("likeness")
        article, like = self.word(link.start - 1), self.word(link.start - 2)
        facet = self.facet_at(link.end)
        if facet is not None and self.word(link.end - 1).endswith(("'s", "s'")):
            return None if self._is_refused(link.end + 1) else (facet, link.end + 1)
        if like in likeness and self.word(link.end) in ("in", "en"):
            facet = self.facet_at(link.end + 1)
            return None if facet is None else (facet, link.end + 2)
        if like in likeness and article in self._lexicon.words_of("definite"):
            facet = self.facet_at(link.start - 3)
            if facet is not None and facet not in self._linker.context:
                return None if self._is_refused(link.end) else (facet, link.end)
        return None

    def _is_refused(self, at: int) -> bool:
        """Whether a refusal of what stands before begins here: "… is awful"."""
        return at in self._cues and "refuse_before" in self._cues[at].kinds
