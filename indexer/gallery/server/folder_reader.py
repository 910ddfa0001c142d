"""The `GalleryReader` port on qdrant-client's local mode: a folder read once, answered from memory.

The engine reads every payload in Python for every filter, some microseconds per image and value,
and cannot be interrupted. Columns of the attributes answer the longest filter in less time than
it takes to compare the query with the images. A generation never changes, so neither do the
columns.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient

from indexer.gallery.errors import GenerationGone, ImageNotFound
from indexer.gallery.filters import (
    AnyOf,
    CheckedCondition,
    IsFlag,
    check_filter,
    parse_offset,
    require_all,
)
from indexer.gallery.ports import GenerationInfo, Hit, Page, StoredImage
from indexer.gallery.server.connection import Connection
from indexer.gallery.server.reader import stored_image
from indexer.gallery.settings import GallerySettings
from models.contracts.filter import Filter, NumberRange
from models.contracts.gallery import Facet, GalleryImage, point_id_for
from models.encoder.types import Embeddings

_PAGE = 1000  # images read at once

Rows = NDArray[np.intp]  # indices of images
Mask = NDArray[np.bool_]  # (N,), one per image
Words = dict[str, Rows]  # word → the images that have it
Numbers = NDArray[np.float64]  # (N,); nan: none. Of a flag 1 and 0
Column = Words | Numbers


class FolderReader:
    """Reads the generation in service into memory when `current` first finds it; see the port.

    The folder has one process at a time, so no other process replaces the generation.
    """

    threads = 1  # the engine is plain Python and not made for threads

    def __init__(self, settings: GallerySettings) -> None:
        """Opens the folder at the first use, and again until it succeeds."""
        self._connection = Connection(settings)
        self._loaded: _LoadedGeneration | None = None

    def close(self) -> None:
        """Let go of the folder."""
        self._connection.close()

    def current(self) -> GenerationInfo:
        """The generation that the alias names now, all of it in memory."""
        info = self._connection.current()
        if self._loaded is None or self._loaded.info != info:
            self._loaded = _LoadedGeneration(info, _read(self._connection, info.name))
        return info

    def count(self, generation: GenerationInfo) -> int:
        """How many images it holds."""
        return len(self._of(generation).images)

    def search(
        self,
        generation: GenerationInfo,
        queries: Embeddings,
        limit: int,
        *,
        where: Filter | None = None,
        among: Sequence[str] | None = None,
    ) -> list[Hit]:
        """The nearest images, best first; see the port."""
        loaded = self._of(generation)
        rows = loaded.matching(where)
        if among is not None:
            by_point = {point_id_for(image_id): image_id for image_id in among}
            require_all(by_point, loaded.rows.keys() & by_point.keys())
            rows = np.intersect1d(rows, [loaded.rows[point] for point in by_point])
        scores = (loaded.embeddings @ queries.T).max(axis=1)[rows]  # (len(rows),)
        if limit < len(rows):
            best = np.argpartition(-scores, limit)[:limit]
            rows, scores = rows[best], scores[best]
        return [
            Hit(loaded.images[rows[i]], float(scores[i]))
            for i in np.argsort(-scores, kind="stable")
        ]

    def fetch(self, generation: GenerationInfo, image_ids: Sequence[str]) -> list[StoredImage]:
        """Images by id, in the order asked; see the port."""
        loaded, found = self._of(generation), []
        for image_id in image_ids:
            row = loaded.rows.get(point_id_for(image_id))
            if row is None:
                raise ImageNotFound(f"the gallery has no image with the id {image_id!r}")
            found.append(StoredImage(loaded.images[row], loaded.embeddings[row]))
        return found

    def scroll(
        self,
        generation: GenerationInfo,
        limit: int,
        *,
        offset: str | None = None,
        where: Filter | None = None,
    ) -> Page:
        """A page of images in the order of their point ids; see the port."""
        loaded = self._of(generation)
        rows = loaded.matching(where)
        rows = rows[rows >= bisect_left(loaded.point_ids, parse_offset(offset) or "")]
        following = loaded.point_ids[rows[limit]] if len(rows) > limit else None
        return Page([loaded.images[row] for row in rows[:limit]], following)

    def sample(
        self, generation: GenerationInfo, limit: int, *, where: Filter | None = None
    ) -> list[GalleryImage]:
        """Some images at random; see the port."""
        loaded = self._of(generation)
        rows = loaded.matching(where)
        drawn = np.random.default_rng().choice(rows, min(limit, len(rows)), replace=False)
        return [loaded.images[row] for row in drawn]

    def _of(self, generation: GenerationInfo) -> "_LoadedGeneration":
        if self._loaded is None or self._loaded.info.name != generation.name:
            raise GenerationGone(f"{generation.name} is not in memory any more")
        return self._loaded


class _LoadedGeneration:
    """All of one generation, sorted by point id.

    Attributes:
        info: Its name and spec.
        point_ids: Ascending.
        images: In their order.
        rows: Point id → row.
        embeddings: float32 (N, D).
    """

    def __init__(self, info: GenerationInfo, stored: Sequence[StoredImage]) -> None:
        by_point = {point_id_for(each.image.image_id): each for each in stored}
        self.info = info
        self.point_ids = sorted(by_point)
        self.images = [by_point[point].image for point in self.point_ids]
        self.rows = {point: row for row, point in enumerate(self.point_ids)}
        self.embeddings = np.zeros((len(by_point), info.spec.embedding_dim), np.float32)
        for row, point in enumerate(self.point_ids):
            self.embeddings[row] = by_point[point].embedding
        self._columns = {facet.name: _column(facet, self.images) for facet in info.spec.facets}

    def matching(self, where: Filter | None) -> Rows:
        """Rows of the images that a filter matches, ascending.

        Raises:
            InvalidFilter: It does not fit the gallery.
        """
        matches: Mask = np.ones(len(self.images), np.bool_)
        for condition in check_filter(where or {}, self.info.spec.facets):
            matches &= _holds(condition, self._columns[condition.name], len(matches))
        return np.flatnonzero(matches)


def _read(connection: Connection, name: str) -> list[StoredImage]:
    """Every image of a collection, `_PAGE` at a time.

    Raises:
        GalleryUnavailable: The engine fails.
    """
    found: list[StoredImage] = []
    offset = None
    while True:

        def scroll(client: QdrantClient, _: int, start: Any = offset) -> tuple[Any, Any]:
            records, following = client.scroll(
                name, limit=_PAGE, offset=start, with_payload=True, with_vectors=True
            )
            return [stored_image(record) for record in records], following

        images, offset = connection.ask(scroll)
        found += images
        if offset is None:
            return found


def _column(facet: Facet, images: Sequence[GalleryImage]) -> Column:
    values = [image.attributes.get(facet.name) for image in images]
    if facet.kind == "keyword":
        rows: dict[str, list[int]] = {}
        for row, value in enumerate(values):
            for word in value if isinstance(value, list) else [value]:
                if isinstance(word, str):
                    rows.setdefault(word, []).append(row)
        return {word: np.array(there, np.intp) for word, there in rows.items()}
    kinds = (bool,) if facet.kind == "flag" else (int, float)
    return np.array([value if type(value) in kinds else np.nan for value in values], np.float64)


def _holds(condition: CheckedCondition, column: Column, count: int) -> Mask:
    """Which images it holds of, (count,)."""
    if isinstance(condition, AnyOf):
        assert isinstance(column, dict)
        holds = np.zeros(count, np.bool_)
        for word in condition.values:
            if (rows := column.get(word)) is not None:
                holds[rows] = True
        return holds
    assert isinstance(column, np.ndarray)
    if isinstance(condition, IsFlag):
        return np.equal(column, float(condition.value))
    return _within(condition.bounds, column)


def _within(bounds: NumberRange, numbers: Numbers) -> Mask:
    holds = ~np.isnan(numbers)
    for bound, fits in (
        (bounds.gte, np.greater_equal),
        (bounds.gt, np.greater),
        (bounds.lte, np.less_equal),
        (bounds.lt, np.less),
    ):
        if bound is not None:
            holds &= fits(numbers, bound)
    return holds
