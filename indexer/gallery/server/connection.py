"""A reader's connection to Qdrant: repeats an attempt while there is time and the answer is wanted.

Blocking, and made for several threads. Errors come out as those of `indexer.gallery.errors`.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from qdrant_client import QdrantClient

from indexer.gallery.cancellation import current_cancellation
from indexer.gallery.errors import (
    GalleryNotFound,
    GalleryUnavailable,
    GenerationGone,
)
from indexer.gallery.ports import GenerationInfo
from indexer.gallery.server.client import (
    CollectionGone,
    QdrantLate,
    QdrantLost,
    QdrantUnavailable,
    connect,
    reconnect,
    translate_errors,
)
from indexer.gallery.settings import GallerySettings
from models.contracts.gallery import GallerySpec

T = TypeVar("T")

_FIRST_TIMEOUT_S = 1  # of one attempt, then twice as long, …; a search takes tens of milliseconds
_REFUSED_RETRIES_S = (0.1, 0.3)  # a server of several addresses is found at another at once


class Connection:
    """A client that is made at the first use and replaced where the way to the server is lost."""

    def __init__(self, settings: GallerySettings) -> None:
        self._settings = settings
        self._client: QdrantClient | None = None
        self._connecting = threading.Lock()

    def close(self) -> None:
        """Let go of the server."""
        with self._connecting:
            if self._client is not None:
                self._client.close()

    def current(self) -> GenerationInfo:
        """The collection behind the alias, and its metadata.

        Raises:
            GalleryNotFound: There is no such alias.
            GalleryUnavailable: Qdrant fails, or the metadata is none of ours.
        """
        aliases = self.ask(lambda client, _: client.get_aliases()).aliases
        ours = self._settings.alias
        name = next((a.collection_name for a in aliases if a.alias_name == ours), None)
        if name is None:
            raise GalleryNotFound(
                "there is no gallery yet; build one with `python -m indexer build`"
            )
        spec = self.ask(
            lambda client, _: GallerySpec.model_validate(
                client.get_collection(name).config.metadata
            )
        )
        return GenerationInfo(name, spec)

    def ask(self, call: Callable[[QdrantClient, int], T]) -> T:
        """The answer of one call, read into our own types: what cannot be is an error as well.

        Args:
            call: Gets the client, and how long this attempt may take in whole seconds.

        Raises:
            GenerationGone: The collection is not there.
            GalleryUnavailable: There is no answer within the settings' `timeout_s`, or it is an
                error.
        """
        try:
            return self._ask(call)
        except CollectionGone as error:
            raise GenerationGone(str(error)) from error
        except QdrantUnavailable as error:
            raise GalleryUnavailable(str(error)) from error

    def _ask(self, call: Callable[[QdrantClient, int], T]) -> T:
        cancellation = current_cancellation()
        deadline = time.monotonic() + self._settings.timeout_s
        timeout_s, refused = _FIRST_TIMEOUT_S, iter(_REFUSED_RETRIES_S)
        while True:
            client = self._connected()
            left_s = max(1, round(deadline - time.monotonic()))
            try:
                with translate_errors(self._settings):
                    return call(client, min(timeout_s, left_s))
            except QdrantLate:
                if cancellation.cancelled or time.monotonic() >= deadline - 0.5:
                    raise
                timeout_s *= 2
                self._replace(client)  # its connection may be one to a machine that is gone
            except QdrantLost:
                pause_s = next(refused, None)
                if cancellation.cancelled or pause_s is None:
                    raise
                cancellation.sleep(pause_s)

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
