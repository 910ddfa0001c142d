"""The `GalleryReader` port on folders: opens the generation in service, and keeps those in use.

A generation stays open, and on disk, as long as somebody holds the `GenerationInfo` that `current`
gave: a search reads one generation to its end, however long that takes.
"""

import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from indexer.gallery.edge.folder import Folder, Unreadable
from indexer.gallery.edge.shard import Shard, ShardFailed
from indexer.gallery.errors import (
    GalleryNotFound,
    GalleryUnavailable,
    GenerationGone,
    ImageNotFound,
)
from indexer.gallery.filters import check_filter, parse_offset, require_all
from indexer.gallery.ports import GenerationInfo, Hit, Page, StoredImage
from indexer.gallery.settings import GallerySettings
from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage, point_id_for
from models.encoder.types import Embeddings

_TRIES = 5  # of opening, while generations are replaced one after another


class EdgeReader:
    """Reads folders; see the port. Several processes may, also while another one writes."""

    threads = 2  # one may open a generation while the other searches

    def __init__(self, settings: GallerySettings) -> None:
        """Opens the gallery at the first `current`, and again until it succeeds."""
        self._folder, self._path = Folder(settings), settings.path
        self._current: GenerationInfo | None = None
        self._open: dict[str, _OpenGeneration] = {}
        self._opening = threading.Lock()

    def close(self) -> None:
        """Let go of all generations."""
        with self._opening:
            self._current = None
            for opened in list(self._open.values()):
                opened.close()
            self._open.clear()

    def current(self) -> GenerationInfo:
        """The generation that `current` names now, open; see the port."""
        with self._opening, self._as_unavailable():
            for _ in range(_TRIES):
                name = self._folder.current()
                if name is None:
                    raise self._not_found()
                if self._current is not None and self._current.name == name:
                    return self._current
                if (info := self._opened(name)) is not None:
                    self._current = info
                    return info
            raise self._folder.damaged(f"{name}, which is in service, is not there")

    def count(self, generation: GenerationInfo) -> int:
        """How many images it holds; see the port."""
        with self._reading(generation) as shard:
            return shard.count()

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
        conditions = check_filter(where or {}, generation.spec.facets)
        with self._reading(generation) as shard:
            points = None
            if among is not None:
                by_point = {point_id_for(image_id): image_id for image_id in among}
                points = list(by_point)
                require_all(by_point, shard.present(points))
            found = shard.nearest(queries, limit, conditions, points)
        return [Hit(image, score) for image, score in found]

    def fetch(self, generation: GenerationInfo, image_ids: Sequence[str]) -> list[StoredImage]:
        """Images by id, in the order asked; see the port."""
        points = [point_id_for(image_id) for image_id in image_ids]
        with self._reading(generation) as shard:
            found = shard.stored(points)
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
        start, conditions = parse_offset(offset), check_filter(where or {}, generation.spec.facets)
        with self._reading(generation) as shard:
            return Page(*shard.scroll(limit, start, conditions))

    def sample(
        self, generation: GenerationInfo, limit: int, *, where: Filter | None = None
    ) -> list[GalleryImage]:
        """Some images at random; see the port."""
        conditions = check_filter(where or {}, generation.spec.facets)
        with self._reading(generation) as shard:
            return shard.sample(limit, conditions)

    def _opened(self, name: str) -> GenerationInfo | None:
        """Open a generation; None: it was replaced and removed meanwhile.

        Raises:
            OSError, Unreadable, ShardFailed: It cannot be read.
        """
        try:
            lock = self._folder.lock_for_reading(name)
            if lock is None:
                return None
        except FileNotFoundError:
            return None
        try:
            info = GenerationInfo(name, self._folder.spec(name))
            self._open[name] = _OpenGeneration(Shard.load(self._folder.shard(name)), lock)
        except BaseException:
            os.close(lock)
            raise
        weakref.finalize(info, self._open.pop, name, None)  # a search on it holds what it reads
        return info

    @contextmanager
    def _reading(self, generation: GenerationInfo) -> Iterator[Shard]:
        """The shard of an open generation; raises `GenerationGone`."""
        opened = self._open.get(generation.name)
        if opened is None:
            raise GenerationGone(f"{generation.name} is not open any more")
        with self._as_unavailable():
            yield opened.shard

    def _not_found(self) -> GalleryNotFound:
        if self._folder.is_of_earlier_version():
            return GalleryNotFound(
                f"the gallery in {self._path} was made by an earlier version; build it again with "
                "`python -m indexer build`: prepared copies are reused"
            )
        return GalleryNotFound("there is no gallery yet; build one with `python -m indexer build`")

    @contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        try:
            yield
        except Unreadable as error:
            raise GalleryUnavailable(str(error)) from error
        except ShardFailed as error:
            if "Permission denied" in str(error) or "Read-only" in str(error):
                reason = f"the engine needs to write there, too: {error}"
                raise GalleryUnavailable(str(self._folder.unusable(reason))) from error
            raise GalleryUnavailable(str(self._folder.damaged(str(error)))) from error
        except OSError as error:
            raise GalleryUnavailable(str(self._folder.unusable(error))) from error


class _OpenGeneration:
    """A shard and the lock that keeps its folder; both are let go of with the last holder."""

    def __init__(self, shard: Shard, lock: int) -> None:
        self.shard = shard
        self._unlock = weakref.finalize(self, os.close, lock)

    def close(self) -> None:
        """Let go of both now."""
        self.shard.close()
        self._unlock()
