"""Whether an answer is still wanted: set by the caller's thread, read by the one that works for it.

A reader's methods block. Their caller may stop waiting meanwhile; then a lost or late attempt is
not repeated. The token travels beside the calls, as a deadline does in gRPC, so that ports and
engines without repeated attempts need not carry it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Cancellation:
    """A token that one side cancels and the other checks; safe between threads."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the answer is no longer wanted."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Want no answer any more; ends a `sleep`."""
        self._cancelled.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the answer is wanted."""
        self._cancelled.wait(seconds)


_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


@contextmanager
def cancelled_by(cancellation: Cancellation) -> Iterator[None]:
    """Work inside, on this thread, is wanted until this token is cancelled."""
    previous = _current.set(cancellation)
    try:
        yield
    finally:
        _current.reset(previous)


def current_cancellation() -> Cancellation:
    """The token of the work under way; one that is never cancelled where there is none."""
    return _current.get() or Cancellation()
