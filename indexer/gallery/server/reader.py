"""One generation of the gallery on a Qdrant server: a collection, read by its own name."""

from collections.abc import Sequence

import numpy as np
from qdrant_client import models

from indexer.gallery.errors import ImageNotFound
from indexer.gallery.filters import AnyOf, Check, IsFlag, check_all_there, checks, page_start
from indexer.gallery.ports import Hit
from indexer.gallery.server.connection import Connection
from models.contracts.filter import Filter
from models.contracts.gallery import (
    VECTOR_NAME,
    Facet,
    GalleryImage,
    GallerySpec,
    attribute_key,
    point_id_for,
)
from models.encoder.types import Embedding


class ServerReads:
    """What can be asked of a collection; blocking, and made for several threads."""

    def __init__(self, connection: Connection, name: str, spec: GallerySpec) -> None:
        self._connection, self.name, self.spec = connection, name, spec

    def count(self) -> int:
        """How many images it holds."""
        return int(
            self._connection.ask(
                lambda client, timeout_s: client.count(self.name, exact=True, timeout=timeout_s)
            ).count
        )

    def search(
        self,
        query_embedding: Embedding,
        limit: int,
        filters: Filter | None,
        among: Sequence[str] | None,
    ) -> list[Hit]:
        """The nearest images, best first; see the port."""
        conditions = qdrant_filter(filters or {}, self.spec.facets)
        if among is not None:
            conditions = models.Filter(must=[self._only(among), conditions])
        found = self._connection.ask(
            lambda client, timeout_s: client.query_points(
                self.name,
                query=query_embedding.tolist(),
                using=VECTOR_NAME,
                limit=limit,
                query_filter=conditions,
                with_payload=True,
                timeout=timeout_s,
            )
        )
        return [
            Hit(GalleryImage.model_validate(point.payload), float(point.score))
            for point in found.points
        ]

    def get(self, image_id: str) -> tuple[GalleryImage, Embedding]:
        """One image and its embedding; see the port."""
        points = self._connection.ask(
            lambda client, timeout_s: client.retrieve(
                self.name, [point_id_for(image_id)], with_vectors=True, timeout=timeout_s
            )
        )
        if not points or not isinstance(points[0].vector, dict):
            raise ImageNotFound(f"the gallery has no image with the id {image_id!r}")
        embedding = np.asarray(points[0].vector[VECTOR_NAME], dtype=np.float32)
        return GalleryImage.model_validate(points[0].payload), embedding

    def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[list[GalleryImage], str | None]:
        """Some images in the order of their point ids; see the port."""
        start, conditions = page_start(offset), qdrant_filter(filters or {}, self.spec.facets)
        points, following = self._connection.ask(
            lambda client, timeout_s: client.scroll(
                self.name,
                scroll_filter=conditions,
                limit=limit,
                offset=start,
                timeout=timeout_s,
            )
        )
        images = [GalleryImage.model_validate(point.payload) for point in points]
        return images, None if following is None else str(following)

    def sample(self, limit: int, filters: Filter | None) -> list[GalleryImage]:
        """Some images at random; see the port."""
        conditions = qdrant_filter(filters or {}, self.spec.facets)
        found = self._connection.ask(
            lambda client, timeout_s: client.query_points(
                self.name,
                query=models.SampleQuery(sample=models.Sample.RANDOM),
                query_filter=conditions,
                limit=limit,
                timeout=timeout_s,
            )
        )
        return [GalleryImage.model_validate(point.payload) for point in found.points]

    def _only(self, image_ids: Sequence[str]) -> models.HasIdCondition:
        """These images and no others; none of them may be missing, or the search would be less than
        it seems.
        """
        by_point = {point_id_for(image_id): image_id for image_id in image_ids}
        there = self._connection.ask(
            lambda client, timeout_s: client.retrieve(
                self.name, list(by_point), with_payload=False, timeout=timeout_s
            )
        )
        check_all_there(by_point, {str(point.id) for point in there})
        return models.HasIdCondition(has_id=list(by_point))


def qdrant_filter(filters: Filter, facets: Sequence[Facet]) -> models.Filter:
    """All conditions together; none of them: everything.

    Raises:
        InvalidFilter: They do not fit the gallery.
    """
    return models.Filter(must=[_condition(check) for check in checks(filters, facets)])


def _condition(check: Check) -> models.FieldCondition:
    key = attribute_key(check.name)
    if isinstance(check, AnyOf):
        return models.FieldCondition(key=key, match=models.MatchAny(any=list(check.values)))
    if isinstance(check, IsFlag):
        return models.FieldCondition(key=key, match=models.MatchValue(value=check.value))
    bounds = check.bounds.model_dump(exclude_none=True)
    return models.FieldCondition(key=key, range=models.Range(**bounds))
