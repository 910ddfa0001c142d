"""Contrastive training of an open_clip model: loss, optimizer, and the measure of it.

The objective is CLIP's (arXiv 2103.00020, §2.3): for B pictures and their captions, symmetric
cross-entropy over the (B, B) cosine similarities times a learned temperature.
"""

import math
from typing import Any

import torch
from torch.nn import functional

from models.training.encoder.pairs import Pairs

_MAX_LOGIT_SCALE = math.log(100)


def contrastive_loss(
    model: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
    """The mean loss of a batch against each of its captions.

    Args:
        model: An open_clip model.
        images: float (B, 3, S, S), normalised.
        tokens: int64 (C, B, T), C captions of each picture.
    """
    image_rows = model.encode_image(images, normalize=True)  # type: ignore[operator]  # (B, D)
    text_rows = model.encode_text(tokens.flatten(0, 1), normalize=True)  # type: ignore[operator]
    scale = model.logit_scale.exp()  # type: ignore[operator]
    right = torch.arange(len(images), device=images.device)
    losses = []
    for texts in text_rows.view(len(tokens), len(images), -1):  # (B, D) for each caption
        logits = scale * image_rows @ texts.T  # (B, B)
        losses += [
            functional.cross_entropy(logits, right),
            functional.cross_entropy(logits.T, right),
        ]
    return torch.stack(losses).mean()


def two_captions(pairs: Pairs, rows: torch.Tensor) -> torch.Tensor:
    """Two different random captions per row: int64 (2, B, T)."""
    count = pairs.tokens.shape[1]
    first = torch.randint(count, (len(rows),))
    second = (first + torch.randint(1, max(count, 2), (len(rows),))) % count
    return torch.stack([pairs.tokens[rows, first], pairs.tokens[rows, second]])


def adamw(model: torch.nn.Module, learning_rate: float) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, as CLIP does."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip


def normalisation(model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the pixels a model was made for, each (3, 1, 1)."""
    visual: Any = model.visual
    device = next(model.parameters()).device
    mean = torch.tensor(visual.image_mean, device=device)
    std = torch.tensor(visual.image_std, device=device)
    return mean.view(3, 1, 1), std.view(3, 1, 1)


def image_size_px(model: torch.nn.Module) -> int:
    """The side of the square pictures a model takes."""
    size: Any = model.visual.image_size  # type: ignore[union-attr]  # int or (height, width)
    return int(size if isinstance(size, int) else size[0])


def clamp_temperature(model: torch.nn.Module) -> None:
    """Keep the learned temperature where CLIP's stays: logits at most 100 times the cosine."""
    with torch.no_grad():
        model.logit_scale.clamp_(0, _MAX_LOGIT_SCALE)  # type: ignore[operator]


def recall_at_1(
    model: torch.nn.Module, pairs: Pairs, mean: torch.Tensor, std: torch.Tensor, count: int = 1000
) -> dict[str, float]:
    """Text→image R@1: how often a canonical caption finds its picture first among `count`.

    Returns:
        `all`, and `held_out`: over the captions of combinations never trained on (same gallery).
    """
    right, rows = found_first(model, pairs, mean, std, count)
    held_out = pairs.held_out[rows]
    return {
        "all": round(right.mean().item(), 4),
        "held_out": round(right[held_out].mean().item(), 4),
        "among": len(rows),
    }


@torch.inference_mode()
def found_first(
    model: torch.nn.Module, pairs: Pairs, mean: torch.Tensor, std: torch.Tensor, count: int = 1000
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which canonical captions find their picture first among `count`.

    Pictures whose caption occurred before are left out, so that one picture is right for each.

    Returns:
        float (count,) of zeros and ones, and the rows of `pairs` that were asked about.
    """
    unique = list({caption: number for number, caption in enumerate(pairs.captions)}.values())
    rows = torch.tensor(sorted(unique)[:count])
    images, texts = [], []
    for chunk in torch.split(rows, 256):
        pixels = (pairs.images[chunk].to(mean.device).float() / 255 - mean) / std
        images.append(model.encode_image(pixels, normalize=True))  # type: ignore[operator]
        texts.append(model.encode_text(pairs.tokens[chunk, 0].to(mean.device), normalize=True))  # type: ignore[operator]
    similarity = torch.cat(texts) @ torch.cat(images).T  # (count, count)
    right = (similarity.argmax(dim=1).cpu() == torch.arange(len(rows))).float()
    return right, rows
