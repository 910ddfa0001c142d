"""Generations of the gallery in Qdrant, for an event loop: read on threads of their own.

The same code serves the embedded engine (a folder) and a server (a URL). The embedded engine is
plain Python and not made for threads, so it gets one; a server gets a few. A call whose caller has
left never starts, and is not asked again if it has.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from app.web.errors import OtherEncoder
from indexer.gallery.errors import GalleryLocked, GalleryNotFound, GalleryUnavailable
from indexer.gallery.ports import Hit
from indexer.gallery.server.client import CollectionGone, FolderLocked, QdrantUnavailable, explained
from indexer.gallery.server.connection import Caller, Connection
from indexer.gallery.server.folder_reader import EmbeddedReads
from indexer.gallery.server.reader import ServerReads
from indexer.gallery.settings import GallerySettings
from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage, GallerySpec
from models.encoder.types import Embedding

T = TypeVar("T")

_SERVER_THREADS = 8


class QdrantGallery:
    """Where generations come from."""

    def __init__(self, settings: GallerySettings) -> None:
        """Connects at the first use, and again until it succeeds: the engine may come up later."""
        self._settings = settings
        self._connection = Connection(settings)
        threads = 1 if settings.url is None else _SERVER_THREADS
        self._threads = ThreadPoolExecutor(threads, "qdrant")
        self._current: QdrantGeneration | None = None

    def close(self) -> None:
        """Finish what is running and let go of the folder or connection."""
        self._threads.submit(self._connection.close)
        self._threads.shutdown()

    async def current(self) -> "QdrantGeneration":
        """The generation that the alias names now; see the port."""
        return await self.call(self._open)

    async def call(self, work: Callable[[], T]) -> T:
        """Do blocking work on a thread, for as long as the caller waits.

        Raises:
            CollectionGone: What was to be read is there no longer.
            GalleryUnavailable: Qdrant fails.
        """
        caller = Caller()

        def asking() -> T:
            with explained(self._settings), self._connection.asking_for(caller):
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, asking)
        except CollectionGone:
            raise
        except FolderLocked as error:
            raise GalleryLocked(str(error)) from error
        except QdrantUnavailable as error:
            raise GalleryUnavailable(str(error)) from error
        finally:
            caller.leave()

    def _open(self) -> "QdrantGeneration":
        aliases = self._connection.ask(lambda client, _: client.get_aliases()).aliases
        ours = self._settings.alias
        name = next((a.collection_name for a in aliases if a.alias_name == ours), None)
        if name is None:
            raise GalleryNotFound(
                "there is no gallery yet; build one with `python -m indexer build`"
            )
        collection = self._connection.ask(lambda client, _: client.get_collection(name))
        spec = GallerySpec.model_validate(collection.config.metadata)
        known = self._current
        if known is None or (known.name, known.spec) != (name, spec):
            reads = EmbeddedReads if self._settings.url is None else ServerReads
            known = self._current = QdrantGeneration(self, reads(self._connection, name, spec))
        return known


class _Reads(Protocol):
    """What either engine can be asked; blocking."""

    name: str
    spec: GallerySpec

    def count(self) -> int: ...
    def search(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        among: Sequence[str] | None,
    ) -> list[Hit]: ...
    def get(self, image_id: str) -> tuple[GalleryImage, Embedding]: ...
    def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]: ...
    def sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]: ...


class QdrantGeneration:
    """The `Generation` port: one collection, and its successor where it has been dropped."""

    def __init__(self, gallery: QdrantGallery, reads: _Reads) -> None:
        self._gallery, self._reads = gallery, reads

    @property
    def name(self) -> str:
        """The collection's."""
        return self._reads.name

    @property
    def spec(self) -> GallerySpec:
        """Its metadata."""
        return self._reads.spec

    async def count(self) -> int:
        """How many images it holds; see the port."""
        return await self._read(lambda reads: reads.count())

    async def retrieve(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        exclude_content_hash: str | None,
        among: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The nearest images, best first; see the port."""
        # one more than wanted, as one may be the reference: leaving it out here is cheap, as a
        # filter it would be a look at every payload
        found = await self._read(
            lambda reads: reads.search(query_embedding, limit + 1, filters, among)
        )
        return [c for c in found if c.image.content_hash != exclude_content_hash][:limit]

    async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        """One image and its embedding; see the port."""
        return await self._read(lambda reads: reads.get(image_id))

    async def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]:
        """Some images in the order of their point ids, which is as good as shuffled."""
        return await self._read(lambda reads: reads.page(limit, offset, filters))

    async def sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]:
        """Some images at random; see the port."""
        return await self._read(lambda reads: reads.sample(limit, filters))

    async def _read(self, read: Callable[[_Reads], T]) -> T:
        """Read this generation; once it has been dropped, the one that replaced it.

        Raises:
            OtherEncoder: What replaced it holds embeddings that ours cannot be compared with.
            GalleryUnavailable: Qdrant fails, or there is no successor.
        """
        try:
            return await self._gallery.call(lambda: read(self._reads))
        except CollectionGone:
            successor = await self._gallery.current()
        ours, theirs = self.spec.encoder_fingerprint, successor.spec.encoder_fingerprint
        if ours != theirs:
            raise OtherEncoder(f"the gallery was replaced by one of encoder {theirs}; see /readyz")
        try:
            return await self._gallery.call(lambda: read(successor._reads))
        except CollectionGone as error:
            raise GalleryUnavailable(f"the gallery is being replaced: {error}") from error
