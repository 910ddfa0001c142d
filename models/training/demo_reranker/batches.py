"""Demo data as token rows: questions, descriptions, intents, and answers about candidates."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from models.reranker.prompts import QWEN_VL, Prompt
from models.training.demo_reranker.data import DemoData, Negatives, Query
from models.training.packing import Batch, PieceWriter, Row, collate, places_of

LEARNED = 1  # the one kind of token that is learned here
PictureRow = Row[int]  # pictures are numbers in the catalogue
PictureBatch = Batch[int]
_PICTURE = f"<|im_start|>user\n{QWEN_VL.picture}"


class RowWriter(PieceWriter[int]):
    """Writes rows about square pictures of one size as rows."""

    def __init__(
        self,
        template: Prompt,
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
        row = self.trunk(_PICTURE, picture)
        self._ask(row, asked)
        self.say(row, f"\nDescribe it.{QWEN_VL.answer_begins}")
        self.say(row, self._template.answer(caption), asked=LEARNED)
        return row

    def candidate_questions(
        self, query: Query, candidates: Sequence[tuple[int, Sequence[tuple[str, bool]]]]
    ) -> PictureRow:
        """A query with its intent and, in branches, questions about candidates.

        The step between looking at one picture and scoring: which picture is meant has to be
        learned, and many questions about it train that sooner than one answer.
        """
        row = self.query(query, [])
        for picture, asked in candidates:
            self.fork(row)
            self.say(row, self._template.candidate_prefix, [picture])
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
        """A query with its intent and answers about candidates, each a branch."""
        row = self.trunk(self._template.prefix(query.text), query.reference)
        if asks_intent and self._template.compose_instruction is not None:
            self.fork(row)
            self.say(row, self._template.compose_instruction)
            self.say(row, self._template.answer(query.intent), asked=LEARNED)
        for picture, fits in candidates:
            self.fork(row)
            asked = self._template.candidate(query.target if shows_target else None)
            self.say(row, asked, [picture])
            self._answer(row, fits)
        return row

    def _answer(self, row: PictureRow, yes: bool) -> None:
        self.say(row, self._template.yes if yes else self._template.no, asked=LEARNED)


Batches = Iterator[PictureBatch]


def base_batches(examples: DemoData, writer: RowWriter, rows: int, rng: random.Random) -> Batches:
    """In turn: questions and descriptions; intents; intents with questions about candidates."""
    negatives = Negatives(examples)
    while True:
        yield collate([question_row(examples, writer, rng) for _ in range(rows)])
        yield collate([writer.query(rng.choice(examples.queries), []) for _ in range(rows)])
        yield collate(
            [_candidate_question_row(examples, negatives, writer, rng) for _ in range(rows // 2)]
        )


def _candidate_question_row(
    examples: DemoData, negatives: Negatives, writer: RowWriter, rng: random.Random
) -> PictureRow:
    query = rng.choice(examples.queries)
    pictures = [rng.choice(sorted(query.answers)), *negatives.draw(query, 3, rng)]
    return writer.candidate_questions(
        query,
        [
            (number, [*rng.sample(examples.questions[number], 4), (query.target, not place)])
            for place, number in enumerate(pictures)
        ],
    )


def question_row(examples: DemoData, writer: RowWriter, rng: random.Random) -> PictureRow:
    """Eight questions about one picture, and its description."""
    number = rng.randrange(len(examples.captions))
    asked = rng.sample(examples.questions[number], 8)
    return writer.questions(number, asked, examples.captions[number])


def adapter_batches(
    examples: DemoData,
    mined: Mapping[Query, Sequence[int]],
    writer: RowWriter,
    queries: int,
    candidates: int,
    rng: random.Random,
) -> Batches:
    """Queries with candidates, a third of them right ones; half of the queries come from
    those searched for, and every fourth hides its target.
    """
    negatives, searched = Negatives(examples, mined), list(mined) or examples.queries
    while True:
        rows = []
        for number in range(queries):
            query = rng.choice(searched if rng.random() < 0.5 else examples.queries)
            answers = sorted(query.answers)
            right = rng.sample(answers, min(len(answers), rng.randint(1, max(1, candidates // 2))))
            wrong = negatives.draw(query, candidates - len(right), rng)
            shown = [(n, True) for n in right] + [(n, False) for n in wrong]
            rng.shuffle(shown)
            rows.append(writer.query(query, shown, shows_target=number % 4 > 0))
        yield collate(rows)
