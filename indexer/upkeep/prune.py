"""`python -m indexer prune`: removes generations and copies that nobody needs.

Generations go first, then what no generation that is left names; so what a kill leaves is only what
the next prune removes.
"""

import time
from collections.abc import Iterator
from contextlib import closing

from indexer.gallery import open_writer
from indexer.gallery.image_store import ImageStore
from indexer.gallery.ports import GalleryWriter, KeptGeneration
from indexer.settings import IndexerSettings
from indexer.upkeep.options import PruneOptions
from models.datasets.disk_map import DiskMap
from models.settings import read_settings

_HOUR_S = 3600


def run(options: PruneOptions) -> Iterator[str]:
    """Remove what nobody needs; yields the lines to print.

    Raises:
        InputError: The settings are wrong.
        GalleryError: The engine fails.
    """
    settings = read_settings(IndexerSettings)
    going = {"replaced", "unfinished"} if options.unfinished else {"replaced"}
    with closing(open_writer(settings.gallery)) as writer:
        kept = list[KeptGeneration]()
        for each in writer.generations():
            if each.state not in going:
                kept.append(each)
            elif options.dry_run or writer.drop(each.name):
                yield f"{each.state}: {each.name}, {each.images} images"
            else:
                yield f"{each.name} stays: it is read or written now"
                kept.append(each)
        if not kept:
            yield "there is no gallery, so copies stay as they are"
            return
        used = _used_copies(writer, kept)
    yield from _remove_copies(used, settings, options)


def _used_copies(writer: GalleryWriter, kept: list[KeptGeneration]) -> DiskMap:
    """The names of all copies that some generation has images of."""
    used = DiskMap()
    for generation in kept:
        sides_px = {generation.spec.thumbnail_px, generation.spec.rerank_px}
        for image in writer.images(generation.name):
            for side_px in sides_px:
                used.setdefault(f"{image.content_hash}.{side_px}", b"")
    return used


def _remove_copies(
    used: DiskMap, settings: IndexerSettings, options: PruneOptions
) -> Iterator[str]:
    before, count, freed = time.time() - options.min_age_h * _HOUR_S, 0, 0
    for path in ImageStore(settings.image_store).copies():
        try:
            stat = path.stat()
        except FileNotFoundError:  # another prune was faster
            continue
        if path.stem not in used and stat.st_mtime <= before:
            count, freed = count + 1, freed + stat.st_size
            if not options.dry_run:
                path.unlink(missing_ok=True)
    what = "would be removed" if options.dry_run else "removed"
    yield f"copies that no generation uses, {what}: {count} ({freed / 1e6:.1f} MB)"
