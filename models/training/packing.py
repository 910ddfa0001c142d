"""Token rows with a trunk and branches, for families that take positions and masks: Qwen-VL's.

Branches see the trunk and themselves, never each other: one reference and request serve the intent
and many candidates, as they do in service.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

IGNORED = -100  # torch's own label for what no loss is taken of
NOTHING = 0  # the kind of a token that the model need not say

_Picture = TypeVar("_Picture")
Places = tuple[np.ndarray, int]


def places_of(rows: int, columns: int) -> Places:
    """Positions of a picture's visual tokens, int64 (3, T): frame, row and column; and how far the
    text behind it moves on.
    """
    down, right = np.divmod(np.arange(rows * columns), columns)
    return np.stack([np.zeros_like(down), down, right]), max(rows, columns)


@dataclass
class Row(Generic[_Picture]):
    """One sequence in the making; numbers per token, one after another."""

    ids: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    pictures: list[_Picture] = field(default_factory=list)
    trunk_end: int = 0
    next_position: int = 0
    branch: int = 0


class PieceWriter(Generic[_Picture]):
    """Writes pieces of text and pictures into rows, with the positions that Qwen-VL gives them."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        image_token: int,
        places: Callable[[_Picture], Places],
    ) -> None:
        """Prepare.

        Args:
            tokenize: A piece of text → token ids, nothing added.
            image_token: The id that stands for a visual token.
            places: A picture → `places_of` it.
        """
        self._tokenize = lru_cache(100_000)(lambda text: tuple(tokenize(text)))
        self._image_token, self._places = image_token, places

    def trunk(self, text: str, picture: _Picture) -> Row[_Picture]:
        """Begin a row with what all branches see."""
        row: Row[_Picture] = Row()
        self.say(row, text, [picture])
        row.trunk_end = row.next_position
        return row

    def fork(self, row: Row[_Picture]) -> None:
        """What follows is a branch of its own."""
        row.branch += 1
        row.next_position = row.trunk_end

    def say(
        self,
        row: Row[_Picture],
        text: str,
        pictures: Sequence[_Picture] = (),
        *,
        asked: int = NOTHING,
    ) -> None:
        """Append a piece; the model must learn to say it if its kind `asked` is not `NOTHING`."""
        waiting = iter(pictures)
        for token in self._tokenize(text):
            if token == self._image_token:
                picture = next(waiting)
                places, span = self._places(picture)
                row.pictures.append(picture)
            else:
                places, span = np.zeros((3, 1), dtype=np.int64), 1
            count = places.shape[1]
            row.positions.append(places + row.next_position)
            row.next_position += span
            row.ids += [token] * count
            row.asked += [asked] * count
            row.branches += [row.branch] * count


@dataclass(frozen=True)
class Batch(Generic[_Picture]):
    """B rows, padded to L tokens.

    Attributes:
        ids: int64 (B, L).
        asked: int64 (B, L): the kind of what the model must say, `NOTHING` elsewhere.
        positions: int64 (3, B, L).
        mask: bool (B, 1, L, L): who sees whom.
        pictures: In order of their places.
    """

    ids: Tensor
    asked: Tensor
    positions: Tensor
    mask: Tensor
    pictures: list[_Picture]

    @property
    def labels(self) -> Tensor:
        """int64 (B, L): the token itself where it was asked for, `IGNORED` elsewhere."""
        return self.ids.where(self.asked != NOTHING, IGNORED)


def collate(rows: Sequence[Row[_Picture]]) -> Batch[_Picture]:
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
