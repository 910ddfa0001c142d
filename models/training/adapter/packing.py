"""Lessons as token rows for families that take positions and masks: Qwen-VL's.

A row is a trunk (instruction, reference, request) and branches: the intent, and every candidate
with its question. Branches see the trunk and themselves, never each other, so the trunk is read
once for all of them, as in service.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.training.adapter.features import Grid
from models.training.adapter.lessons import Lesson
from models.training.adapter.wording import TEMPLATE, intent

Asked = Literal["nothing", "intent", "verdict"]
_KINDS: tuple[Asked, ...] = ("nothing", "intent", "verdict")
INTENT, VERDICT = _KINDS.index("intent"), _KINDS.index("verdict")


@dataclass
class Row:
    """One sequence in the making; numbers per token, one after another."""

    ids: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    trunk_end: int = 0
    next_position: int = 0
    branch: int = 0


class RowWriter:
    """Writes lessons as rows, with the positions that Qwen-VL gives text and pictures."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        image_token: int,
        merge: int,
        grid_of: Callable[[str], Grid],
    ) -> None:
        """Prepare.

        Args:
            tokenize: A piece of text → token ids, nothing added.
            image_token: The id that stands for a visual token.
            merge: Patches per side of one visual token.
            grid_of: A picture's location → its patches.
        """
        self._tokenize = lru_cache(100_000)(lambda text: tuple(tokenize(text)))
        self._image_token, self._merge, self._grid_of = image_token, merge, grid_of

    def write(
        self, lesson: Lesson, locations: Mapping[int, str], *, shows_target: bool, asks_intent: bool
    ) -> Row:
        """A lesson as a row.

        Args:
            lesson: The query and its candidates.
            locations: Of the pictures by number.
            shows_target: Whether the question names the target.
            asks_intent: Whether the intent is a branch; verdicts always are.
        """
        row = Row()
        self._say(row, TEMPLATE.opening(lesson.text), [locations[lesson.reference]])
        row.trunk_end = row.next_position
        if asks_intent:
            self._fork(row)
            self._say(row, TEMPLATE.ask or "")
            self._say(row, intent(lesson.roles), asked="intent")
        for candidate in lesson.candidates:
            self._fork(row)
            target = lesson.roles.target if shows_target else None
            self._say(row, TEMPLATE.candidate(target), [locations[candidate.picture]])
            self._say(row, TEMPLATE.yes if candidate.fits else TEMPLATE.no, asked="verdict")
        return row

    def _fork(self, row: Row) -> None:
        row.branch += 1
        row.next_position = row.trunk_end

    def _say(
        self, row: Row, text: str, pictures: Sequence[str] = (), asked: Asked = "nothing"
    ) -> None:
        waiting = iter(pictures)
        for token in self._tokenize(text):
            if token == self._image_token:
                picture = next(waiting)
                places, span = self._places(self._grid_of(picture))
                row.pictures.append(picture)
            else:
                places, span = np.zeros((3, 1), dtype=np.int64), 1
            row.positions.append(places + row.next_position)
            row.next_position += span
            count = places.shape[1]
            row.ids += [token] * count
            row.asked += [_KINDS.index(asked)] * count
            row.branches += [row.branch] * count

    def _places(self, grid: Grid) -> tuple[np.ndarray, int]:
        """Positions of a picture's visual tokens (3, T), and how far the text behind it moves."""
        rows, columns = grid[1] // self._merge, grid[2] // self._merge
        down, right = np.divmod(np.arange(rows * columns), columns)
        return np.stack([np.zeros_like(down), down, right]), max(rows, columns)


@dataclass(frozen=True)
class Batch:
    """B rows, padded to L tokens.

    Attributes:
        ids: int64 (B, L).
        asked: int64 (B, L): `INTENT` or `VERDICT` where the token is what the model must say.
        positions: int64 (3, B, L).
        mask: bool (B, 1, L, L): who sees whom.
        pictures: Locations in order of their places.
    """

    ids: Tensor
    asked: Tensor
    positions: Tensor
    mask: Tensor
    pictures: list[str]


def collate(rows: Sequence[Row]) -> Batch:
    """Pad rows at the end and say who sees whom."""
    length = max(len(row.ids) for row in rows)
    ids, asked = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(2))
    positions = torch.zeros(3, len(rows), length, dtype=torch.long)
    branches = torch.full((len(rows), length), -1)
    for number, row in enumerate(rows):
        size = len(row.ids)
        ids[number, :size] = torch.tensor(row.ids)
        asked[number, :size] = torch.tensor(row.asked)
        positions[:, number, :size] = torch.from_numpy(np.concatenate(row.positions, axis=1))
        branches[number, :size] = torch.tensor(row.branches)
    same = branches[:, :, None] == branches[:, None, :]
    mask = (same | (branches[:, None, :] == 0)) & torch.ones(length, length).tril().bool()
    mask[:, torch.arange(length), torch.arange(length)] = True  # padding sees itself, not nothing
    pictures = [picture for row in rows for picture in row.pictures]
    return Batch(ids, asked, positions, mask[:, None], pictures)
