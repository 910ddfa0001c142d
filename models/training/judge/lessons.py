"""What a judge is taught, as token rows: questions, descriptions, intents, and judgements.

A row is a trunk and branches. Branches see the trunk and themselves, never each other, so one
reference and request serve the intent and many candidates, as they do in service.
"""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.reranker import prompt

IGNORED = -100
_DESCRIBE = f"<|im_start|>user\n{prompt.PICTURE}\nDescribe it.<|im_end|>\n<|im_start|>assistant\n"
_LOOK = f"<|im_start|>user\n{prompt.PICTURE}"


@dataclass(frozen=True)
class Query:
    """A composed query with its right answers, by row number of the manifest."""

    reference: int
    text: str
    edit: str
    target: str
    intent: str
    answers: frozenset[int]


@dataclass(frozen=True)
class Lessons:
    """Everything a catalogue teaches.

    Attributes:
        captions: One canonical caption per picture.
        questions: (phrase, answer) pairs per picture.
        queries: Composed queries.
        items: What each picture shows, as (kind, colour, pattern) tuples.
    """

    captions: list[str]
    questions: list[list[tuple[str, bool]]]
    queries: list[Query]
    items: list[tuple[tuple[str, str, str], ...]]

    def texts(self) -> list[str]:
        """A sample of all that is said, for a tokenizer to learn words from."""
        said = [prompt.OPENING, prompt.ASK, prompt.candidate(None), _DESCRIBE] * 50
        said += [prompt.YES, prompt.NO] * 500  # each must become one token
        said += self.captions[:20000]
        for query in self.queries[:40000]:
            said += [prompt.request(query.text), query.intent, prompt.candidate(query.target)]
        return said


def read_lessons(folder: Path, limit: int | None = None) -> Lessons:
    """Read a demo catalogue; made with `--questions` if a base is to be trained on it.

    Args:
        folder: Where its manifest, queries and questions are.
        limit: Use only the first so many pictures, and the queries that can be asked of them.

    Raises:
        FileNotFoundError: The manifest or queries are missing.
    """
    rows = _lines(folder / "manifest.jsonl")[:limit]
    numbers = {row["image_id"]: number for number, row in enumerate(rows)}
    questions = folder / "questions.jsonl"
    asked = [row["questions"] for row in _lines(questions)] if questions.exists() else []
    queries = [
        Query(
            reference=numbers[row["reference_image_id"]],
            text=row["modification_text"],
            edit=row["edit"],
            target=row["target"],
            intent=prompt.write_intent(
                row["target"], row["preserve"], row["desired"], row["forbidden"]
            ),
            answers=frozenset(numbers[i] for i in row["target_image_ids"] if i in numbers),
        )
        for row in _lines(folder / "queries.jsonl")
        if row["reference_image_id"] in numbers
    ]
    return Lessons(
        captions=[row["caption"] for row in rows],
        questions=[[(phrase, answer) for phrase, answer in own] for own in asked[:limit]],
        queries=[query for query in queries if query.answers],
        items=[tuple((i["kind"], i["colour"], i["pattern"]) for i in row["items"]) for row in rows],
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Negatives:
    """Draws wrong candidates for a query, the hard ones first."""

    def __init__(
        self, lessons: Lessons, mined: Mapping[Query, Sequence[int]] | None = None
    ) -> None:
        """`mined`: wrong pictures that the coarse stage found for some of the queries."""
        self._items = lessons.items
        self._mined = mined or {}
        self._near: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, items in enumerate(lessons.items):
            for item in items:
                for left_out in range(3):
                    self._near[(str(len(items)), *_without(item, left_out))].append(number)

    def draw(self, query: Query, count: int, rng: random.Random) -> list[int]:
        """The reference; what the coarse stage mistook; its family; pictures that miss the target
        by one facet; a few random ones.
        """
        drawn: list[int] = [query.reference] if query.reference not in query.answers else []
        while len(drawn) < count:
            number = self._one(query, rng)
            if number not in query.answers:
                drawn.append(number)
        return drawn[:count]

    def _one(self, query: Query, rng: random.Random) -> int:
        if query in self._mined and rng.random() < 0.5:
            return rng.choice(self._mined[query])
        chance = rng.random()
        if chance < 0.35:  # families stand together in a catalogue
            near = query.reference + rng.randint(-12, 12)
            return min(max(near, 0), len(self._items) - 1)
        if chance < 0.9:
            items = self._items[rng.choice(sorted(query.answers))]
            key = (str(len(items)), *_without(rng.choice(items), rng.randrange(3)))
            return rng.choice(self._near[key])
        return rng.randrange(len(self._items))


def _without(item: tuple[str, str, str], left_out: int) -> tuple[str, ...]:
    return tuple("*" if i == left_out else word for i, word in enumerate(item))


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

    def __init__(self, tokenize: Callable[[str], list[int]], image_token: int, side: int) -> None:
        """`side`: visual tokens per side of the (square) pictures."""
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
        self.say(row, "\nDescribe it.<|im_end|>\n<|im_start|>assistant\n")
        self.say(row, caption + prompt.END_OF_TURN, asked=True)
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
            self.say(row, prompt.CANDIDATE, [picture])
            self._ask(row, asked)
        return row

    def _ask(self, row: Row, asked: Sequence[tuple[str, bool]]) -> None:
        for phrase, answer in asked:
            self.say(row, f"\nIs it {phrase}?")
            self.say(row, "\n")
            self.say(row, prompt.YES if answer else prompt.NO, asked=True)

    def query(
        self,
        query: Query,
        candidates: Sequence[tuple[int, bool]],
        *,
        shows_target: bool = True,
        asks_intent: bool = True,
    ) -> Row:
        """A query with its intent and judgements of candidates, each a branch."""
        row = self.trunk(prompt.OPENING + prompt.request(query.text), query.reference)
        if asks_intent:
            self.fork(row)
            self.say(row, prompt.ASK)
            self.say(row, query.intent + prompt.END_OF_TURN, asked=True)
        for picture, fits in candidates:
            self.fork(row)
            self.say(row, prompt.candidate(query.target if shows_target else None), [picture])
            self.say(row, prompt.YES if fits else prompt.NO, asked=True)
        return row


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
