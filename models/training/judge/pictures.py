"""Pictures as a Qwen-VL vision tower takes them, straight from a training set held in memory."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm


def load_pictures(paths: list[Path], size_px: int) -> torch.Tensor:
    """Decode pictures to uint8 (N, 3, S, S); those of another size are scaled.

    Raises:
        FileNotFoundError: A picture is missing.
    """
    out = np.empty((len(paths), 3, size_px, size_px), dtype=np.uint8)
    for number, path in enumerate(tqdm(paths, "decode", unit="image")):
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        if rgb.size != (size_px, size_px):
            rgb = rgb.resize((size_px, size_px), Image.Resampling.BICUBIC)
        out[number] = np.asarray(rgb).transpose(2, 0, 1)
    return torch.from_numpy(out)


def to_patches(images: torch.Tensor, patch: int, merge: int, frames: int = 2) -> torch.Tensor:
    """What the image processor of Qwen-VL makes of square pictures, for a whole batch at once.

    Args:
        images: float (B, 3, S, S) from 0 to 1; S a multiple of `patch · merge`.
        patch: Side of a patch in pixels.
        merge: Patches per side of one visual token; patches of a token stand next to each other.
        frames: The tower's temporal patch size; a picture is shown as that many equal frames.

    Returns:
        float (B · (S / patch)², 3 · frames · patch²), from -1 to 1.
    """
    count = images.shape[-1] // (patch * merge)
    split = (images * 2 - 1).view(len(images), 3, count, merge, patch, count, merge, patch)
    ordered = split.permute(0, 2, 5, 3, 6, 1, 4, 7)  # B, row, column, merge², channel, patch²
    twice = ordered.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
    return twice.reshape(len(images) * (count * merge) ** 2, 3 * frames * patch * patch)


def grid(images: torch.Tensor, patch: int) -> torch.Tensor:
    """`image_grid_thw` for a batch of square pictures: int64 (B, 3)."""
    side = images.shape[-1] // patch
    return torch.tensor([[1, side, side]], device=images.device).expand(len(images), 3)
