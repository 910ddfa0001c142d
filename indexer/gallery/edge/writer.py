"""The `GalleryWriter` port on folders: begins, resumes, copies, lists and drops generations.

Readers are never in the way: they read generations that are sealed.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Literal

from indexer.gallery.edge.folder import Folder, encoder_of
from indexer.gallery.edge.generation import (
    PAGE,
    EdgeGeneration,
    OpenFiles,
    as_gallery_error,
    published_in,
    recall_problem,
)
from indexer.gallery.edge.records import Records
from indexer.gallery.edge.shard import Shard, ShardFailed
from indexer.gallery.errors import GalleryError
from indexer.gallery.ports import KeptGeneration
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import GalleryImage, GallerySpec

_log = logging.getLogger(__name__)


class EdgeWriter:
    """Makes generations in a folder; see the port.

    From the first change on it is the folder's only writer; looking into it locks nobody out.
    """

    def __init__(self, settings: GalleryWriterSettings) -> None:
        """Touches nothing yet."""
        self._settings, self._folder = settings, Folder(settings)
        self._generation: EdgeGeneration | None = None
        self._lock: int | None = None

    def close(self) -> None:
        """Keep what was put, and let go of the folder."""
        if self._lock is None:
            return
        try:
            if self._generation is not None:
                with as_gallery_error(self._folder):
                    self._generation.close()
        finally:
            os.close(self._lock)
            self._lock = None

    def published(self) -> str | None:
        """The generation that `current` names; see the port."""
        with as_gallery_error(self._folder):
            return published_in(self._folder)

    def generations(self) -> list[KeptGeneration]:
        """The folders of this gallery; see the port."""
        with as_gallery_error(self._folder):
            published = published_in(self._folder)
            found = []
            for name in self._folder.generations():
                try:
                    found.append(self._kept(name, published))
                except FileNotFoundError:
                    continue  # killed before it said what it is to be, or removed meanwhile
                except sqlite3.Error:
                    if self._folder.generation(name).exists():
                        raise
            return found

    def images(self, generation: str) -> Iterator[GalleryImage]:
        """Every image of a generation, in the order of point ids; see the port."""
        with self._reading(generation), closing(self._shard(generation)) as shard:
            offset = None
            while True:
                images, offset = shard.scroll(PAGE, offset)
                yield from images
                if offset is None:
                    return

    def check(self, generation: str) -> list[str]:
        """Files, counts and recall of a sealed generation; see the port."""
        with self._reading(generation):
            problems = self._folder.changed_files(generation)
            if problems:
                return problems
            problem = recall_problem(self._folder, generation)
            return [] if problem is None else [problem]

    def drop(self, generation: str) -> bool:
        """Remove a folder, unless some process reads it; see the port."""
        with as_gallery_error(self._folder):
            self._begin_writing()
            if generation == published_in(self._folder):
                raise GalleryError(f"{generation} is in service")
            if self._generation is not None and self._generation.name == generation:
                return False
            return self._folder.remove(generation)

    def open_generation(self, spec: GallerySpec, *, copy_of: str | None = None) -> EdgeGeneration:
        """Begin a generation, or go on with the newest unfinished one; see the port.

        A generation of another encoder is never touched. A copy always begins anew: what unfinished
        ones hold beyond it is copied when it is put.
        """
        with as_gallery_error(self._folder):
            self._begin_writing()
            if self._generation is not None:
                self._generation.close()
                self._generation = None
            published = published_in(self._folder)
            encoder = spec.encoder_fingerprint
            ours = published if published and encoder_of(published) == encoder else None
            if copy_of is not None and copy_of != ours:
                raise GalleryError(
                    f"{copy_of} is not in service with the encoder {encoder}, so it cannot be "
                    "copied"
                )
            unfinished = self._unfinished(encoder, published)
            if copy_of is not None:
                files = OpenFiles.load(self._folder, self._folder.copy(copy_of))
            elif unfinished:
                files = unfinished.pop(0)
            else:
                files = _begun(self._folder, spec)
            self._folder.write_spec_of_build(files.name, spec)
            files.shard.index_payload(spec.facets)
            source = self._source(ours) if ours else []
            self._generation = EdgeGeneration(
                self._folder, self._settings, files, [*source, *unfinished]
            )
        return self._generation

    def _begin_writing(self) -> None:
        """Be the folder's only writer until `close`.

        Raises:
            GalleryError: Another process writes to it.
            OSError: It cannot be written.
        """
        if self._lock is not None:
            return
        self._lock = self._folder.lock_for_writing()
        if self._lock is None:
            raise GalleryError(
                f"another process is writing to the embedded gallery in {self._settings.path}; "
                "wait until it has ended: searches go on meanwhile"
            )
        self._folder.sweep()

    @contextmanager
    def _reading(self, generation: str) -> Iterator[None]:
        """Keep a generation from being removed; raises `GalleryError`."""
        with as_gallery_error(self._folder):
            lock = self._folder.lock_for_reading(generation)
            if lock is None:
                raise GalleryError(f"{generation} is being removed by another process")
            try:
                yield
            finally:
                os.close(lock)

    def _kept(self, name: str, published: str | None) -> KeptGeneration:
        sealed = self._folder.is_sealed(name)
        spec = self._folder.spec(name, of_build=not sealed)
        file = self._folder.records(name)
        with closing(Records(file, sealed=sealed, read_only=True)) as records:
            images = records.count()
        state: Literal["in service", "replaced", "unfinished"] = "unfinished"
        if name == published:
            state = "in service"
        elif self._folder.is_replaced(name):
            state = "replaced"
        return KeptGeneration(name, spec, images, state, self._folder.size_bytes(name))

    def _unfinished(self, encoder: str, published: str | None) -> list[OpenFiles]:
        """The unfinished generations of an encoder that can be opened, the newest first."""
        found = []
        for name in reversed(self._folder.generations()):
            if encoder_of(name) != encoder or name == published or self._folder.is_replaced(name):
                continue
            if self._folder.is_sealed(name):  # killed before it was put in service
                reopened = self._folder.reopen(name)
                if reopened is None:
                    continue
                name = reopened
            try:
                found.append(OpenFiles.load(self._folder, name))
            except (ShardFailed, sqlite3.Error) as error:
                _log.warning("the unfinished build %s cannot be resumed: %s", name, error)
                self._folder.remove(name)
        return found

    def _source(self, published: str) -> list[OpenFiles]:
        """The generation in service, to copy embeddings from; none where it is damaged."""
        try:
            return [OpenFiles.load(self._folder, published)]
        except (ShardFailed, sqlite3.Error) as error:
            _log.warning("no embedding of %s can be reused: %s", published, error)
            return []

    def _shard(self, name: str) -> Shard:
        return Shard.load(self._folder.shard(name))


def _begun(folder: Folder, spec: GallerySpec) -> OpenFiles:
    name = folder.begin(spec.encoder_fingerprint)
    try:
        shard = Shard.create(folder.shard(name), spec.embedding_dim)
        return OpenFiles(name, shard, Records(folder.records(name)))
    except BaseException:
        with suppress(OSError):
            folder.remove(name)
        raise
