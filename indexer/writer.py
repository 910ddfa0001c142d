"""Fills a Qdrant collection and puts it in service: the only module here that knows Qdrant.

A build fills a collection of its own and moves the alias `gallery` to it at the end, in one step:
readers see the old gallery or the new one, never half of one. The unfinished collection itself is
the checkpoint: what is in it is done, so a killed build goes on where it was.
"""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from indexer.preparer import KnownImage
from models.contracts.gallery import (
    ALIAS,
    VECTOR_NAME,
    Facet,
    GalleryImage,
    GallerySpec,
    collection_name,
    point_id_for,
)
from models.settings import QdrantSettings

_log = logging.getLogger(__name__)

_PAGE = 1000
_RECALL_SAMPLES, _RECALL_DEPTH, _MIN_RECALL = 20, 10, 0.9
_EMBEDDED_COMFORT = 20_000  # beyond this many images the embedded engine's scan gets slow
_INDEX_TYPES = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "flag": models.PayloadSchemaType.BOOL,
}


class GalleryError(RuntimeError):
    """The gallery cannot be opened or completed; the message says what to do."""


class GalleryWriter:
    """One build of one gallery."""

    def __init__(self, settings: QdrantSettings) -> None:
        """Connect.

        Raises:
            GalleryError: Another process holds the embedded folder, or the server is not there.
        """
        self._embedded = settings.url is None
        self._client = self._connect(settings)
        self._collection = ""
        self._stored: dict[str, str] = {}  # point id → digest of its payload

    def close(self) -> None:
        """Let go of the embedded folder or the connection."""
        self._client.close()

    def in_service(self) -> str | None:
        """The collection that is searched now; None: there is no gallery yet."""
        aliases = self._client.get_aliases().aliases
        return next((a.collection_name for a in aliases if a.alias_name == ALIAS), None)

    def begin(self, spec: GallerySpec) -> dict[str, KnownImage]:
        """Start a build, or go on with an unfinished one of the same encoder.

        Returns:
            Content hash → pictures whose embeddings earlier builds hold, in this collection or in
            the gallery in service.
        """
        in_service = self.in_service()
        names = [c.name for c in self._client.get_collections().collections]
        prefix = collection_name(spec.encoder_fingerprint, 0)[:-4]
        ours = sorted(name for name in names if name.startswith(prefix))
        unfinished = [name for name in ours if in_service not in ours or name > str(in_service)]
        self._collection = unfinished[-1] if unfinished else self._create(spec, ours)
        known: dict[str, KnownImage] = {}
        for name in {self._collection, in_service if in_service in ours else self._collection}:
            for point in self._scroll(name):
                image = GalleryImage.model_validate(point.payload)
                known[image.content_hash] = KnownImage(
                    image.width, image.height, name, str(point.id)
                )
                if name == self._collection:
                    self._stored[str(point.id)] = _digest(image)
        self._client.update_collection(self._collection, metadata=spec.model_dump(mode="json"))
        return known

    def is_stored(self, image: GalleryImage) -> bool:
        """Whether this very image, payload and all, is already in the build."""
        return self._stored.get(point_id_for(image.image_id)) == _digest(image)

    def embedding_of(self, known: KnownImage) -> NDArray[np.float32]:
        """The stored embedding of a known picture, (D,).

        Raises:
            GalleryError: It is gone.
        """
        points = self._client.retrieve(known.collection, [known.point_id], with_vectors=True)
        if not points or not isinstance(points[0].vector, dict):
            raise GalleryError(f"point {known.point_id} vanished from {known.collection}")
        return np.asarray(points[0].vector[VECTOR_NAME], dtype=np.float32)

    def upsert(self, images: Sequence[GalleryImage], embeddings: NDArray[np.float32]) -> None:
        """Store images with their embeddings, (B, D); repeating it changes nothing."""
        points = [
            models.PointStruct(
                id=point_id_for(image.image_id),
                vector={VECTOR_NAME: embedding.tolist()},
                payload=image.model_dump(mode="json"),
            )
            for image, embedding in zip(images, embeddings, strict=True)
        ]
        if points:
            self._client.upsert(self._collection, points, wait=True)

    def finish(self, image_ids: Sequence[str]) -> None:
        """Verify the collection and put it in service.

        Args:
            image_ids: Exactly the images the gallery must hold; others are removed.

        Raises:
            GalleryError: Images are missing or cannot be found again. The gallery in service is
                untouched.
        """
        wanted = {point_id_for(image_id) for image_id in image_ids}
        strays = [str(p.id) for p in self._scroll(self._collection) if str(p.id) not in wanted]
        if strays:
            self._client.delete(self._collection, models.PointIdsList(points=strays), wait=True)
        count = self._client.count(self._collection, exact=True).count
        if count != len(wanted):
            raise GalleryError(f"the build holds {count} images where {len(wanted)} were written")
        self._start_graph()
        self._check_recall()
        self._swap()
        if self._embedded and count > _EMBEDDED_COMFORT:
            _log.warning(
                "%d images is much for the embedded engine; a Qdrant server "
                "(CIR_INDEXER__QDRANT__URL) searches them faster",
                count,
            )

    def _connect(self, settings: QdrantSettings) -> QdrantClient:
        if settings.url is not None:
            key = settings.api_key.get_secret_value() if settings.api_key else None
            client = QdrantClient(
                url=settings.url, api_key=key, timeout=settings.timeout_s, prefer_grpc=True
            )
            try:
                client.get_collections()
            except Exception as error:  # the client raises its transport's errors as they are
                raise GalleryError(
                    f"no Qdrant server answers at {settings.url}: {error}"
                ) from error
            return client
        warnings.filterwarnings("ignore", message="Local mode is not recommended")
        try:
            return QdrantClient(path=str(settings.path))
        except RuntimeError as error:
            raise GalleryError(
                f"another process is using the embedded gallery in {settings.path}; stop it, or "
                "run a Qdrant server and set CIR_INDEXER__QDRANT__URL"
            ) from error

    def _create(self, spec: GallerySpec, ours: list[str]) -> str:
        generation = int(ours[-1][-4:]) + 1 if ours else 1
        name = collection_name(spec.encoder_fingerprint, generation)
        vectors = models.VectorParams(size=spec.embedding_dim, distance=models.Distance.COSINE)
        self._client.create_collection(
            name,
            vectors_config={VECTOR_NAME: vectors},
            hnsw_config=models.HnswConfigDiff(m=0),  # no graph while loading
            metadata=spec.model_dump(mode="json"),
        )
        if not self._embedded:  # the embedded engine scans: it has no payload indexes
            for facet in spec.facets:
                self._index_payload(name, facet)
        return name

    def _index_payload(self, collection: str, facet: Facet) -> None:
        """Before the data, so that the graph gets edges that filters can follow."""
        self._client.create_payload_index(
            collection, f"attributes.{facet.name}", _INDEX_TYPES[facet.kind]
        )

    def _start_graph(self) -> None:
        """Build the HNSW graph now that all points are there, and wait for it."""
        if self._embedded:
            return
        self._client.update_collection(self._collection, hnsw_config=models.HnswConfigDiff(m=16))
        while self._client.get_collection(self._collection).status != models.CollectionStatus.GREEN:
            time.sleep(0.5)

    def _check_recall(self) -> None:
        """Search with some of the gallery's own embeddings, exactly and through the index."""
        if self._embedded:
            return  # it always searches exactly
        sample, _ = self._client.scroll(self._collection, limit=_RECALL_SAMPLES, with_vectors=True)
        found = total = 0
        for point in sample:
            exact, indexed = (
                {
                    hit.id
                    for hit in self._client.query_points(
                        self._collection,
                        query=point.vector[VECTOR_NAME],  # type: ignore[call-overload,index]
                        using=VECTOR_NAME,
                        limit=_RECALL_DEPTH,
                        search_params=models.SearchParams(exact=is_exact),
                    ).points
                }
                for is_exact in (True, False)
            )
            found, total = found + len(exact & indexed), total + len(exact)
        if total and found / total < _MIN_RECALL:
            raise GalleryError(
                f"the new collection's index finds only {found / total:.0%} of what an exact "
                "search finds; the gallery in service was left as it is"
            )

    def _swap(self) -> None:
        """Move the alias in one step, then drop the collections that nothing reads any more."""
        old = self.in_service()
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=self._collection, alias_name=ALIAS)
        )
        drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=ALIAS))
        self._client.update_collection_aliases([drop, create] if old else [create])
        for collection in self._client.get_collections().collections:
            if collection.name.startswith(f"{ALIAS}__") and collection.name != self._collection:
                self._client.delete_collection(collection.name)

    def _scroll(self, collection: str) -> Iterator[models.Record]:
        offset = None
        while True:
            points, offset = self._client.scroll(
                collection, limit=_PAGE, offset=offset, with_payload=True
            )
            yield from points
            if offset is None:
                return


def _digest(image: GalleryImage) -> str:
    payload = json.dumps(image.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(payload.encode()).hexdigest()
