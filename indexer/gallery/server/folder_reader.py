"""One generation of the embedded gallery: read from its folder once, then answered from memory.

The embedded engine looks at every payload in Python for every filter, some microseconds per image
and value, and nothing can interrupt it. Columns of the attributes answer the longest filter in
less time than it takes to compare the query with the images. A generation never changes, so
neither do the columns.
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexer.gallery.errors import ImageNotFound
from indexer.gallery.filters import AnyOf, Check, IsFlag, check_all_there, checks, page_start
from indexer.gallery.ports import Hit
from indexer.gallery.server.connection import Connection
from models.contracts.filter import Filter, NumberRange
from models.contracts.gallery import (
    VECTOR_NAME,
    Facet,
    GalleryImage,
    GallerySpec,
    point_id_for,
)
from models.encoder.types import Embedding

_PAGE = 1000  # images read at once

Mask = NDArray[np.bool_]  # (N,), one per image
Words = dict[str, NDArray[np.intp]]  # word → rows of the images that have it
Numbers = NDArray[np.float64]  # (N,); nan: none. Of a flag 1 and 0
Column = Words | Numbers


class EmbeddedReads:
    """What can be asked of a generation; blocking, but never for long."""

    def __init__(self, connection: Connection, name: str, spec: GallerySpec) -> None:
        """Read it all.

        Raises:
            QdrantUnavailable: The engine fails.
        """
        self.name, self.spec = name, spec
        images: list[GalleryImage] = []
        embeddings: list[Embedding] = []
        for image, embedding in _read(connection, name):
            images.append(image)
            embeddings.append(embedding)
        ids = [point_id_for(image.image_id) for image in images]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        self._ids = [ids[i] for i in order]
        self._images = [images[i] for i in order]
        self._rows = {point_id: row for row, point_id in enumerate(self._ids)}
        self._embeddings = np.zeros((len(ids), spec.embedding_dim), np.float32)
        for row, i in enumerate(order):
            self._embeddings[row] = embeddings[i]
        self._columns = {facet.name: _column(facet, self._images) for facet in spec.facets}

    def count(self) -> int:
        """How many images it holds."""
        return len(self._ids)

    def search(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        among: Sequence[str] | None,
    ) -> list[Hit]:
        """The nearest images, best first; see the port."""
        rows = self._fitting(filters)
        if among is not None:
            by_point = {point_id_for(image_id): image_id for image_id in among}
            check_all_there(by_point, self._rows.keys() & by_point.keys())
            rows = np.intersect1d(rows, [self._rows[point] for point in by_point])
        scores = (self._embeddings @ query_embedding)[rows]  # (len(rows),)
        if limit < len(rows):
            best = np.argpartition(-scores, limit)[:limit]
            rows, scores = rows[best], scores[best]
        return [
            Hit(self._images[rows[i]], float(scores[i])) for i in np.argsort(-scores, kind="stable")
        ]

    def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        """One image and its embedding; see the port."""
        row = self._rows.get(point_id_for(image_id))
        if row is None:
            raise ImageNotFound(f"the gallery has no image with the id {image_id!r}")
        return self._images[row], self._embeddings[row]

    def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]:
        """Some images in the order of their point ids; see the port."""
        rows = self._fitting(filters)
        rows = rows[rows >= bisect_left(self._ids, page_start(offset) or "")]
        following = self._ids[rows[limit]] if len(rows) > limit else None
        return [self._images[row] for row in rows[:limit]], following

    def sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]:
        """Some images at random; see the port."""
        rows = self._fitting(filters)
        drawn = np.random.default_rng().choice(rows, min(limit, len(rows)), replace=False)
        return [self._images[row] for row in drawn]

    def _fitting(self, filters: Filter | None) -> NDArray[np.intp]:
        """Rows of the images that fit, ascending."""
        fits: Mask = np.ones(len(self._ids), np.bool_)
        for check in checks(filters or {}, self.spec.facets):
            fits &= _holds(check, self._columns[check.name], len(fits))
        return np.flatnonzero(fits)


def _read(connection: Connection, name: str) -> list[tuple[GalleryImage, Embedding]]:
    found, offset = [], None
    while True:
        points, offset = connection.ask(
            lambda client, _, start=offset: client.scroll(  # type: ignore[misc]
                name, limit=_PAGE, offset=start, with_payload=True, with_vectors=True
            )
        )
        for point in points:
            embedding = np.asarray(point.vector[VECTOR_NAME], dtype=np.float32)
            found.append((GalleryImage.model_validate(point.payload), embedding))
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


def _holds(check: Check, column: Column, count: int) -> Mask:
    """Which images it holds of, (count,)."""
    if isinstance(check, AnyOf):
        assert isinstance(column, dict)
        holds = np.zeros(count, np.bool_)
        for word in check.values:
            if (rows := column.get(word)) is not None:
                holds[rows] = True
        return holds
    assert isinstance(column, np.ndarray)
    if isinstance(check, IsFlag):
        return np.equal(column, float(check.value))
    return _within(check.bounds, column)


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
