"""Idefics3, SmolVLM and SmolVLM2.

These models see a large image as many tiles and one global tile, the whole image squared. The
reranker shows them the global tile alone: every image then costs the same few tokens.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from models.reranker.architectures.base import ModelArchitecture, PreparedImage, VisualFeatures
from models.reranker.prompts import IDEFICS3


class Idefics3(ModelArchitecture):
    """One square tile per picture; plain positions."""

    model_types = ("idefics3", "smolvlm")
    chat = IDEFICS3

    def prepare(self, picture: Image.Image, visual_tokens: int) -> PreparedImage:
        """Scale to a square tile of at most the tokens given; pixels (1, 1, 3, side, side).

        A smaller budget than the tower's own size shows a smaller tile: the tower places patches
        by their fraction of the picture's width and height.
        """
        config = self.model.config
        vision, shuffle = config.vision_config, config.scale_factor
        full = vision.image_size // vision.patch_size // shuffle  # visual tokens per side
        side = min(full, math.isqrt(visual_tokens))
        tile_px = vision.image_size if side == full else side * shuffle * vision.patch_size
        processed = self._image_processor(
            images=[picture],
            do_resize=False,  # which would enlarge it first, for tiles to be cut
            do_image_splitting=False,
            max_image_size={"longest_edge": tile_px},
            return_tensors="pt",
        )
        patches = side * shuffle
        grid = torch.tensor([[1, patches, patches]])
        return PreparedImage(processed["pixel_values"], grid, side**2)

    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Pictures are of one size, and fill their tiles: nothing is padded or masked."""
        pixels = torch.cat([image.pixels for image in images]).to(self.model.device)
        encoded = self.tower.get_image_features(pixels).pooler_output
        return [
            VisualFeatures(tokens.clone(), (), image.grid)
            for tokens, image in zip(encoded, images, strict=True)
        ]

    def positions(
        self,
        ids: Tensor,
        grids: Tensor | None,  # noqa: ARG002 (where a picture's patches are makes no difference)
        start: int,
    ) -> tuple[Tensor, int]:
        """One after another (1, L), pictures too."""
        following = start + ids.shape[1]
        return torch.arange(start, following)[None], following

    def unsplit_inputs(
        self,
        ids: Tensor,  # noqa: ARG002 (the model finds pictures' places itself)
        images: Sequence[PreparedImage],
    ) -> dict[str, Any]:
        """Tiles of one row, and a mask that says they are full."""
        pixels = torch.cat(
            [image.pixels for image in images], dim=1
        )  # (1, pictures, 3, side, side)
        mask = torch.ones_like(pixels[:, :, 0], dtype=torch.bool)
        return {"pixel_values": pixels, "pixel_attention_mask": mask}
