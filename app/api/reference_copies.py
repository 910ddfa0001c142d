"""The `ReferenceCopies` port on Pillow and the image store; off the event loop."""

import asyncio

from PIL import Image

from app.errors import CandidatesFailed
from models.image_store import ImageStore
from models.images import to_jpeg


class StoredReferenceCopies:
    """Makes copies of uploads, and reads those the indexer made."""

    def __init__(self, store: ImageStore, rerank_px: int) -> None:
        self._store, self._rerank_px = store, rerank_px

    async def of_upload(self, picture: Image.Image) -> bytes:
        """An uploaded picture at re-rank size; see the port."""
        return await asyncio.to_thread(to_jpeg, picture, self._rerank_px)

    async def of_gallery(self, content_hash: str) -> bytes:
        """A gallery image's stored copy; see the port."""
        path = self._store.path_of(content_hash, "rerank")
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            raise CandidatesFailed(
                f"the reference's re-rank copy cannot be read: {error}"
            ) from error
