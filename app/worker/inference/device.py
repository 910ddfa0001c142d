"""The one thread that may touch the device."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class DeviceThread:
    """Runs what it is given, one call after another, always on the same thread.

    A daemon, unlike an executor's threads: a device that hangs must not keep the process from
    stopping.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Run `function` after everything that was given before."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._calls.put(run)
        return future

    def stop(self, timeout_s: float) -> bool:
        """Finish what was given, then end; returns whether it ended in time."""
        self._calls.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
