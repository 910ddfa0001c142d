"""Damage to a gallery, as disks, copies and other versions do it; and a look at what is in one."""

import json
from pathlib import Path
from typing import Any

from indexer.gallery import open_reader
from indexer.gallery.server.client import connect
from indexer.gallery.settings import GallerySettings
from models.contracts.gallery import GalleryImage, GallerySpec


def contents(settings: GallerySettings) -> tuple[GallerySpec, list[GalleryImage]]:
    """All that is in service, in the engine's order."""
    reader = open_reader(settings)
    try:
        info = reader.current()
        images: list[GalleryImage] = []
        offset = None
        while True:
            page = reader.scroll(info, 1000, offset=offset)
            images += page.images
            offset = page.next_offset
            if offset is None:
                return info.spec, images
    finally:
        reader.close()


def truncate(path: Path) -> None:
    """Half of it is lost."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spec_file(folder: Path) -> Path:
    """The metadata of the only generation in an embedded gallery's folder."""
    (path,) = folder.glob("*/*/spec.json")
    return path


def rewrite_metadata(settings: GallerySettings, **changes: Any) -> None:
    """Other values in the metadata of the generation in service."""
    if settings.url is None:
        stored = json.loads(spec_file(settings.path).read_text())
        stored["spec"] |= changes
        spec_file(settings.path).write_text(json.dumps(stored))
        return
    client = connect(settings)
    metadata = client.get_collection(settings.alias).config.metadata
    aliases = {each.alias_name: each.collection_name for each in client.get_aliases().aliases}
    client.update_collection(aliases[settings.alias], metadata={**(metadata or {}), **changes})
    client.close()
