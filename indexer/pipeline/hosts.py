"""Turns at hosts that images are read from: many at once where one answers, none where it does not.

A host is asked by one thread until it has answered, by one more after each answer, and no more once
it has failed too often in a row: a host that went silent costs its rows, and little time.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from models.datasets.remote import HostUnreachable

_MAX_FAILURES = 5  # in a row


class _Host:
    def __init__(self) -> None:
        self.reading = self.answers = self.failures = 0


class Hosts:
    """Whose turn it is, for all threads of a build."""

    def __init__(self, at_once: int) -> None:
        """Say how many threads read from one host at most."""
        self._at_once = at_once
        self._changed = Condition()
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)

    @contextmanager
    def turn(self, name: str | None) -> Iterator[None]:
        """Wait for a turn, and have it; on disk (None) there is no waiting.

        What is raised inside is kept in mind: a `TimeoutError` or `HostUnreachable` as a failure
        of the host, everything else as an answer.

        Raises:
            OSError: The host is not asked any more.
        """
        if name is None:
            yield
            return
        host = self._hosts[name]
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    host.failures >= _MAX_FAILURES
                    or host.reading < min(self._at_once, 1 + host.answers)
                )
            )
            if host.failures >= _MAX_FAILURES:
                raise OSError(
                    f"{name} did not answer {_MAX_FAILURES} times in a row and was not asked again"
                )
            host.reading += 1
        answered = True
        try:
            yield
        except (TimeoutError, HostUnreachable):
            answered = False
            raise
        finally:
            with self._changed:
                host.reading -= 1
                host.answers += answered
                host.failures = 0 if answered else host.failures + 1
                self._changed.notify_all()
