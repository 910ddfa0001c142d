"""The `ReferenceImages` port on Pillow and the image store; off the event loop."""

import asyncio

from PIL import Image

from app.web.errors import CandidatesFailed
from indexer.gallery.image_store import ImageStore
from models.datasets.images import to_jpeg


class StoredReferenceImages:
    """Makes copies of uploads, and reads those the indexer made."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store

    async def of_upload(self, picture: Image.Image, side_px: int) -> bytes:
        """A copy of an uploaded picture; see the port."""
        return await asyncio.to_thread(to_jpeg, picture, side_px)

    async def of_gallery(self, content_hash: str, side_px: int) -> bytes:
        """A gallery image's stored copy; see the port."""
        path = self._store.path_of(content_hash, side_px)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise CandidatesFailed(
                f"the reference's re-rank copy cannot be read: {error}"
            ) from error
