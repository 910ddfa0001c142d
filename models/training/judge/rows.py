"""Lessons as token rows: questions, descriptions, intents, and judgements."""

from collections.abc import Callable, Sequence

from models.reranker.chat import QWEN_VL
from models.reranker.templates import Template
from models.training.judge.lessons import Query
from models.training.rows import Batch, PieceWriter, Row, places_of

SAID = 1  # the one kind of token that is learned here
PictureRow = Row[int]  # pictures are numbers in the catalogue
PictureBatch = Batch[int]
_LOOK = f"<|im_start|>user\n{QWEN_VL.picture}"


class RowWriter(PieceWriter[int]):
    """Writes lessons about square pictures of one size as rows."""

    def __init__(
        self,
        template: Template,
        tokenize: Callable[[str], list[int]],
        image_token: int,
        side: int,
    ) -> None:
        """`side`: visual tokens per side of the pictures."""
        places = places_of(side, side)
        super().__init__(tokenize, image_token, lambda _: places)
        self._template = template

    def questions(
        self, picture: int, asked: Sequence[tuple[str, bool]], caption: str
    ) -> PictureRow:
        """Many questions behind one picture, each with its answer; then its description."""
        row = self.trunk(_LOOK, picture)
        self._ask(row, asked)
        self.say(row, f"\nDescribe it.{QWEN_VL.answer_begins}")
        self.say(row, self._template.answer(caption), asked=SAID)
        return row

    def glances(
        self, query: Query, looked_at: Sequence[tuple[int, Sequence[tuple[str, bool]]]]
    ) -> PictureRow:
        """A query with its intent and, in branches, questions about candidates.

        The step between looking at one picture and judging: which picture is meant has to be
        learned, and many questions about it teach that sooner than one verdict.
        """
        row = self.query(query, [])
        for picture, asked in looked_at:
            self.fork(row)
            self.say(row, self._template.shown, [picture])
            self._ask(row, asked)
        return row

    def _ask(self, row: PictureRow, asked: Sequence[tuple[str, bool]]) -> None:
        for phrase, answer in asked:
            self.say(row, f"\nIs it {phrase}?")
            self.say(row, "\n")
            self._answer(row, answer)

    def query(
        self,
        query: Query,
        candidates: Sequence[tuple[int, bool]],
        *,
        shows_target: bool = True,
        asks_intent: bool = True,
    ) -> PictureRow:
        """A query with its intent and judgements of candidates, each a branch."""
        row = self.trunk(self._template.opening(query.text), query.reference)
        if asks_intent and self._template.ask is not None:
            self.fork(row)
            self.say(row, self._template.ask)
            self.say(row, self._template.answer(query.intent), asked=SAID)
        for picture, fits in candidates:
            self.fork(row)
            asked = self._template.candidate(query.target if shows_target else None)
            self.say(row, asked, [picture])
            self._answer(row, fits)
        return row

    def _answer(self, row: PictureRow, yes: bool) -> None:
        self.say(row, self._template.yes if yes else self._template.no, asked=SAID)
