"""A generation of the embedded gallery while it is filled, sealed and put in service.

The unfinished folder itself is the checkpoint: what its records name is done, so a killed build
goes on where it was.
"""

import logging
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from indexer.gallery.edge.folder import Folder, Unreadable, encoder_of
from indexer.gallery.edge.records import Record, Records, digest_of
from indexer.gallery.edge.shard import Shard, ShardFailed
from indexer.gallery.errors import GalleryError
from indexer.gallery.ports import ReusableEmbedding
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import GalleryImage, GallerySpec, catalogue_facets, point_id_for
from models.encoder.types import Embedding, Embeddings

_log = logging.getLogger(__name__)

PAGE = 1000  # images read or removed at once
_FLUSH_IMAGES, _FLUSH_S = 16_384, 0.5  # put until they are made to last: a kill costs so many
_RECALL_SAMPLES, _RECALL_DEPTH, _MIN_RECALL = 20, 10, 0.9
_POLL_S = 0.1


@dataclass(frozen=True)
class OpenFiles:
    """What a generation consists of, open."""

    name: str
    shard: Shard
    records: Records

    @classmethod
    def load(cls, folder: Folder, name: str) -> "OpenFiles":
        """Of a generation that is there.

        Raises:
            ShardFailed, sqlite3.Error: It cannot be read.
        """
        records = Records(folder.records(name), sealed=folder.is_sealed(name))
        try:
            return cls(name, Shard.load(folder.shard(name)), records)
        except BaseException:
            records.close()
            raise

    def close(self) -> None:
        """Let go of them."""
        self.shard.close()
        self.records.close()


class EdgeGeneration:
    """A folder that is being filled; see the port."""

    def __init__(
        self,
        folder: Folder,
        settings: GalleryWriterSettings,
        files: OpenFiles,
        sources: Sequence[OpenFiles],
    ) -> None:
        """Take over open files.

        Args:
            folder: Where generations are.
            settings: Of the writer.
            files: Its own.
            sources: Of others of the same encoder, whose embeddings can be copied.
        """
        self._folder, self._settings, self._name = folder, settings, files.name
        self._files, self._shard, self._records = files, files.shard, files.records
        self._sources: Mapping[str, OpenFiles] = {each.name: each for each in sources}
        self._unflushed: dict[str, Record] = {}  # image id → its record, at most `_FLUSH_IMAGES`
        self._flushed_at = time.monotonic()
        self._closed = False

    @property
    def name(self) -> str:
        """The folder's name."""
        return self._name

    def close(self) -> None:
        """Keep what was put, and let go of the files; nothing else can be asked then."""
        if self._closed:
            return
        self._closed = True
        try:
            self._flush()
        finally:
            self._let_go()

    def reusable(self, image_id: str, content_hash: str) -> ReusableEmbedding | None:
        """Where an embedding can be copied from; see the port."""
        own = self._records.of_image(image_id)
        if own is not None and own.content_hash == content_hash:
            return _reusable(own, self._name)
        for name, source in self._sources.items():
            if (other := source.records.of_bytes(content_hash)) is not None:
                return _reusable(other, name)
        return None

    def embeddings_of(self, stored: Sequence[ReusableEmbedding]) -> list[Embedding]:
        """Stored embeddings; see the port."""
        with as_gallery_error(self._folder):
            copies: dict[ReusableEmbedding, Embedding] = {}
            for start in range(0, len(stored), PAGE):
                copies |= self._copy(stored[start : start + PAGE])
        return [copies[each] for each in stored]

    def put(
        self,
        images: Sequence[GalleryImage],
        embeddings: Sequence[Embedding | ReusableEmbedding],
    ) -> None:
        """Store images; those that are there, payload and all, are not written again."""
        with as_gallery_error(self._folder):
            stored = self._records.digests([image.image_id for image in images])
            new: list[tuple[GalleryImage, Embedding | ReusableEmbedding, bytes]] = []
            for image, embedding in zip(images, embeddings, strict=True):
                digest = digest_of(image)
                if stored.get(image.image_id) != digest:
                    new.append((image, embedding, digest))
            copies = self._copy([e for _, e, _ in new if isinstance(e, ReusableEmbedding)])
            points = [
                (
                    point_id_for(image.image_id),
                    image,
                    copies[e] if isinstance(e, ReusableEmbedding) else e,
                )
                for image, e, _ in new
            ]
            if not points:
                return
            if stored:
                self._records.remove([image.image_id for image, _, _ in new])
            self._shard.put(points)
            for image, _, digest in new:
                self._unflushed[image.image_id] = Record(
                    image.image_id, image.content_hash, image.width, image.height, digest
                )
            late = time.monotonic() - self._flushed_at > _FLUSH_S
            if late or len(self._unflushed) >= _FLUSH_IMAGES:
                self._flush()

    def delete(self, image_ids: Sequence[str]) -> None:
        """Remove images; see the port."""
        with as_gallery_error(self._folder):
            for start in range(0, len(image_ids), PAGE):
                some = image_ids[start : start + PAGE]
                self._records.remove(some)
                self._shard.delete([point_id_for(image_id) for image_id in some])
                for image_id in some:
                    self._unflushed.pop(image_id, None)

    def publish(self, expected: Collection[str], spec: GallerySpec) -> None:
        """Verify the generation, seal it, move `current` to it, remove what it replaces."""
        with as_gallery_error(self._folder):
            self._delete_strays(expected)
            count = self._shard.count()
            if count != len(expected):
                raise GalleryError(
                    f"the build holds {count} images where {len(expected)} were written"
                )
            self._flush()
            self._shard.index_payload(catalogue_facets(spec))
            self._shard.optimize()
            self._closed = True
            self._let_go()
            if (problem := recall_problem(self._folder, self._name)) is not None:
                raise GalleryError(f"{problem}; the gallery in service was left as it is")
            self._folder.seal(self._name, spec)
            replaced = published_in(self._folder)
            self._folder.put_in_service(self._name, replaced)
            self._remove_replaced(replaced)

    def _flush(self) -> None:
        self._shard.flush()
        self._records.add(self._unflushed.values())
        self._unflushed.clear()
        self._flushed_at = time.monotonic()

    def _let_go(self) -> None:
        for each in (self._files, *self._sources.values()):
            each.close()
        self._sources = {}

    def _copy(self, embeddings: Sequence[ReusableEmbedding]) -> dict[ReusableEmbedding, Embedding]:
        """Stored embeddings, (D,) each.

        Raises:
            GalleryError: One is gone, or its point holds other bytes by now.
        """
        shards = {each.name: each.shard for each in (self._files, *self._sources.values())}
        copies: dict[ReusableEmbedding, Embedding] = {}
        for name, shard in shards.items():
            asked = {point_id_for(e.image_id): e for e in embeddings if e.generation == name}
            for point, stored in (shard.stored(list(asked)) if asked else {}).items():
                if stored.image.content_hash == asked[point].content_hash:
                    copies[asked[point]] = stored.embedding
        for each in embeddings:
            if each not in copies:
                raise GalleryError(
                    f"{each.generation} does not hold {each.image_id!r} with the bytes "
                    f"{each.content_hash} any more, so another build is at work on this gallery; "
                    "run this one again when that has ended"
                )
        return copies

    def _delete_strays(self, expected: Collection[str]) -> None:
        """Remove what earlier, unfinished builds put here and this one does not want."""
        known = expected if isinstance(expected, Set) else frozenset(expected)
        offset = None
        while True:
            images, offset = self._shard.scroll(PAGE, offset)
            strays = [image.image_id for image in images if image.image_id not in known]
            if strays:
                self.delete(strays)
            if offset is None:
                return

    def _remove_replaced(self, replaced: str | None) -> None:
        """Remove the generation that was in service, and all others of this encoder.

        What a process reads stays until that has moved on: readers have `swap_grace_s`, and what is
        left then goes when the next generation is published.
        """
        names = {
            name
            for name in self._folder.generations()
            if name == replaced
            or encoder_of(name) == encoder_of(self._name)
            or self._folder.is_replaced(name)  # earlier, and somebody read it then
        } - {self._name}
        give_up = time.monotonic() + self._settings.swap_grace_s
        while True:
            names = {name for name in names if not self._folder.remove(name)}
            if not names or time.monotonic() >= give_up:
                break
            time.sleep(_POLL_S)


