"""The gallery: where images, embeddings and copies are kept, and how they are found.

Callers hold the ports of `indexer.gallery.ports`; which engine stands behind them is decided here
and nowhere else. An engine is imported when it is opened: the image store, the settings and the
errors do not load it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.gallery.ports import GalleryReader, GalleryWriter
    from indexer.gallery.settings import GallerySettings, GalleryWriterSettings


def open_reader(settings: "GallerySettings") -> "GalleryReader":
    """A reader of the gallery that the settings name; it connects at its first use."""
    if settings.url is None:
        from indexer.gallery.edge.reader import EdgeReader  # noqa: PLC0415

        return EdgeReader(settings)
    from indexer.gallery.server.reader import ServerReader  # noqa: PLC0415

    return ServerReader(settings)


def open_writer(settings: "GalleryWriterSettings") -> "GalleryWriter":
    """A writer of the gallery that the settings name, connected.

    Raises:
        GalleryError: The server cannot be used.
    """
    if settings.url is None:
        from indexer.gallery.edge.writer import EdgeWriter  # noqa: PLC0415

        return EdgeWriter(settings)
    from indexer.gallery.server.writer import QdrantWriter  # noqa: PLC0415

    return QdrantWriter(settings)
