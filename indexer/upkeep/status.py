"""`python -m indexer status`: the generations that are kept, and which one is in service."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from indexer.gallery import open_writer
from indexer.gallery.ports import KeptGeneration
from indexer.settings import IndexerSettings
from indexer.upkeep.options import StatusOptions
from models.settings import read_settings

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def run(options: StatusOptions) -> Iterator[str]:
    """Say what is kept; yields the lines to print.

    Raises:
        InputError: The settings are wrong.
        GalleryError: The engine fails.
    """
    settings = read_settings(IndexerSettings)
    with closing(open_writer(settings.gallery)) as writer:
        kept = writer.generations()
    where = settings.gallery.printed_url or str(settings.gallery.path)
    engine = "embedded" if settings.gallery.url is None else "server"
    if options.json:
        said = {
            "engine": engine,
            "where": where,
            "alias": settings.gallery.alias,
            "generations": [_as_dict(each) for each in kept],
        }
        yield json.dumps(said, indent=1)
        return
    yield f"gallery `{settings.gallery.alias}`, {engine}, {where}"
    if not any(each.state == "in service" for each in kept):
        yield "none is in service"
    for each in sorted(kept, key=lambda each: (each.state != "in service", each.name)):
        yield from _lines(each)


def _as_dict(kept: KeptGeneration) -> dict[str, Any]:
    spec = kept.spec
    return {
        "name": kept.name,
        "state": kept.state,
        "images": kept.images,
        "size_bytes": kept.size_bytes,
        "built_at": spec.built_at,
        "encoder": spec.encoder_fingerprint,
        "embedding_dim": spec.embedding_dim,
        "preset": spec.preset,
        "facets": [facet.name for facet in spec.facets],
    }


def _lines(kept: KeptGeneration) -> Iterator[str]:
    spec = kept.spec
    size = "" if kept.size_bytes is None else f", {_size(kept.size_bytes)}"
    yield f"{kept.state}: {kept.name}"
    yield f"  {kept.images} images{size}; begun {spec.built_at} ({_age(spec.built_at)})"
    yield f"  encoder {spec.encoder_fingerprint}, {spec.embedding_dim} dimensions, {spec.preset}"
    yield f"  attributes: {', '.join(facet.name for facet in spec.facets) or 'none'}"


def _age(built_at: str) -> str:
    """How long ago that was, in its largest unit."""
    then = datetime.fromisoformat(built_at)
    seconds = (datetime.now(UTC) - then.replace(tzinfo=then.tzinfo or UTC)).total_seconds()
    for unit, length_s in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length_s:
            count = int(seconds // length_s)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
