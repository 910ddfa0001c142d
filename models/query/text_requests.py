"""Computations that ask for text embeddings as they go; several of them share each encoder pass.

Knows no encoder: `answer` and `answer_together` are given one.
"""

from collections.abc import Generator, Sequence
from typing import TypeVar

from models.encoder.types import Embeddings, EncodeTexts

T = TypeVar("T")

# yields texts, is sent their embeddings, float32 (B, D) unit rows in the same order; returns a T
TextRequests = Generator[Sequence[str], Embeddings, T]


def answer(requests: TextRequests[T], encode_texts: EncodeTexts) -> T:
    """Run one computation to its end; raises what it raises."""
    (outcome,) = answer_together([requests], encode_texts)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def answer_together(
    computations: Sequence[TextRequests[T]], encode_texts: EncodeTexts
) -> list[T | Exception]:
    """Run computations side by side: what they ask for at the same step is embedded in one call.

    Args:
        computations: Not started yet.
        encode_texts: Texts → float32 (B, D) unit rows; what it raises ends all of them.

    Returns:
        What each returned or raised, in order.
    """
    outcomes: list[T | Exception | None] = [None] * len(computations)
    asked: dict[int, Sequence[str]] = {}

    def advance(number: int, rows: Embeddings | None) -> None:
        computation = computations[number]
        try:
            asked[number] = next(computation) if rows is None else computation.send(rows)
        except StopIteration as end:
            outcomes[number] = end.value
        except Exception as error:
            outcomes[number] = error

    for number in range(len(computations)):
        advance(number, None)
    while asked:
        step, asked = asked, {}
        rows = encode_texts([text for texts in step.values() for text in texts])
        start = 0
        for number, texts in step.items():
            advance(number, rows[start : start + len(texts)])
            start += len(texts)
    return outcomes  # type: ignore[return-value]  # each is set: a T may be None itself
