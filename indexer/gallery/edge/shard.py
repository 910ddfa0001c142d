"""One Qdrant Edge shard: images and embeddings in, hits out. Nothing else knows the engine's API.

What the engine does and its types do not say:

* A query and a load hold the interpreter's lock: limits are bounded, and several vectors go in one
  batch.
* There is no write-ahead log here, so what was put is safe after `flush` only, and several
  processes may open the same folder. A load needs write access all the same.
* New points are compared one by one until `optimize` has built their graph.
* Python's `True` is taken for the number 1 and matches nothing; numpy's is a boolean.
* Of a point handed over, each string of the payload costs as much as a hundred numbers.
* It raises plain `Exception`s, and panics that are none.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from indexer.gallery.filters import AnyOf, CheckedCondition, IsFlag
from indexer.gallery.ports import StoredImage
from models.contracts.gallery import VECTOR_NAME, Facet, GalleryImage, attribute_key
from models.encoder.types import Embedding, Embeddings

_GRAPH = edge.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000)
# images from which so many candidates are kept while the graph is walked; the first was measured
_BREADTHS = ((500_000, 512), (100_000, 400), (0, 200))
# of a point's payload: the image as JSON, which is read in one piece, and what filters ask
_IMAGE, _ATTRIBUTES = "image", "attributes"
_INDEXES: Mapping[str, edge.PayloadSchemaType] = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "number": edge.PayloadSchemaType.Float,
    "flag": edge.PayloadSchemaType.Bool,
}


class ShardFailed(RuntimeError):
    """The engine failed; the message is what it says."""


class Shard:
    """An open shard. Reads may come from several threads at once, changes from one."""

    def __init__(self, shard: edge.EdgeShard) -> None:
        self._shard = shard
        self._breadth = 0

    @classmethod
    def create(cls, folder: Path, embedding_dim: int) -> "Shard":
        """A new, empty one in a folder that is there; raises `ShardFailed`."""
        vectors = edge.EdgeVectorParams(size=embedding_dim, distance=edge.Distance.Cosine)
        config = edge.EdgeConfig(
            vectors={VECTOR_NAME: vectors},
            hnsw_config=_GRAPH,
            payload_memory=edge.Memory.Cached,
            wal_enabled=False,
        )
        with _engine_errors():
            return cls(edge.EdgeShard.create(str(folder), config))

    @classmethod
    def load(cls, folder: Path) -> "Shard":
        """What is in a folder; raises `ShardFailed`."""
        with _engine_errors():
            return cls(edge.EdgeShard.load(str(folder)))

    def close(self) -> None:
        """Let go of the folder; what was flushed is there."""
        with _engine_errors():
            self._shard.close()

    def flush(self) -> None:
        """Make all that was put and deleted outlive this process."""
        with _engine_errors():
            self._shard.flush()

    def optimize(self) -> None:
        """Build the graph of what is new, and flush."""
        with _engine_errors():
            self._shard.optimize()
            self._shard.flush()

    def index_payload(self, facets: Sequence[Facet]) -> None:
        """Index every facet that is not indexed as what it is; before data, or it costs a scan."""
        with _engine_errors():
            indexed = self._shard.info().payload_schema
            for facet in facets:
                key, wanted = attribute_key(facet.name), _INDEXES[facet.kind]
                if key not in indexed or indexed[key].data_type != wanted:
                    self._shard.update(edge.UpdateOperation.create_field_index(key, wanted))

    def put(self, points: Sequence[tuple[str, GalleryImage, Embedding]]) -> None:
        """Store images: point id, image, embedding (D,)."""
        made = [
            edge.Point(point, {VECTOR_NAME: _vector(embedding)}, _payload(image))
            for point, image, embedding in points
        ]
        with _engine_errors():
            self._shard.update(edge.UpdateOperation.upsert_points(made))

    def delete(self, points: Sequence[str]) -> None:
        """Remove images by point id; those that are not there do not matter."""
        with _engine_errors():
            self._shard.update(edge.UpdateOperation.delete_points(list(points)))

    def count(self) -> int:
        """How many images it holds."""
        with _engine_errors():
            return self._shard.count(edge.CountRequest(exact=True))

    def nearest(
        self,
        queries: Embeddings,
        limit: int,
        conditions: Sequence[CheckedCondition] = (),
        among: Sequence[str] | None = None,
        *,
        exact: bool = False,
    ) -> list[tuple[GalleryImage, float]]:
        """The images nearest to any of some queries (A, D) with their best cosine, best first."""
        must: list[edge.ConditionType] = [_condition(each) for each in conditions]
        if among is not None:
            must.append(edge.HasIdCondition(set(among)))
        params = edge.SearchParams(hnsw_ef=max(limit, self._search_breadth()), exact=exact)
        requests = [
            edge.QueryRequest(
                query=edge.Query.Nearest(query, using=VECTOR_NAME),
                limit=limit,
                filter=edge.Filter(must=must) if must else None,
                params=params,
                with_payload=[_IMAGE],  # cheaper than to ask again by id
            )
            for query in queries.tolist()
        ]
        with _engine_errors():
            answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
        best: dict[str, float] = {}  # an image as it is stored → its score
        for point in chain.from_iterable(answers):
            stored = _text(point)
            best[stored] = max(point.score, best.get(stored, -2.0))
        ranked = sorted(best.items(), key=itemgetter(1), reverse=True)[:limit]
        return [(GalleryImage.model_validate_json(stored), score) for stored, score in ranked]

    def stored(self, points: Sequence[str]) -> dict[str, StoredImage]:
        """Images and embeddings by point id; those that are not there are left out."""
        with _engine_errors():
            records = self._shard.retrieve(list(points), with_payload=[_IMAGE], with_vector=True)
        return {str(each.id): _stored(each) for each in records}

    def present(self, points: Sequence[str]) -> set[str]:
        """Which of some point ids there are."""
        with _engine_errors():
            records = self._shard.retrieve(list(points), with_payload=False, with_vector=False)
        return {str(each.id) for each in records}

    def scroll(
        self, limit: int, offset: str | None, conditions: Sequence[CheckedCondition] = ()
    ) -> tuple[list[GalleryImage], str | None]:
        """Images in the order of their point ids, and the point id after them."""
        request = edge.ScrollRequest(
            offset=offset, limit=limit, filter=_filter(conditions), with_payload=[_IMAGE]
        )
        with _engine_errors():
            records, following = self._shard.scroll(request)
        images = [_image(each) for each in records]
        return images, None if following is None else str(following)

    def sample(self, limit: int, conditions: Sequence[CheckedCondition]) -> list[GalleryImage]:
        """Images at random."""
        request = edge.QueryRequest(
            query=edge.Sample.Random,
            limit=limit,
            filter=_filter(conditions),
            with_payload=[_IMAGE],
        )
        with _engine_errors():
            found = self._shard.query(request)
        return [_image(each) for each in found]

    def _search_breadth(self) -> int:
        if not self._breadth:
            count = self.count()
            self._breadth = next(breadth for least, breadth in _BREADTHS if count >= least)
        return self._breadth


@contextmanager
def _engine_errors() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # a panic of the engine is no Exception, and no interrupt either
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ShardFailed(str(error)) from error
        raise


def _vector(embedding: Embedding) -> Any:
    """What the engine takes for a list of numbers, made faster than one."""
    return array("f", embedding.astype(np.float32, copy=False).tobytes())


def _payload(image: GalleryImage) -> dict[str, Any]:
    return {_IMAGE: image.model_dump_json(), _ATTRIBUTES: image.attributes}


def _text(point: edge.Record | edge.ScoredPoint) -> str:
    payload: Any = point.payload
    text: str = payload[_IMAGE]
    return text


def _image(point: edge.Record | edge.ScoredPoint) -> GalleryImage:
    return GalleryImage.model_validate_json(_text(point))


def _stored(record: edge.Record) -> StoredImage:
    vectors: Any = record.vector
    embedding = np.asarray(vectors[VECTOR_NAME], dtype=np.float32)  # (D,)
    return StoredImage(_image(record), embedding)


def _filter(conditions: Sequence[CheckedCondition]) -> edge.Filter | None:
    return edge.Filter(must=[_condition(each) for each in conditions]) if conditions else None


def _condition(checked: CheckedCondition) -> edge.FieldCondition:
    key = attribute_key(checked.name)
    if isinstance(checked, AnyOf):
        return edge.FieldCondition(key, match=edge.MatchAny(list(checked.values)))
    if isinstance(checked, IsFlag):
        flag: Any = np.bool_(checked.value)
        return edge.FieldCondition(key, match=edge.MatchValue(flag))
    bounds = checked.bounds
    within = edge.RangeFloat(gte=bounds.gte, gt=bounds.gt, lte=bounds.lte, lt=bounds.lt)
    return edge.FieldCondition(key, range=within)
