"""The API's connection to Qdrant: asks once more while there is time, and for nobody who has left.

Blocking, and made for several threads.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from qdrant_client import QdrantClient

from indexer.gallery.server.client import QdrantLate, QdrantLost, connect, explained, reconnect
from indexer.gallery.settings import GallerySettings

T = TypeVar("T")

_FIRST_TIMEOUT_S = 1  # of one attempt, then twice as long, …; a search takes tens of milliseconds
_REFUSED_RETRIES_S = (0.1, 0.3)  # a server of several addresses is found at another at once


class Caller:
    """Who waits for an answer, on another thread."""

    def __init__(self) -> None:
        self._left = threading.Event()

    @property
    def waits(self) -> bool:
        """Whether the answer is still wanted."""
        return not self._left.is_set()

    def leave(self) -> None:
        """Want no answer any more."""
        self._left.set()

    def nap(self, seconds: float) -> None:
        """Let time pass, as long as the answer is wanted."""
        self._left.wait(seconds)


class Connection:
    """A client that is made at the first use and replaced where the way to the server is lost."""

    def __init__(self, settings: GallerySettings) -> None:
        self._settings = settings
        self._client: QdrantClient | None = None
        self._connecting = threading.Lock()
        self._thread = threading.local()

    def close(self) -> None:
        """Let go of the folder, or of the server."""
        with self._connecting:
            if self._client is not None:
                self._client.close()

    @contextmanager
    def asking_for(self, caller: Caller) -> Iterator[None]:
        """Whatever this thread asks inside, it asks for this caller."""
        self._thread.caller = caller
        try:
            yield
        finally:
            del self._thread.caller

    def ask(self, call: Callable[[QdrantClient, int], T]) -> T:
        """The answer of one call.

        Args:
            call: Gets the client, and how long this attempt may take in whole seconds.

        Raises:
            QdrantUnavailable: There is none within the settings' `timeout_s`, or it is an error.
        """
        caller: Caller = self._thread.caller
        give_up = time.monotonic() + self._settings.timeout_s
        timeout_s, refused = _FIRST_TIMEOUT_S, iter(_REFUSED_RETRIES_S)
        while True:
            client = self._connected()
            left_s = max(1, round(give_up - time.monotonic()))
            try:
                with explained(self._settings):
                    return call(client, min(timeout_s, left_s))
            except QdrantLate:
                if not caller.waits or time.monotonic() >= give_up - 0.5:
                    raise
                timeout_s *= 2
                self._replace(client)  # its connection may be one to a machine that is gone
            except QdrantLost:
                pause_s = next(refused, None)
                if not caller.waits or pause_s is None:
                    raise
                caller.nap(pause_s)

    def _connected(self) -> QdrantClient:
        with self._connecting:
            if self._client is None:
                self._client = connect(self._settings)
            return self._client

    def _replace(self, client: QdrantClient) -> None:
        """Other threads may still wait on the old one: it closes when the last lets go of it."""
        with self._connecting:
            if self._client is client:
                self._client = reconnect(self._settings)
