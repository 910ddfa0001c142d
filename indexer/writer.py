"""Fills a Qdrant collection and puts it in service: the only module here that knows Qdrant.

A build fills a collection of its own and moves the alias to it at the end, in one step:
readers see the old gallery or the new one, never half of one. The unfinished collection itself is
the checkpoint: what is in it is done, so a killed build goes on where it was.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from indexer import loading
from indexer.loading import GalleryError
from indexer.preparer import KnownImage
from indexer.settings import GallerySettings
from models.contracts.gallery import (
    VECTOR_NAME,
    GalleryImage,
    GallerySpec,
    collection_name,
    collection_prefix,
    point_id_for,
)
from models.qdrant import QdrantUnavailable, connect, explained

__all__ = ["GalleryError", "GalleryWriter"]

_log = logging.getLogger(__name__)

_PAGE = 1000
_BATCH = 256  # points per request: more gain nothing, and a late answer costs more
_EMBEDDED_COMFORT = 20_000  # beyond this many images the embedded engine's scan gets slow


class GalleryWriter:
    """One build of one gallery."""

    def __init__(self, settings: GallerySettings) -> None:
        """Connect.

        Raises:
            GalleryError: Another process holds the embedded folder, or the server is not there.
        """
        self._settings, self._embedded = settings, settings.url is None
        try:
            self._client = connect(settings)
        except QdrantUnavailable as error:
            raise GalleryError(str(error)) from error
        self._collection = ""
        self._stored: dict[str, str] = {}  # point id → digest of its payload

    def close(self) -> None:
        """Let go of the embedded folder or the connection."""
        self._client.close()

    def in_service(self) -> str | None:
        """The collection that is searched now; None: there is no gallery yet.

        Raises:
            GalleryError: Qdrant does not say.
        """
        with self._resumable():
            return self._alias_target()

    def begin(self, spec: GallerySpec) -> dict[str, KnownImage]:
        """Start a build, or go on with an unfinished one of the same encoder.

        Returns:
            Content hash → pictures whose embeddings earlier builds hold, in this collection or in
            the gallery in service.
        """
        with self._resumable():
            return self._begin(spec)

    def _begin(self, spec: GallerySpec) -> dict[str, KnownImage]:
        in_service = self._alias_target()
        names = [c.name for c in self._client.get_collections().collections]
        prefix = collection_prefix(self._settings.alias, spec.encoder_fingerprint)
        ours = sorted(name for name in names if name.startswith(prefix))
        unfinished = [name for name in ours if in_service not in ours or name > str(in_service)]
        self._collection = unfinished[-1] if unfinished else self._create(spec, ours)
        if not self._embedded:  # the embedded engine scans: it has no payload indexes
            loading.index_payload(self._client, self._collection, spec.facets)
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

    def embeddings_of(self, known: Sequence[KnownImage]) -> list[NDArray[np.float32]]:
        """The stored embeddings of known pictures, (D,) each, in their order.

        Raises:
            GalleryError: One is gone.
        """
        found: dict[tuple[str, str], NDArray[np.float32]] = {}
        for collection in {image.collection for image in known}:
            ids = [image.point_id for image in known if image.collection == collection]
            with self._resumable():
                points = self._client.retrieve(
                    collection, ids, with_payload=False, with_vectors=True
                )
            for point in points:
                assert isinstance(point.vector, dict)
                embedding = np.asarray(point.vector[VECTOR_NAME], dtype=np.float32)
                found[collection, str(point.id)] = embedding
        for image in known:
            if (image.collection, image.point_id) not in found:
                raise GalleryError(f"point {image.point_id} vanished from {image.collection}")
        return [found[image.collection, image.point_id] for image in known]

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
        with self._resumable():
            for start in range(0, len(points), _BATCH):
                self._client.upsert(self._collection, points[start : start + _BATCH], wait=True)

    def finish(self, image_ids: Sequence[str]) -> None:
        """Verify the collection and put it in service.

        Args:
            image_ids: Exactly the images the gallery must hold; others are removed.

        Raises:
            GalleryError: Images are missing or cannot be found again. The gallery in service is
                untouched.
        """
        with self._resumable():
            count = self._settle({point_id_for(image_id) for image_id in image_ids})
            if not self._embedded:
                loading.build_graph(self._client, self._collection)
                loading.check_replicas(self._client, self._collection)
                loading.check_recall(self._client, self._collection)
            self._swap()
        if self._embedded and count > _EMBEDDED_COMFORT:
            _log.warning(
                "%d images is much for the embedded engine; a Qdrant server "
                "(CIR_INDEXER__QDRANT__URL) searches them faster",
                count,
            )

    def _settle(self, wanted: set[str]) -> int:
        """Leave exactly these points in the collection; returns how many they are."""
        strays = [str(p.id) for p in self._scroll(self._collection) if str(p.id) not in wanted]
        for start in range(0, len(strays), _PAGE):
            some = models.PointIdsList(points=list(strays[start : start + _PAGE]))
            self._client.delete(self._collection, some, wait=True)
        count = self._client.count(self._collection, exact=True).count
        if count != len(wanted):
            raise GalleryError(f"the build holds {count} images where {len(wanted)} were written")
        return count

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """What Qdrant fails at costs this run, never what is stored."""
        try:
            with explained(self._settings):
                yield
        except QdrantUnavailable as error:
            raise GalleryError(
                f"{error}; run the build again when that is mended: it goes on where it was, and "
                "the gallery in service was left as it is"
            ) from error

    def _alias_target(self) -> str | None:
        aliases = self._client.get_aliases().aliases
        ours = self._settings.alias
        return next((a.collection_name for a in aliases if a.alias_name == ours), None)

    def _create(self, spec: GallerySpec, ours: list[str]) -> str:
        generation = int(ours[-1][-4:]) + 1 if ours else 1
        name = collection_name(self._settings.alias, spec.encoder_fingerprint, generation)
        loading.create(self._client, name, spec, self._settings)
        return name

    def _swap(self) -> None:
        """Move the alias in one step, then drop the collections that nothing reads any more."""
        alias = self._settings.alias
        old = self._alias_target()
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=self._collection, alias_name=alias)
        )
        drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
        self._client.update_collection_aliases([drop, create] if old else [create])
        if old and not self._embedded:
            time.sleep(self._settings.swap_grace_s)  # searches under way, nodes that learn late
        for collection in self._client.get_collections().collections:
            ours = collection.name.startswith(collection_prefix(alias))
            if ours and collection.name != self._collection:
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
