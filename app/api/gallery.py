"""The `Gallery` port on Qdrant: reads through the alias only, on threads of its own.

The same code serves the embedded engine (a folder) and a server (a URL). The embedded engine is
plain Python and not made for threads, so it gets one; a server gets a few.
"""

import asyncio
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from qdrant_client import QdrantClient, models

from app.api.filters import qdrant_filter
from app.api.ports import Candidate, Embedding
from app.api.schemas import Filter
from app.errors import (
    GalleryLocked,
    GalleryUnavailable,
    InvalidFilter,
    InvalidRequest,
    NoGallery,
    UnknownImage,
)
from models.contracts.gallery import (
    VECTOR_NAME,
    GalleryImage,
    GallerySpec,
    point_id_for,
)
from models.qdrant import FolderLocked, QdrantUnavailable, connect, explained
from models.settings import QdrantSettings

T = TypeVar("T")

_SERVER_THREADS = 8


class QdrantGallery:
    """The gallery in service."""

    def __init__(self, settings: QdrantSettings) -> None:
        """Connects at the first use, and again until it succeeds: the engine may come up later."""
        self._settings = settings
        self._connected: QdrantClient | None = None
        self._connecting = threading.Lock()
        threads = 1 if settings.url is None else _SERVER_THREADS
        self._threads = ThreadPoolExecutor(threads, "qdrant")

    def close(self) -> None:
        """Finish what is running and let go of the folder or connection."""
        if self._connected is not None:
            self._threads.submit(self._connected.close)
        self._threads.shutdown()

    @property
    def _client(self) -> QdrantClient:
        with self._connecting:
            if self._connected is None:
                self._connected = connect(self._settings)
            return self._connected

    async def spec(self) -> GallerySpec:
        """The gallery's metadata; see the port."""
        return await self._call(self._spec)

    async def count(self) -> int:
        """How many images it holds; see the port."""
        return await self._call(
            lambda: int(self._client.count(self._settings.alias, exact=True).count)
        )

    async def retrieve(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        exclude_content_hash: str | None,
        among: Sequence[str] | None = None,
    ) -> list[Candidate]:
        """The nearest images, best first; see the port."""
        return await self._call(
            lambda: self._retrieve(query_embedding, limit, filters, exclude_content_hash, among)
        )

    async def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        """One image and its embedding; see the port."""
        return await self._call(lambda: self._get(image_id))

    async def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]:
        """Some images in the order of their point ids, which is as good as shuffled."""
        return await self._call(lambda: self._page(limit, offset, filters))

    async def sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]:
        """Some images at random; see the port."""
        return await self._call(lambda: self._sample(limit, filters))

    async def _call(self, work: Callable[[], T]) -> T:
        def explaining() -> T:
            with explained(self._settings):
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, explaining)
        except FolderLocked as error:
            raise GalleryLocked(str(error)) from error
        except QdrantUnavailable as error:
            raise GalleryUnavailable(str(error)) from error

    def _spec(self) -> GallerySpec:
        aliases = self._client.get_aliases().aliases
        if all(alias.alias_name != self._settings.alias for alias in aliases):
            raise NoGallery("there is no gallery yet; build one with `python -m indexer build`")
        metadata = self._client.get_collection(self._settings.alias).config.metadata
        return GallerySpec.model_validate(metadata)

    def _retrieve(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        exclude_content_hash: str | None,
        among: Sequence[str] | None,
    ) -> list[Candidate]:
        conditions = self._filter(filters)
        if among is not None:
            conditions = models.Filter(
                must=[self._only(among), *([conditions] if conditions else [])]
            )
        found = self._client.query_points(
            self._settings.alias,
            query=query_embedding.tolist(),
            using=VECTOR_NAME,
            limit=limit + 1,  # one may be the reference, see below
            query_filter=conditions,
            with_payload=True,
        )
        # leaving the reference out here is cheap; as a filter it would be a look at every payload
        candidates = [
            Candidate(GalleryImage.model_validate(point.payload), float(point.score))
            for point in found.points
        ]
        return [c for c in candidates if c.image.content_hash != exclude_content_hash][:limit]

    def _get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        points = self._client.retrieve(
            self._settings.alias, [point_id_for(image_id)], with_vectors=True
        )
        if not points or not isinstance(points[0].vector, dict):
            raise UnknownImage(f"the gallery has no image with the id {image_id!r}")
        embedding = np.asarray(points[0].vector[VECTOR_NAME], dtype=np.float32)
        return GalleryImage.model_validate(points[0].payload), embedding

    def _page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]:
        try:
            start = None if offset is None else str(uuid.UUID(offset))
        except ValueError:
            raise InvalidRequest(f"offset {offset!r} is not a page's next_offset") from None
        points, following = self._client.scroll(
            self._settings.alias, scroll_filter=self._filter(filters), limit=limit, offset=start
        )
        images = [GalleryImage.model_validate(point.payload) for point in points]
        return images, None if following is None else str(following)

    def _sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]:
        found = self._client.query_points(
            self._settings.alias,
            query=models.SampleQuery(sample=models.Sample.RANDOM),
            query_filter=self._filter(filters),
            limit=limit,
        )
        return [GalleryImage.model_validate(point.payload) for point in found.points]

    def _only(self, image_ids: Sequence[str]) -> models.HasIdCondition:
        """These images and no others; none of them may be missing, or the search would be less than
        it seems.
        """
        by_point = {point_id_for(image_id): image_id for image_id in image_ids}
        there = self._client.retrieve(self._settings.alias, list(by_point), with_payload=False)
        missing = [by_point[p] for p in by_point.keys() - {str(point.id) for point in there}]
        if missing:
            raise InvalidFilter(
                f"the gallery has no image with the id {missing[0]!r}"
                + (f", nor {len(missing) - 1} others of `among`" if len(missing) > 1 else "")
            )
        return models.HasIdCondition(has_id=list(by_point))

    def _filter(self, filters: Filter | None) -> models.Filter | None:
        return qdrant_filter(filters, self._spec().facets) if filters else None
