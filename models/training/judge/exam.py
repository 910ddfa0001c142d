"""The same validation questions, intents and judgements again and again, while a judge trains."""

import random
from collections.abc import Callable
from typing import Any

import torch

from models.training.judge.courses import question_row
from models.training.judge.language import SeenPictures, answer_loss
from models.training.judge.lessons import Lessons, Negatives
from models.training.judge.rows import PictureBatch, RowWriter
from models.training.rows import collate


def examiner(model: Any, exam: Lessons, writer: RowWriter, seen: SeenPictures) -> Callable[[], str]:
    """Asks the same validation rows every time: questions, intents, and judgements."""
    rng = random.Random(7)
    queries = rng.sample(exam.queries, min(64, len(exam.queries)))
    negatives = Negatives(exam)
    questions = collate([question_row(exam, writer, rng) for _ in range(48)])
    intents = collate([writer.query(query, []) for query in queries])
    judged = {
        shows: collate(
            [
                writer.query(
                    query,
                    [(rng.choice(sorted(query.answers)), True)]
                    + [(n, False) for n in negatives.draw(query, 3, rng)],
                    shows_target=shows,
                    asks_intent=False,
                )
                for query in queries
            ]
        )
        for shows in (True, False)
    }

    @torch.inference_mode()
    def examine() -> str:
        right = answer_loss(model, questions, seen)[1].float().mean()
        exact = _rows_all_right(intents, answer_loss(model, intents, seen)[1])
        with_target, without = (
            answer_loss(model, judged[shows], seen)[1].float().mean() for shows in (True, False)
        )
        return (
            f"questions {right:.3f} intents word for word {exact:.3f} "
            f"judgements {with_target:.3f}, target hidden {without:.3f}"
        )

    return examine


def _rows_all_right(batch: PictureBatch, correct: torch.Tensor) -> float:
    """The share of rows in which every asked-for token was the likeliest."""
    asked = (batch.labels[:, 1:] >= 0).nonzero()[:, 0]
    wrong = torch.zeros(len(batch.labels)).index_add_(0, asked, (~correct.cpu()).float())
    return float((wrong == 0).float().mean())
