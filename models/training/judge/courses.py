"""Endless batches of lessons: what the base, and then the adapter, is shown at every step."""

import random
from collections.abc import Iterator, Mapping, Sequence

from models.training.judge.lessons import Lessons, Negatives, Query
from models.training.judge.rows import PictureBatch, PictureRow, RowWriter
from models.training.rows import collate

Batches = Iterator[PictureBatch]


def base_batches(lessons: Lessons, writer: RowWriter, rows: int, rng: random.Random) -> Batches:
    """In turn: questions and descriptions; intents; intents with questions about candidates."""
    negatives = Negatives(lessons)
    while True:
        yield collate([question_row(lessons, writer, rng) for _ in range(rows)])
        yield collate([writer.query(rng.choice(lessons.queries), []) for _ in range(rows)])
        yield collate([_glance_row(lessons, negatives, writer, rng) for _ in range(rows // 2)])


def _glance_row(
    lessons: Lessons, negatives: Negatives, writer: RowWriter, rng: random.Random
) -> PictureRow:
    query = rng.choice(lessons.queries)
    pictures = [rng.choice(sorted(query.answers)), *negatives.draw(query, 3, rng)]
    return writer.glances(
        query,
        [
            (number, [*rng.sample(lessons.questions[number], 4), (query.target, not place)])
            for place, number in enumerate(pictures)
        ],
    )


def question_row(lessons: Lessons, writer: RowWriter, rng: random.Random) -> PictureRow:
    """Eight questions about one picture, and its description."""
    number = rng.randrange(len(lessons.captions))
    asked = rng.sample(lessons.questions[number], 8)
    return writer.questions(number, asked, lessons.captions[number])


def adapter_batches(
    lessons: Lessons,
    mined: Mapping[Query, Sequence[int]],
    writer: RowWriter,
    queries: int,
    candidates: int,
    rng: random.Random,
) -> Batches:
    """Queries with candidates, a third of them right ones; half of the queries come from
    those searched for, and every fourth hides its target.
    """
    negatives, searched = Negatives(lessons, mined), list(mined) or lessons.queries
    while True:
        rows = []
        for number in range(queries):
            query = rng.choice(searched if rng.random() < 0.5 else lessons.queries)
            answers = sorted(query.answers)
            right = rng.sample(answers, min(len(answers), rng.randint(1, max(1, candidates // 2))))
            wrong = negatives.draw(query, candidates - len(right), rng)
            shown = [(n, True) for n in right] + [(n, False) for n in wrong]
            rng.shuffle(shown)
            rows.append(writer.query(query, shown, shows_target=number % 4 > 0))
        yield collate(rows)
