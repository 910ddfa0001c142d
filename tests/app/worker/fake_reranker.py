"""A reranker that can be held and made to fail, and keeps its calls. Scores are read off images."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from app.worker.inference.model import VisualFeatures
from models.contracts.intent import ComposedIntent
from models.reranker.intent_format import IntentParseError

WAIT_S = 60.0  # far more than any machine needs; a test that waits so long has failed
TOKENS = 10


@dataclass(frozen=True)
class FakeImage:
    """Prepared image and features in one: how red the image is, 0 to 255."""

    red: int
    visual_tokens: int = TOKENS
    nbytes: int = 100


@dataclass(frozen=True)
class FakePrefix:
    text: str
    target: str | None = None
    nbytes: int = 100


class Gate:
    """A point in the reranker where it can be held until the test lets it go on."""

    def __init__(self) -> None:
        self._open = True
        self._let_through = 0
        self._changed = threading.Condition()
        self._reached = threading.Semaphore(0)

    def hold(self) -> None:
        self._open = False

    def let_one_through(self) -> None:
        with self._changed:
            self._let_through += 1
            self._changed.notify_all()

    def release(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def wait_reached(self) -> None:
        assert self._reached.acquire(timeout=WAIT_S), "the reranker did not come here"

    def pass_through(self) -> None:
        self._reached.release()
        with self._changed:
            assert self._changed.wait_for(lambda: self._open or self._let_through, WAIT_S)
            if not self._open:
                self._let_through -= 1


class FakeReranker:
    """Scores red / 255.

    Attributes:
        calls: Name and modification text, or reds, of every call on the device, in order.
        prepared: How many images.
        poison: Images of these reds make `score` raise; `blind` ones make `features` raise.
        threads: Names of the threads that called what only the device's thread may.
    """

    version = "fake-1"
    device_reason = "cpu: it is a fake"

    def __init__(self, composes: bool = True) -> None:
        self.composes = composes
        self.self_test_failure: str | None = None
        self.calls: list[tuple[str, Any]] = []
        self.poison: set[int] = set()
        self.blind: set[int] = set()
        self.not_a_number: set[int] = set()
        self.prefill_fails = self.unreadable = self.warm_up_fails = False
        self.threads: set[str] = set()
        self.prepared = 0
        self._counting = threading.Lock()
        self.scoring, self.composing, self.warming = Gate(), Gate(), Gate()

    def prepare(self, picture: Image.Image) -> FakeImage:
        red = picture.getpixel((0, 0))
        assert isinstance(red, tuple)
        with self._counting:
            self.prepared += 1
        return FakeImage(red=round(red[0] / 10) * 10)  # JPEG is not exact

    def prefill(self, reference: Any, modification_text: str) -> FakePrefix:
        self._called("prefill", modification_text)
        if self.prefill_fails:
            raise RuntimeError("no")
        return FakePrefix(modification_text)

    def compose(self, prefix: Any) -> ComposedIntent:
        self._called("compose", prefix.text)
        self.composing.pass_through()
        if self.unreadable:
            raise IntentParseError("gibberish")
        return ComposedIntent(target=f"target of {prefix.text}", source="mllm")

    def with_target(self, prefix: Any, target: str) -> FakePrefix:
        self._called("with_target", target)
        return FakePrefix(prefix.text, target)

    def features(self, images: Sequence[Any]) -> list[VisualFeatures]:
        self._called("features", [image.red for image in images])
        if self.blind & {image.red for image in images}:
            raise RuntimeError("blind")
        return list(images)

    def score(self, prefix: Any, candidates: Sequence[Any]) -> list[float]:
        self._called("score", (prefix.text, [candidate.red for candidate in candidates]))
        self.scoring.pass_through()
        if self.poison & {candidate.red for candidate in candidates}:
            raise RuntimeError("poison")
        return [
            float("nan") if candidate.red in self.not_a_number else candidate.red / 255
            for candidate in candidates
        ]

    def warm_up(self, chunk_size: int) -> None:
        self._called("warm_up", chunk_size)
        self.warming.pass_through()
        if self.warm_up_fails:
            raise RuntimeError("out of memory")

    def self_test(self) -> None:
        self._called("self_test", None)
        if self.self_test_failure is not None:
            raise RuntimeError(self.self_test_failure)

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def chunks(self) -> list[tuple[str, list[int]]]:
        """Modification text and reds of every chunk that was scored, in order."""
        return [what for name, what in self.calls if name == "score"]

    def _called(self, name: str, what: object) -> None:
        self.calls.append((name, what))
        self.threads.add(threading.current_thread().name)
