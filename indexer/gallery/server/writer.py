"""The `GalleryWriter` port on a Qdrant server: fills a collection and puts it in service.

A generation is a collection of its own. Publishing moves the alias to it in one step: readers see
the old gallery or the new one, never half of one. The unfinished collection itself is the
checkpoint: what is in it is done, so a killed build goes on where it was.
"""

import time
from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from qdrant_client import QdrantClient, models

from indexer.gallery.errors import GalleryError
from indexer.gallery.ports import KeptGeneration, ReusableEmbedding
from indexer.gallery.server import collections, contents
from indexer.gallery.server.client import QdrantUnavailable, connect, translate_errors
from indexer.gallery.server.storage import storage_for
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import (
    VECTOR_NAME,
    GalleryImage,
    GallerySpec,
    collection_name,
    generation_of,
    point_id_for,
)
from models.encoder.types import Embedding


class QdrantWriter:
    """Makes generations on a server; see the port."""

    def __init__(self, settings: GalleryWriterSettings) -> None:
        """Connect.

        Raises:
            GalleryError: The server is not there.
        """
        self._settings = settings
        try:
            self._client = connect(settings)
        except QdrantUnavailable as error:
            raise GalleryError(str(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def published(self) -> str | None:
        """The collection that the alias names; see the port."""
        with _as_gallery_error(self._settings):
            return contents.alias_target(self._client, self._settings.alias)

    def generations(self) -> list[KeptGeneration]:
        """The collections of this alias; see the port."""
        client, alias = self._client, self._settings.alias
        with _as_gallery_error(self._settings):
            target = contents.alias_target(client, alias)
            names = [collection.name for collection in client.get_collections().collections]
            return [
                contents.kept(client, name, alias, target)
                for name in sorted(names)
                if name.startswith(f"{alias}__")
            ]

    def images(self, generation: str) -> Iterator[GalleryImage]:
        """Every image of a collection, in the order of point ids; see the port."""
        with _as_gallery_error(self._settings):
            for point in contents.scroll(self._client, generation):
                yield GalleryImage.model_validate(point.payload)

    def check(self, generation: str) -> list[str]:
        """Replicas and recall of a collection; see the port."""
        problems = []
        with _as_gallery_error(self._settings):
            for check in (collections.check_replicas, collections.check_recall):
                try:
                    check(self._client, generation)
                except GalleryError as error:
                    problems.append(str(error))
        return problems

    def drop(self, generation: str) -> bool:
        """Remove a collection; a server does not know who reads it; see the port."""
        with _as_gallery_error(self._settings):
            if generation == contents.alias_target(self._client, self._settings.alias):
                raise GalleryError(f"{generation} is in service")
            self._client.delete_collection(generation)
        return True

    def open_generation(
        self, spec: GallerySpec, *, copy_of: str | None = None
    ) -> "QdrantGeneration":
        """Begin a collection, or go on with the newest unfinished one; see the port.

        A generation of another encoder is never touched.
        """
        client, settings, alias = self._client, self._settings, self._settings.alias
        with _as_gallery_error(settings):
            target = contents.alias_target(client, alias)
            ours = contents.generations(client, alias, spec.encoder_fingerprint)
            newest = max(ours, default=0)
            published = generation_of(target or "", alias, spec.encoder_fingerprint)
            if copy_of is not None and (published is None or copy_of != target):
                raise GalleryError(
                    f"{copy_of} is not in service with the encoder {spec.encoder_fingerprint}, so "
                    "it cannot be copied"
                )
            if newest > (published or 0):
                name = ours[newest]
            else:
                name = collection_name(alias, spec.encoder_fingerprint, newest + 1)
                collections.create(client, name, spec, settings)
            collections.index_payload(client, name, spec.facets)
            generation = QdrantGeneration(client, settings, name, spec.encoder_fingerprint)
            generation.read_stored(target if published else None)
            if copy_of is not None:
                generation.begin_as_copy(copy_of)
            client.update_collection(name, metadata=spec.model_dump(mode="json"))
        return generation


class QdrantGeneration:
    """A collection that is being filled; see the port."""

    def __init__(
        self, client: QdrantClient, settings: GalleryWriterSettings, name: str, encoder: str
    ) -> None:
        self._client, self._settings = client, settings
        self._name, self._encoder = name, encoder
        self._published: dict[str, ReusableEmbedding] = {}  # content hash → in the one in service
        self._stored: dict[str, contents.Stored] = {}  # image id → what this collection holds of it
        self._copy_of = ""
        self._unlike: set[str] = set()  # image ids that it does not hold as `_copy_of` does

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._name

    def read_stored(self, published: str | None) -> None:
        """Find what need not be embedded again; once, before anything is put.

        Args:
            published: The collection in service, if this encoder made it.
        """
        if published is not None:
            for stored in contents.images(self._client, published):
                self._published[stored.embedding.content_hash] = stored.embedding
        for stored in contents.images(self._client, self._name):
            self._stored[stored.embedding.image_id] = stored

    def begin_as_copy(self, source: str) -> None:
        """Take over what another collection holds; after `read_stored`, before anything is put.

        Points pass through here in batches: a server has no call that copies them inside, and a
        snapshot would be recovered over REST, on each node, by a path that the server can read.
        What a killed change has put here in the place of an image stays, for it may be put again;
        if it is not, `publish` takes over the source's.
        """
        self._copy_of = source
        for batch in contents.batches(contents.scroll(self._client, source, with_vectors=True)):
            new = []
            for point in batch:
                stored = contents.as_stored(point, self._name)
                image_id = stored.embedding.image_id
                here = self._stored.setdefault(image_id, stored)
                if here is stored:
                    new.append(point)
                elif here.digest != stored.digest:
                    self._unlike.add(image_id)
            self._upsert_records(new)

    def reusable(self, image_id: str, content_hash: str) -> ReusableEmbedding | None:
        """Where an embedding can be copied from; see the port."""
        stored = self._stored.get(image_id)
        if stored is not None and stored.embedding.content_hash == content_hash:
            return stored.embedding
        return self._published.get(content_hash)

    def embeddings_of(self, stored: Sequence[ReusableEmbedding]) -> list[Embedding]:
        """Stored embeddings; see the port."""
        with self._as_gallery_error():
            copies: dict[ReusableEmbedding, Embedding] = {}
            for start in range(0, len(stored), contents.PAGE):
                copies |= self._copy(stored[start : start + contents.PAGE])
        return [copies[each] for each in stored]

    def put(
        self,
        images: Sequence[GalleryImage],
        embeddings: Sequence[Embedding | ReusableEmbedding],
    ) -> None:
        """Store images; those that are there, payload and all, are not written again."""
        new = [
            (image, embedding)
            for image, embedding in zip(images, embeddings, strict=True)
            if not self._holds(image)
        ]
        with self._as_gallery_error():
            copies = self._copy([e for _, e in new if isinstance(e, ReusableEmbedding)])
            points = [
                models.PointStruct(
                    id=point_id_for(image.image_id),
                    vector={
                        VECTOR_NAME: (
                            copies[embedding]
                            if isinstance(embedding, ReusableEmbedding)
                            else embedding
                        ).tolist()
                    },
                    payload=image.model_dump(mode="json"),
                )
                for image, embedding in new
            ]
            for start in range(0, len(points), contents.BATCH):
                self._client.upsert(self._name, points[start : start + contents.BATCH], wait=True)
        for image, _ in new:
            self._stored.pop(image.image_id, None)  # what was found there is there no longer
        self._unlike.difference_update(image.image_id for image in images)

    def delete(self, image_ids: Sequence[str]) -> None:
        """Remove images; see the port."""
        with self._as_gallery_error():
            for start in range(0, len(image_ids), contents.PAGE):
                some = [
                    point_id_for(image_id) for image_id in image_ids[start : start + contents.PAGE]
                ]
                self._client.delete(self._name, models.PointIdsList(points=list(some)), wait=True)
        for image_id in image_ids:
            self._stored.pop(image_id, None)
        self._unlike.difference_update(image_ids)

    def publish(self, expected: Collection[str], spec: GallerySpec) -> None:
        """Verify the collection, move the alias to it, drop what it replaces; see the port."""
        with self._as_gallery_error():
            self._delete_strays(expected)
            self._restore()
            count = self._client.count(self._name, exact=True).count
            if count != len(expected):
                raise GalleryError(
                    f"the build holds {count} images where {len(expected)} were written"
                )
            collections.build_graph(self._client, self._name, storage_for(count))
            collections.check_replicas(self._client, self._name)
            collections.check_recall(self._client, self._name)
            self._client.update_collection(self._name, metadata=spec.model_dump(mode="json"))
            self._activate()

    def _holds(self, image: GalleryImage) -> bool:
        """Whether this very image, payload and all, was there at the opening and still is."""
        stored = self._stored.get(image.image_id)
        return stored is not None and stored.digest == contents.digest(image)

    def _copy(self, embeddings: Sequence[ReusableEmbedding]) -> dict[ReusableEmbedding, Embedding]:
        """Stored embeddings, (D,) each.

        Raises:
            GalleryError: One is gone, or its point holds other bytes by now.
        """
        found: dict[tuple[str, str, str], Embedding] = {}  # by generation, image, content hash
        for generation in {embedding.generation for embedding in embeddings}:
            ids = [point_id_for(e.image_id) for e in embeddings if e.generation == generation]
            for point in self._client.retrieve(
                generation, ids, with_payload=["image_id", "content_hash"], with_vectors=True
            ):
                assert isinstance(point.vector, dict)
                assert point.payload is not None
                place = (generation, point.payload["image_id"], point.payload["content_hash"])
                found[place] = np.asarray(point.vector[VECTOR_NAME], dtype=np.float32)
        copies = {}
        for each in embeddings:
            place = (each.generation, each.image_id, each.content_hash)
            if place not in found:
                raise GalleryError(
                    f"{each.generation} does not hold {each.image_id!r} with the bytes "
                    f"{each.content_hash} any more, so another build is at work on this gallery; "
                    "run this one again when that has ended"
                )
            copies[each] = found[place]
        return copies

    def _delete_strays(self, expected: Collection[str]) -> None:
        """Remove what earlier, unfinished builds put here and this one does not want."""
        known = expected if isinstance(expected, Set) else frozenset(expected)
        ids = (stored.embedding.image_id for stored in contents.images(self._client, self._name))
        self.delete([image_id for image_id in ids if image_id not in known])

    def _restore(self) -> None:
        """Take over from the copied collection what was left here by a change that was given up."""
        left = sorted(self._unlike)
        for start in range(0, len(left), contents.PAGE):
            ids = [point_id_for(image_id) for image_id in left[start : start + contents.PAGE]]
            self._upsert_records(self._client.retrieve(self._copy_of, ids, with_vectors=True))

    def _upsert_records(self, records: Sequence[models.Record]) -> None:
        points = [models.PointStruct(id=r.id, vector=r.vector, payload=r.payload) for r in records]
        for start in range(0, len(points), contents.BATCH):
            self._client.upsert(self._name, points[start : start + contents.BATCH], wait=True)

    def _activate(self) -> None:
        """Move the alias in one step, then drop the collections that this one replaces.

        They are the one that was in service, whichever encoder made it, and all others of this
        encoder: builds that were given up, and what a kill at this place left behind. What another
        encoder has not finished stays, for its own next build to go on with; so what outlives a
        build is at most the last unfinished collection of each other encoder.
        """
        client, alias = self._client, self._settings.alias
        old = contents.alias_target(client, alias)
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=self._name, alias_name=alias)
        )
        drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
        client.update_collection_aliases([drop, create] if old else [create])
        if old:
            time.sleep(self._settings.swap_grace_s)  # searches under way, nodes that learn late
        ours = contents.generations(client, alias, self._encoder).values()
        for name in sorted({*ours, *([old] if old else [])} - {self._name}):
            client.delete_collection(name)

    def _as_gallery_error(self) -> AbstractContextManager[None]:
        return _as_gallery_error(self._settings)


@contextmanager
def _as_gallery_error(settings: GalleryWriterSettings) -> Iterator[None]:
    """Turn what Qdrant fails at into a `GalleryError`: it costs this run, never what is stored."""
    try:
        with translate_errors(settings):
            yield
    except QdrantUnavailable as error:
        raise GalleryError(
            f"{error}; run the build again when that is mended: it goes on where it was, and "
            "the gallery in service was left as it is"
        ) from error