def recall_problem(folder: Folder, name: str) -> str | None:
    """Search in a generation with some of its own embeddings, exactly and through the graph.

    Returns:
        That the graph loses more than a tenth of what an exact search finds; None: it does not.
    """
    shard = Shard.load(folder.shard(name))
    try:
        images, _ = shard.scroll(_RECALL_SAMPLES, None)
        if not images:
            return None
        stored = shard.stored([point_id_for(image.image_id) for image in images])
        hit = right = 0
        for each in stored.values():
            query = each.embedding[np.newaxis]  # (1, D)
            exact = _nearest_ids(shard, query, exact=True)
            hit += len(exact & _nearest_ids(shard, query, exact=False))
            right += len(exact)
    finally:
        shard.close()
    share = hit / right
    if share >= _MIN_RECALL:
        return None
    return f"the index of {name} finds only {share:.0%} of what an exact search finds"


def _nearest_ids(shard: Shard, query: Embeddings, *, exact: bool) -> set[str]:
    return {image.image_id for image, _ in shard.nearest(query, _RECALL_DEPTH, exact=exact)}


def published_in(folder: Folder) -> str | None:
    """The generation in service; none where that cannot be known, so that a build mends it."""
    try:
        return folder.current()
    except Unreadable as error:
        _log.warning("%s", error)
        return None


def _reusable(record: Record, generation: str) -> ReusableEmbedding:
    return ReusableEmbedding(
        record.content_hash, record.width, record.height, generation, record.image_id
    )


@contextmanager
def as_gallery_error(folder: Folder) -> Iterator[None]:
    """Turn what fails into a `GalleryError`: it costs this run, never what is stored."""
    try:
        yield
    except Unreadable as error:
        raise GalleryError(str(error)) from error
    except (ShardFailed, sqlite3.Error, OSError) as error:
        raise GalleryError(
            f"{folder.unusable(error)}; make room there, or mend the rights, and run the build "
            "again: it goes on where it was, and the gallery in service was left as it is"
        ) from error
