"""Fills a Qdrant collection and puts it in service: the only module here that knows Qdrant.

A build fills a collection of its own and moves the alias to it at the end, in one step:
readers see the old gallery or the new one, never half of one. The unfinished collection itself is
the checkpoint: what is in it is done, so a killed build goes on where it was.
"""

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from indexer.gallery.ports import ReusableEmbedding
from indexer.gallery.server import collections
from indexer.gallery.server.client import QdrantUnavailable, connect, explained
from indexer.gallery.server.collections import GalleryError
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import (
    VECTOR_NAME,
    GalleryImage,
    GallerySpec,
    collection_name,
    generation_of,
    point_id_for,
)

__all__ = ["GalleryError", "GalleryWriter"]

_log = logging.getLogger(__name__)

_PAGE = 1000
_BATCH = 256  # points per request: more gain nothing, and a late answer costs more
_EMBEDDED_COMFORT = 20_000  # beyond this many images the embedded engine's scan gets slow


@dataclass(frozen=True)
class _Stored:
    """A point of the build as it was found when the build began."""

    picture: ReusableEmbedding
    digest: str


class GalleryWriter:
    """One build of one gallery."""

    def __init__(self, settings: GalleryWriterSettings) -> None:
        """Connect.

        Raises:
            GalleryError: Another process holds the embedded folder, or the server is not there.
        """
        self._settings, self._embedded = settings, settings.url is None
        try:
            self._client = connect(settings)
        except QdrantUnavailable as error:
            raise GalleryError(str(error)) from error
        self._collection = self._encoder = ""
        self._in_service: dict[
            str, ReusableEmbedding
        ] = {}  # content hash → picture of this encoder
        self._stored: dict[str, _Stored] = {}  # point id → what this build holds there

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

    def begin(self, spec: GallerySpec) -> None:
        """Start a build, or go on with an unfinished one of the same encoder."""
        with self._resumable():
            self._begin(spec)

    def _begin(self, spec: GallerySpec) -> None:
        alias, self._encoder = self._settings.alias, spec.encoder_fingerprint
        target = self._alias_target()
        ours = self._generations()
        newest = max(ours, default=0)
        in_service = generation_of(target or "", alias, self._encoder)
        if newest > (in_service or 0):
            self._collection = ours[newest]
        else:
            self._collection = collection_name(alias, self._encoder, newest + 1)
            collections.create(self._client, self._collection, spec, self._settings)
        if not self._embedded:  # the embedded engine scans: it has no payload indexes
            collections.index_payload(self._client, self._collection, spec.facets)
        for picture, _ in self._pictures(target) if target and in_service else ():
            self._in_service[picture.content_hash] = picture
        for picture, digest in self._pictures(self._collection):
            self._stored[picture.point_id] = _Stored(picture, digest)
        self._client.update_collection(self._collection, metadata=spec.model_dump(mode="json"))

    def known(self, image_id: str, content_hash: str) -> ReusableEmbedding | None:
        """Where the embedding of a picture can be copied from; None: nowhere.

        Every point of the gallery in service will do. Of this build only the image's own point: any
        other may be given another picture before it is read.
        """
        stored = self._stored.get(point_id_for(image_id))
        if stored is not None and stored.picture.content_hash == content_hash:
            return stored.picture
        return self._in_service.get(content_hash)

    def is_stored(self, image: GalleryImage) -> bool:
        """Whether this very image, payload and all, is already in the build."""
        stored = self._stored.get(point_id_for(image.image_id))
        return stored is not None and stored.digest == _digest(image)

    def embeddings_of(self, known: Sequence[ReusableEmbedding]) -> list[NDArray[np.float32]]:
        """The stored embeddings of known pictures, (D,) each, in their order.

        Raises:
            GalleryError: One is gone, or its point shows another picture by now.
        """
        found: dict[tuple[str, str, str], NDArray[np.float32]] = {}
        for collection in {picture.collection for picture in known}:
            ids = [picture.point_id for picture in known if picture.collection == collection]
            with self._resumable():
                points = self._client.retrieve(
                    collection, ids, with_payload=["content_hash"], with_vectors=True
                )
            for point in points:
                assert isinstance(point.vector, dict)
                assert point.payload is not None
                place = (collection, str(point.id), point.payload["content_hash"])
                found[place] = np.asarray(point.vector[VECTOR_NAME], dtype=np.float32)
        places = [(picture.collection, picture.point_id, picture.content_hash) for picture in known]
        for collection, point_id, content_hash in places:
            if (collection, point_id, content_hash) not in found:
                raise GalleryError(
                    f"point {point_id} of {collection} does not hold the picture {content_hash} "
                    "any more, so another build is at work on this gallery; run this one again "
                    "when that has ended"
                )
        return [found[place] for place in places]

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

    def finish(self, image_ids: Collection[str], spec: GallerySpec) -> None:
        """Verify the collection and put it in service.

        Args:
            image_ids: Exactly the images the gallery must hold; others are removed.
            spec: What it says of itself, now that it is known what is in it.

        Raises:
            GalleryError: Images are missing or cannot be found again. The gallery in service is
                untouched.
        """
        with self._resumable():
            count = self._settle({point_id_for(image_id) for image_id in image_ids})
            if not self._embedded:
                collections.build_graph(self._client, self._collection)
                collections.check_replicas(self._client, self._collection)
                collections.check_recall(self._client, self._collection)
            self._client.update_collection(self._collection, metadata=spec.model_dump(mode="json"))
            self._swap()
        if self._embedded and count > _EMBEDDED_COMFORT:
            _log.warning(
                "%d images is much for the embedded engine; a Qdrant server "
                "(CIR_INDEXER__GALLERY__URL) searches them faster",
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

    def _generations(self) -> dict[int, str]:
        """The collections of this alias and encoder, by the number of their build."""
        names = [collection.name for collection in self._client.get_collections().collections]
        numbers = [generation_of(name, self._settings.alias, self._encoder) for name in names]
        return {n: name for n, name in zip(numbers, names, strict=True) if n is not None}

    def _swap(self) -> None:
        """Move the alias in one step, then drop the collections that this build replaces.

        They are the one that was in service, whoever embedded it, and all others of this encoder:
        builds that were given up, and whatever a kill at this place left behind. What another
        encoder has not finished stays, for its own next build to go on with; so what outlives a
        build is at most the last unfinished collection of each other encoder.
        """
        alias = self._settings.alias
        old = self._alias_target()
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=self._collection, alias_name=alias)
        )
        drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
        self._client.update_collection_aliases([drop, create] if old else [create])
        if old and not self._embedded:
            time.sleep(self._settings.swap_grace_s)  # searches under way, nodes that learn late
        replaced = {*self._generations().values(), *([old] if old else [])} - {self._collection}
        for name in sorted(replaced):
            self._client.delete_collection(name)

    def _pictures(self, collection: str) -> Iterator[tuple[ReusableEmbedding, str]]:
        """Every picture of a collection, and the digest of its payload."""
        for point in self._scroll(collection):
            image = GalleryImage.model_validate(point.payload)
            picture = ReusableEmbedding(
                image.content_hash, image.width, image.height, collection, str(point.id)
            )
            yield picture, _digest(image)

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
