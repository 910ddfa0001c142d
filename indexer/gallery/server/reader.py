"""The `GalleryReader` port on a Qdrant server: a generation is a collection, read by its own name.

A search is one request, two with `among`; none of them asks for metadata.
"""

from collections.abc import Sequence

import numpy as np
from qdrant_client import QdrantClient, models

from indexer.gallery.errors import ImageNotFound
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
from indexer.gallery.server.storage import search_params
from indexer.gallery.settings import GallerySettings
from models.contracts.filter import Filter
from models.contracts.gallery import (
    VECTOR_NAME,
    Facet,
    GalleryImage,
    attribute_key,
    point_id_for,
)
from models.encoder.types import Embedding, Embeddings


class ServerReader:
    """Reads collections over gRPC; see the port."""

    threads = 8

    def __init__(self, settings: GallerySettings) -> None:
        """Connects at the first use, and again until it succeeds: the server may come up later."""
        self._connection = Connection(settings)

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()

    def current(self) -> GenerationInfo:
        """The collection that the alias names now; two requests."""
        return self._connection.current()

    def count(self, generation: GenerationInfo) -> int:
        """How many images it holds; see the port."""
        return self._connection.ask(
            lambda client, timeout_s: int(
                client.count(generation.name, exact=True, timeout=timeout_s).count
            )
        )

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
        conditions = qdrant_filter(where or {}, generation.spec.facets)
        if among is not None:
            conditions = models.Filter(must=[self._only(generation, among), conditions])
        points = [
            point
            for query in queries
            for point in self._nearest(generation, query, limit, conditions)
        ]
        best = {str(p.id): p for p in sorted(points, key=lambda p: p.score)}  # the last one stays
        ranked = sorted(best.values(), key=lambda p: -p.score)[:limit]
        return [Hit(GalleryImage.model_validate(p.payload), float(p.score)) for p in ranked]

    def _nearest(
        self, generation: GenerationInfo, query: Embedding, limit: int, conditions: models.Filter
    ) -> list[models.ScoredPoint]:
        return self._connection.ask(
            lambda client, timeout_s: client.query_points(
                generation.name,
                query=query.tolist(),
                using=VECTOR_NAME,
                limit=limit,
                query_filter=conditions,
                search_params=search_params(),
                with_payload=True,
                timeout=timeout_s,
            )
        ).points

    def fetch(self, generation: GenerationInfo, image_ids: Sequence[str]) -> list[StoredImage]:
        """Images by id, in the order asked; see the port."""
        points = [point_id_for(image_id) for image_id in image_ids]
        found = self._connection.ask(
            lambda client, timeout_s: {
                str(record.id): stored_image(record)
                for record in client.retrieve(
                    generation.name, points, with_vectors=True, timeout=timeout_s
                )
            }
        )
        for image_id, point in zip(image_ids, points, strict=True):
            if point not in found:
                raise ImageNotFound(f"the gallery has no image with the id {image_id!r}")
        return [found[point] for point in points]

    def scroll(
        self,
        generation: GenerationInfo,
        limit: int,
        *,
        offset: str | None = None,
        where: Filter | None = None,
    ) -> Page:
        """A page of images in the order of their point ids; see the port."""
        start, conditions = parse_offset(offset), qdrant_filter(where or {}, generation.spec.facets)

        def scroll(client: QdrantClient, timeout_s: int) -> Page:
            records, following = client.scroll(
                generation.name,
                scroll_filter=conditions,
                limit=limit,
                offset=start,
                timeout=timeout_s,
            )
            images = [GalleryImage.model_validate(record.payload) for record in records]
            return Page(images, None if following is None else str(following))

        return self._connection.ask(scroll)

    def sample(
        self, generation: GenerationInfo, limit: int, *, where: Filter | None = None
    ) -> list[GalleryImage]:
        """Some images at random; see the port."""
        conditions = qdrant_filter(where or {}, generation.spec.facets)
        return self._connection.ask(
            lambda client, timeout_s: [
                GalleryImage.model_validate(point.payload)
                for point in client.query_points(
                    generation.name,
                    query=models.SampleQuery(sample=models.Sample.RANDOM),
                    query_filter=conditions,
                    limit=limit,
                    timeout=timeout_s,
                ).points
            ]
        )

    def _only(self, generation: GenerationInfo, image_ids: Sequence[str]) -> models.HasIdCondition:
        """These images and no others; none may be missing, or the search would be less than it
        seems.
        """
        by_point = {point_id_for(image_id): image_id for image_id in image_ids}
        present = self._connection.ask(
            lambda client, timeout_s: {
                str(record.id)
                for record in client.retrieve(
                    generation.name, list(by_point), with_payload=False, timeout=timeout_s
                )
            }
        )
        require_all(by_point, present)
        return models.HasIdCondition(has_id=list(by_point))


def stored_image(record: models.Record) -> StoredImage:
    """A record that was read with payload and vectors."""
    assert isinstance(record.vector, dict)
    embedding = np.asarray(record.vector[VECTOR_NAME], dtype=np.float32)  # (D,)
    return StoredImage(GalleryImage.model_validate(record.payload), embedding)


def qdrant_filter(where: Filter, facets: Sequence[Facet]) -> models.Filter:
    """All conditions together, as Qdrant says them; none of them: everything.

    Raises:
        InvalidFilter: They do not fit the gallery.
    """
    return models.Filter(must=[_condition(each) for each in check_filter(where, facets)])


def _condition(checked: CheckedCondition) -> models.FieldCondition:
    key = attribute_key(checked.name)
    if isinstance(checked, AnyOf):
        return models.FieldCondition(key=key, match=models.MatchAny(any=list(checked.values)))
    if isinstance(checked, IsFlag):
        return models.FieldCondition(key=key, match=models.MatchValue(value=checked.value))
    bounds = checked.bounds.model_dump(exclude_none=True)
    return models.FieldCondition(key=key, range=models.Range(**bounds))
