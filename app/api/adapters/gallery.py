"""Generations of the gallery for an event loop: a blocking `GalleryReader` on threads of its own.

It knows no engine. Work whose caller has left never starts, and a failed attempt of it is not
repeated.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.web.errors import OtherEncoder
from indexer.gallery.cancellation import Cancellation, cancelled_by
from indexer.gallery.errors import GalleryUnavailable, GenerationGone
from indexer.gallery.ports import GalleryReader, GenerationInfo, Hit
from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage, GallerySpec
from models.encoder.types import Embedding, Embeddings

T = TypeVar("T")


class AsyncGallery:
    """Where generations come from."""

    def __init__(self, reader: GalleryReader) -> None:
        """`reader` is this object's to close."""
        self._reader = reader
        self._threads = ThreadPoolExecutor(reader.threads, "gallery")
        self._current: AsyncGeneration | None = None

    def close(self) -> None:
        """Finish what is running and let go of the engine."""
        self._threads.submit(self._reader.close)
        self._threads.shutdown()

    async def current(self) -> "AsyncGeneration":
        """The generation in service, the same object as long as it is the same.

        Raises:
            GalleryNotFound: There is none.
            GalleryUnavailable: The engine fails.
        """
        info = await self.call(self._reader.current)
        if self._current is None or self._current.info != info:
            self._current = AsyncGeneration(self, self._reader, info)
        return self._current

    async def call(self, work: Callable[[], T]) -> T:
        """Do blocking work on a thread, for as long as the caller waits."""
        cancellation = Cancellation()

        def run() -> T:
            with cancelled_by(cancellation):
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        finally:
            cancellation.cancel()


class AsyncGeneration:
    """The `PublishedGeneration` port; reads the successor where its own has been dropped."""

    def __init__(self, gallery: AsyncGallery, reader: GalleryReader, info: GenerationInfo) -> None:
        self._gallery, self._reader, self.info = gallery, reader, info

    @property
    def spec(self) -> GallerySpec:
        """What it says of itself; no request."""
        return self.info.spec

    async def count(self) -> int:
        """How many images it holds; see the port."""
        return await self._read(self._reader.count)

    async def retrieve(
        self,
        query_embeddings: Embeddings,
        limit: int,
        filters: Filter | None,
        exclude_content_hash: str | None,
        among: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The nearest images, best first; see the port."""
        # one more than wanted, as one may be the reference: leaving it out here is cheap, as a
        # filter it would read every payload
        found = await self._read(
            lambda generation: self._reader.search(
                generation, query_embeddings, limit + 1, where=filters, among=among
            )
        )
        return [hit for hit in found if hit.image.content_hash != exclude_content_hash][:limit]

    async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        """One image and its embedding; see the port."""
        (found,) = await self._read(lambda generation: self._reader.fetch(generation, [image_id]))
        return found.image, found.embedding

    async def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]:
        """Some images in the engine's order, which is as good as shuffled."""
        page = await self._read(
            lambda generation: self._reader.scroll(generation, limit, offset=offset, where=filters)
        )
        return page.images, page.next_offset

    async def sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]:
        """Some images at random; see the port."""
        return await self._read(
            lambda generation: self._reader.sample(generation, limit, where=filters)
        )

    async def _read(self, read: Callable[[GenerationInfo], T]) -> T:
        """Read this generation; once it has been dropped, the one that replaced it.

        Raises:
            OtherEncoder: What replaced it holds embeddings that ours cannot be compared with.
            GalleryUnavailable: The engine fails, or there is no successor.
        """
        try:
            return await self._gallery.call(lambda: read(self.info))
        except GenerationGone:
            successor = (await self._gallery.current()).info
        ours, theirs = self.spec.encoder_fingerprint, successor.spec.encoder_fingerprint
        if ours != theirs:
            raise OtherEncoder(f"the gallery was replaced by one of encoder {theirs}; see /readyz")
        try:
            return await self._gallery.call(lambda: read(successor))
        except GenerationGone as error:
            raise GalleryUnavailable(f"the gallery is being replaced: {error}") from error
