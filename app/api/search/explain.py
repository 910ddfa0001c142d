"""The use case behind the page's heat maps: gallery image and phrase → where the phrase is seen.

Explaining must never delay searches, which share its encoder: one picture is read at a time, few
may wait, and pictures that were read are remembered, so that a second phrase costs no model.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.api.search.ports import Gallery, PatchEmbedder
from app.api.search.turns import Turns
from app.web.errors import NotSupported
from indexer.gallery.errors import ImageNotFound
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import GalleryImage
from models.datasets.images import ImageLimits, InvalidImage, decode_image
from models.encoder.types import Patches
from models.query.relevance_map import relevance_map, rivals

_MAX_WAITING = 16
_REMEMBERED_PICTURES = 64
_LIMITS = ImageLimits()  # the store's copies are small, and ours


@dataclass(frozen=True)
class Explanation:
    """Where a phrase is seen.

    Attributes:
        relevance: float32 (rows, columns), 0 to 1.
        box: What the grid covers, as shares of the picture's sides: left, top, right, bottom.
        against: What else could have been seen.
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
        embedder: PatchEmbedder,
        store: ImageStore,
        locates_kinds: bool = False,
    ) -> None:
        self._gallery, self._embedder, self._store = gallery, embedder, store
        self._locates_kinds = locates_kinds
        self._turns = Turns(1, _MAX_WAITING, "explanations")
        self._read: OrderedDict[Path, Patches] = OrderedDict()  # by the copy that was read

    @property
    def supported(self) -> bool:
        """Whether the encoder in service can be explained."""
        return self._embedder.explains

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
        against = rivals(phrase, spec.facets, spec.noun_facet)
        async with self._turns.mine():
            patches = await self._patches(image, spec.rerank_px)
            texts = await self._embedder.encode_texts([phrase, *against.phrases])
        relevance = relevance_map(patches, texts[0], texts[1:], self._embedder.logit_scale)
        of_a_kind = against.facet == spec.noun_facet  # also where neither is known
        reliable = self._locates_kinds or not of_a_kind
        return Explanation(relevance, patches.box, against.phrases, reliable)

    async def _patches(self, image: GalleryImage, side_px: int) -> Patches:
        path = self._store.path_of(image.content_hash, side_px)
        patches = self._read.pop(path, None)
        if patches is None:
            picture = await asyncio.to_thread(_picture, path, image.image_id)
            patches = await self._embedder.encode_patches(picture)
        self._read[path] = patches
        if len(self._read) > _REMEMBERED_PICTURES:
            self._read.popitem(last=False)
        return patches


def _picture(path: Path, image_id: str) -> Image.Image:
    try:
        return decode_image(path.read_bytes(), _LIMITS)
    except (OSError, InvalidImage):
        raise ImageNotFound(
            f"the image store has no readable copy of {image_id!r}; build it again"
        ) from None
