"""Lessons as token rows: questions, descriptions, intents, and judgements.

A row is a trunk and branches. Branches see the trunk and themselves, never each other, so one
reference and request serve the intent and many candidates, as they do in service.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from models.reranker.chat import QWEN_VL
from models.reranker.templates import Template
from models.training.judge.lessons import Query

IGNORED = -100
_LOOK = f"<|im_start|>user\n{QWEN_VL.picture}"


@dataclass
class Row:
    """One sequence in the making; numbers per token, one after another."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    trunk_end: int = 0
    next_position: int = 0
    branch: int = 0


class RowWriter:
    """Writes pieces of text and pictures into rows, with the positions that Qwen-VL gives them."""

    def __init__(
        self,
        template: Template,
        tokenize: Callable[[str], list[int]],
        image_token: int,
        side: int,
    ) -> None:
        """`side`: visual tokens per side of the (square) pictures."""
        self._template = template
        self._tokenize = lru_cache(100_000)(lambda text: tuple(tokenize(text)))
        self._image_token, self._side = image_token, side
        rows, columns = np.divmod(np.arange(side * side), side)
        self._grid = np.stack([np.zeros_like(rows), rows, columns])

    def trunk(self, text: str, picture: int) -> Row:
        """Begin a row with what all branches see."""
        row = Row()
        self.say(row, text, [picture])
        row.trunk_end = row.next_position
        return row

    def fork(self, row: Row) -> None:
        """What follows is a branch of its own."""
        row.branch += 1
        row.next_position = row.trunk_end

    def say(
        self, row: Row, text: str, pictures: Sequence[int] = (), *, asked: bool = False
    ) -> None:
        """Append a piece; `asked` pieces are what the model must learn to say."""
        waiting = iter(pictures)
        for token in self._tokenize(text):
            if token == self._image_token:
                row.pictures.append(next(waiting))
                count = self._side**2
                row.positions.append(self._grid + row.next_position)
                row.next_position += self._side
            else:
                count = 1
                row.positions.append(np.full((3, 1), row.next_position))
                row.next_position += 1
            row.ids += [token] * count
            row.labels += [token if asked else IGNORED] * count
            row.branches += [row.branch] * count

    def questions(self, picture: int, asked: Sequence[tuple[str, bool]], caption: str) -> Row:
        """Many questions behind one picture, each with its answer; then its description."""
        row = self.trunk(_LOOK, picture)
        self._ask(row, asked)
        self.say(row, f"\nDescribe it.{QWEN_VL.answer_begins}")
        self.say(row, self._template.answer(caption), asked=True)
        return row

    def glances(
        self, query: Query, looked_at: Sequence[tuple[int, Sequence[tuple[str, bool]]]]
    ) -> Row:
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

    def _ask(self, row: Row, asked: Sequence[tuple[str, bool]]) -> None:
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
    ) -> Row:
        """A query with its intent and judgements of candidates, each a branch."""
        row = self.trunk(self._template.opening(query.text), query.reference)
        if asks_intent and self._template.ask is not None:
            self.fork(row)
            self.say(row, self._template.ask)
            self.say(row, self._template.answer(query.intent), asked=True)
        for picture, fits in candidates:
            self.fork(row)
            asked = self._template.candidate(query.target if shows_target else None)
            self.say(row, asked, [picture])
            self._answer(row, fits)
        return row

    def _answer(self, row: Row, yes: bool) -> None:
        self.say(row, self._template.yes if yes else self._template.no, asked=True)


@dataclass(frozen=True)
class Batch:
    """B rows, padded to L tokens.

    Attributes:
        ids: int64 (B, L).
        labels: int64 (B, L): the token itself where it was asked for, `IGNORED` elsewhere.
        positions: int64 (3, B, L).
        mask: bool (B, 1, L, L): who sees whom.
        pictures: Row numbers in order of their places.
    """

    ids: Tensor
    labels: Tensor
    positions: Tensor
    mask: Tensor
    pictures: list[int]


def collate(rows: Sequence[Row]) -> Batch:
    """Pad rows at the end and say who sees whom."""
    length = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), IGNORED)
    positions = torch.zeros(3, len(rows), length, dtype=torch.long)
    branches = torch.full((len(rows), length), -1)
    for number, row in enumerate(rows):
        size = len(row.ids)
        ids[number, :size] = torch.tensor(row.ids)
        labels[number, :size] = torch.tensor(row.labels)
        positions[:, number, :size] = torch.from_numpy(np.concatenate(row.positions, axis=1))
        branches[number, :size] = torch.tensor(row.branches)
    same = branches[:, :, None] == branches[:, None, :]
    mask = (same | (branches[:, None, :] == 0)) & torch.ones(length, length).tril().bool()
    mask[:, torch.arange(length), torch.arange(length)] = True  # padding sees itself, not nothing
    return Batch(ids, labels, positions, mask[:, None], [p for row in rows for p in row.pictures])
