"""Qwen3-VL (its rerankers too) and Qwen2.5-VL.

Positions are given explicitly: behind a cached prefix, transformers does not compute the
multimodal rotary positions of a picture, and scores would be silently wrong.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from models.reranker.architectures.base import ModelArchitecture, PreparedImage, VisualFeatures
from models.reranker.prompts import QWEN_VL


class QwenVL(ModelArchitecture):
    """Pictures keep their shape; positions have three axes; Qwen3-VL has deepstack features."""

    model_types = ("qwen3_vl", "qwen2_5_vl")
    chat = QWEN_VL

    def prepare(self, picture: Image.Image, visual_tokens: int) -> PreparedImage:
        """Scale to at most the tokens given, keeping the shape; pixels (patches, values each)."""
        processor = self._image_processor
        pixels = visual_tokens * (processor.patch_size * processor.merge_size) ** 2
        processed = processor(
            images=[picture],
            size={"shortest_edge": pixels, "longest_edge": pixels},
            return_tensors="pt",
        )
        grid = processed["image_grid_thw"]
        tokens = int(grid.prod()) // processor.merge_size**2
        return PreparedImage(processed["pixel_values"], grid, tokens)

    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Pictures may be of any sizes."""
        device = self.model.device
        patches = torch.cat([image.pixels for image in images]).to(device)
        grids = torch.cat([image.grid for image in images]).to(device)
        encoded = self.tower.get_image_features(patches, grids)
        deepstack = getattr(encoded, "deepstack_features", None) or []
        return [
            VisualFeatures(
                # copies: a slice would keep the whole batch in memory as long as it is cached
                tokens.clone(),
                tuple(level[i].clone() for level in deepstack),
                images[i].grid,
            )
            for i, tokens in enumerate(encoded.pooler_output)
        ]

    def positions(self, ids: Tensor, grids: Tensor | None, start: int) -> tuple[Tensor, int]:
        """Multimodal rotary positions (3, 1, L): frame, row and column."""
        positions, _ = self.tower.get_rope_index(
            ids, mm_token_type_ids=self._is_image(ids), image_grid_thw=grids
        )
        return positions + start, start + int(positions.max()) + 1

    def unsplit_inputs(self, ids: Tensor, images: Sequence[PreparedImage]) -> dict[str, Any]:
        """Patches and grids; the model finds the positions itself, once it has forgotten others."""
        self.tower.rope_deltas = None
        return {
            "mm_token_type_ids": self._is_image(ids),
            "pixel_values": torch.cat([image.pixels for image in images]),
            "image_grid_thw": torch.cat([image.grid for image in images]),
        }

    def optimize_for_inference(self) -> None:
        """Project patches by a matrix product."""
        patches = self.tower.visual.patch_embed
        patches.proj = _PatchProjection.of(patches.proj)


class _PatchProjection(nn.Linear):
    """The convolution over patches as the matrix product it is: its stride is its kernel.

    The product is the faster of the two. (transformers can do the same, but then replaces the class
    for the whole process, models in training included.)
    """

    @classmethod
    def of(cls, convolution: nn.Conv3d) -> "_PatchProjection":
        kernels = convolution.weight.flatten(1)  # (D, channels x frames x height x width)
        linear = cls(kernels.shape[1], kernels.shape[0], bias=convolution.bias is not None)
        linear.weight, linear.bias = nn.Parameter(kernels), convolution.bias  # type: ignore[assignment]
        return linear

    def forward(self, patches: Tensor) -> Tensor:
        """Project patches (N, channels, frames, height, width) to (N, D)."""
        return super().forward(patches.flatten(1))
