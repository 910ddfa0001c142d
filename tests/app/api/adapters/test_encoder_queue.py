"""The encoder's thread: who shares a pass with whom, and who does not suffer from whom."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from app.api.adapters.encoder_queue import EncoderQueue
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding, Embeddings
from models.query.text_requests import TextRequests

DIM = 4


class GatedEncoder:
    """Waits at every pass until it is let; pictures of one colour are too much for it."""

    embedding_dim = DIM
    too_much = (255, 0, 0)

    def __init__(self) -> None:
        self.let = threading.Event()
        self.let.set()
        self.begun = threading.Event()
        self.pictures: list[int] = []
        self.texts: list[list[str]] = []

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        if image.width == 1:
            raise ValueError("too small a picture")
        return torch.tensor(image.getpixel((0, 0)))

    def encode_preprocessed(self, tensors: Sequence[torch.Tensor]) -> Embeddings:
        self._wait()
        self.pictures.append(len(tensors))
        if any(tuple(tensor.tolist()) == self.too_much for tensor in tensors):
            raise RuntimeError("out of memory")
        return np.stack([np.full(DIM, float(t[2]), np.float32) for t in tensors])

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        self._wait()
        self.texts.append(list(texts))
        return np.stack([np.full(DIM, len(text), np.float32) for text in texts])

    def _wait(self) -> None:
        self.begun.set()
        assert self.let.wait(10)


def picture(blue: int) -> Image.Image:
    return Image.new("RGB", (8, 8), (0, 0, blue))


def query(
    *texts: str,
) -> Callable[[Embedding | None], TextRequests[tuple[float, list[float]]]]:
    """A computation that asks for texts once: the picture's number, and the texts' lengths."""

    def start(reference: Embedding | None) -> TextRequests[tuple[float, list[float]]]:
        rows = yield texts
        return 0.0 if reference is None else float(reference[0]), [float(row[0]) for row in rows]

    return start


@pytest.fixture
def encoder() -> GatedEncoder:
    return GatedEncoder()


@pytest.fixture
def queue(encoder: GatedEncoder) -> Iterator[EncoderQueue]:
    queue = EncoderQueue(cast(ImageTextEncoder, encoder))
    yield queue
    encoder.let.set()
    queue.close()


async def busy(queue: EncoderQueue, encoder: GatedEncoder) -> "asyncio.Task[object]":
    """A job that holds the thread until `encoder.let` is set."""
    encoder.let.clear()
    first = asyncio.create_task(queue.run(query("first")))
    while not encoder.begun.is_set():
        await asyncio.sleep(0.001)
    return first


async def waiting(queue: EncoderQueue, number: int) -> None:
    """Until so many jobs wait."""
    while len(queue._waiting) < number:
        await asyncio.sleep(0.001)


def test_what_waits_together_is_encoded_together(
    queue: EncoderQueue, encoder: GatedEncoder
) -> None:
    async def main() -> list[Any]:
        first = await busy(queue, encoder)
        jobs = [
            asyncio.create_task(queue.run(query("same", "x" * n), picture(n))) for n in (3, 5, 7)
        ]
        await waiting(queue, 3)
        encoder.let.set()
        return list(await asyncio.gather(first, *jobs))

    assert asyncio.run(main()) == [(0.0, [5]), (3.0, [4, 3]), (5.0, [4, 5]), (7.0, [4, 7])]
    assert encoder.pictures == [3]
    assert [sorted(texts, key=len) for texts in encoder.texts] == [
        ["first"], ["xxx", "same", "xxxxx", "xxxxxxx"],
    ]  # fmt: skip


def test_what_is_remembered_costs_nothing(queue: EncoderQueue, encoder: GatedEncoder) -> None:
    async def main() -> None:
        for _ in range(2):
            assert await queue.run(query("a", "bc", "a")) == (0.0, [1, 2, 1])

    asyncio.run(main())
    assert encoder.texts == [["a", "bc"]]


def test_a_batch_is_bounded(queue: EncoderQueue, encoder: GatedEncoder) -> None:
    async def main() -> None:
        first = await busy(queue, encoder)
        jobs = [asyncio.create_task(queue.run(query(), picture(n))) for n in range(40)]
        await waiting(queue, 40)
        encoder.let.set()
        answers: list[Any] = await asyncio.gather(first, *jobs)
        assert sorted(answer[0] for answer in answers[1:]) == list(range(40))

    asyncio.run(main())
    assert encoder.pictures == [16, 16, 8]


def test_one_that_is_alone_shares_with_none(queue: EncoderQueue, encoder: GatedEncoder) -> None:
    async def main() -> None:
        first = await busy(queue, encoder)
        jobs = []
        for number, alone in enumerate((False, True, False, False)):
            jobs.append(asyncio.create_task(queue.run(query(f"text {number}"), alone=alone)))
            await waiting(queue, number + 1)
        encoder.let.set()
        await asyncio.gather(first, *jobs)

    asyncio.run(main())
    assert encoder.texts == [["first"], ["text 0"], ["text 1"], ["text 2", "text 3"]]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Image.new("RGB", (1, 8)), "too small a picture"),
        (Image.new("RGB", (8, 8), GatedEncoder.too_much), "out of memory"),
    ],
)
def test_a_bad_picture_fails_alone(
    queue: EncoderQueue, encoder: GatedEncoder, bad: Image.Image, error: str
) -> None:
    async def main() -> list[Any]:
        first = await busy(queue, encoder)
        pictures = [picture(3), bad, picture(7)]
        jobs = [asyncio.create_task(queue.run(query("ab"), one)) for one in pictures]
        await waiting(queue, 2 if bad.width == 1 else 3)
        encoder.let.set()
        return list(await asyncio.gather(first, *jobs, return_exceptions=True))

    _, good, failed, also_good = asyncio.run(main())
    assert (good, also_good) == ((3.0, [2]), (7.0, [2]))
    assert isinstance(failed, Exception)
    assert error in str(failed)


def test_a_computation_fails_alone(queue: EncoderQueue, encoder: GatedEncoder) -> None:
    def broken(_: Embedding | None) -> TextRequests[None]:
        yield ["asked"]
        raise ValueError("an intersection needs an intent")

    async def main() -> list[Any]:
        first = await busy(queue, encoder)
        jobs = [asyncio.create_task(queue.run(start)) for start in (query("ab"), broken)]
        await waiting(queue, 2)
        encoder.let.set()
        return list(await asyncio.gather(first, *jobs, return_exceptions=True))

    _, good, failed = asyncio.run(main())
    assert good == (0.0, [2])
    assert isinstance(failed, ValueError)
    assert encoder.texts == [["first"], ["ab", "asked"]]


def test_one_that_is_cancelled_is_left_out(queue: EncoderQueue, encoder: GatedEncoder) -> None:
    async def main() -> None:
        first = await busy(queue, encoder)
        jobs = [asyncio.create_task(queue.run(query(), picture(n))) for n in (3, 5, 7)]
        await waiting(queue, 3)
        jobs[1].cancel()
        with pytest.raises((asyncio.CancelledError, CancelledError)):
            await jobs[1]
        encoder.let.set()
        assert [answer[0] for answer in await asyncio.gather(jobs[0], jobs[2])] == [3.0, 7.0]
        await first

    asyncio.run(main())
    assert encoder.pictures == [2]
