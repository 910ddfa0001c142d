"""The use case behind the page's heat maps: gallery image and phrase → where the phrase is seen.

Searches share its encoder and come first: one image is read at a time, few may wait, and the
patches of images that were read are kept, so that a second phrase reads none.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from PIL import Image

from app.api.search.admission import ConcurrencyLimit
from app.api.search.ports import Gallery, PatchEncoder
from app.web.errors import NotSupported
from indexer.gallery.errors import ImageNotFound
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import GalleryImage
from models.datasets.images import ImageLimits, InvalidImage, decode_image
from models.encoder.types import Patches
from models.query.relevance_map import contrast_phrases, relevance_map

_MAX_EXPLANATIONS = 16  # under way or waiting
_CACHED_IMAGES = 64
_LIMITS = ImageLimits()  # the store's copies are small, and ours


@dataclass(frozen=True)
class Explanation:
    """Where a phrase is seen.

    Attributes:
        relevance: float32 (rows, columns), 0 to 1.
        box: What the grid covers, as shares of the image's sides: left, top, right, bottom.
        against: The phrases that each place was compared with.
        reliable: False where the phrase says what kind of thing is there, and the encoder is not
            known to tell where.
    """

    relevance: NDArray[np.float32]
    box: tuple[float, float, float, float]
    against: list[str]
    reliable: bool


class RelevanceExplainer:
    """Explains gallery images."""

    def __init__(
        self,
        gallery: Gallery,
        encoder: PatchEncoder,
        store: ImageStore,
        locates_kinds: bool = False,
    ) -> None:
        """Put together; `locates_kinds`: whether its maps of kinds of things are good."""
        self._gallery, self._encoder, self._store = gallery, encoder, store
        self._locates_kinds = locates_kinds
        self._limit = ConcurrencyLimit(1, _MAX_EXPLANATIONS, "explanations")
        self._cache: LRUCache[Path, Patches] = LRUCache(_CACHED_IMAGES)  # by the copy that was read

    @property
    def supported(self) -> bool:
        """Whether the encoder in service can be explained."""
        return self._encoder.explains

    async def explain(self, image: GalleryImage, phrase: str) -> Explanation:
        """Where in a gallery image the encoder sees a phrase.

        Raises:
            NotSupported: The encoder cannot be read place by place.
            ImageNotFound: The image store has no copy of the image.
            Overloaded: Too many explanations at once.
            GalleryUnavailable: There is no gallery.
        """
        if not self.supported:
            raise NotSupported(
                "this encoder cannot show where it sees a phrase; plain vision transformers and "
                "ResNets with attention pooling can"
            )
        spec = self._gallery.snapshot().generation.spec
        against = contrast_phrases(phrase, spec.facets, spec.noun_facet)
        async with self._limit.slot():
            patches = await self._patches(image, spec.rerank_px)
            texts = await self._encoder.encode_texts([phrase, *against.phrases])
        relevance = relevance_map(patches, texts[0], texts[1:], self._encoder.logit_scale)
        of_a_kind = against.facet == spec.noun_facet  # also where neither is known
        reliable = self._locates_kinds or not of_a_kind
        return Explanation(relevance, patches.box, against.phrases, reliable)

    async def _patches(self, image: GalleryImage, side_px: int) -> Patches:
        path = self._store.path_of(image.content_hash, side_px)
        patches = self._cache.get(path)
        if patches is None:
            copy = await asyncio.to_thread(_stored_copy, path, image.image_id)
            patches = self._cache[path] = await self._encoder.encode_patches(copy)
        return patches


def _stored_copy(path: Path, image_id: str) -> Image.Image:
    try:
        return decode_image(path.read_bytes(), _LIMITS)
    except (OSError, InvalidImage):
        raise ImageNotFound(
            f"the image store has no readable copy of {image_id!r}; build it again"
        ) from None
