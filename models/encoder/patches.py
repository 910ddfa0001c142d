"""Vision towers → one embedding per patch, in the space of the whole picture's embedding.

Follows MaskCLIP (Zhou et al., ECCV 2022, arXiv 2112.01071): the last attention mixes all places
into one, so it is told to leave every place with its own value. Two kinds of open_clip tower can
be read like that; for others `patch_reader` says so.
"""

from collections.abc import Callable
from typing import cast

import torch
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import Tensor
from torch.nn import functional

PatchReader = Callable[[Tensor], Tensor]


def patch_reader(visual: torch.nn.Module) -> PatchReader | None:
    """A function from one preprocessed picture, (3, S, S), to unit rows, (rows, columns, D).

    Returns:
        None for towers that are neither a plain vision transformer nor a ResNet with attention
        pooling (timm's, CoCa's), and for inputs that are not square.
    """
    if isinstance(visual, ModifiedResNet):
        return lambda picture: _of_resnet(visual, picture)
    if isinstance(visual, VisionTransformer):
        height, width = cast("tuple[int, int]", visual.image_size)
        if visual.attn_pool is None and visual.proj is not None and height == width:
            return lambda picture: _of_transformer(visual, picture)
    return None


def _of_transformer(visual: VisionTransformer, picture: Tensor) -> Tensor:
    """All blocks as they are, the last one with a mask that lets each token see itself alone:
    its attention is then the identity on values, and residual and MLP stay.
    """
    tokens = visual._embeds(picture[None])  # (1, 1 + P, W)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    count = tokens.shape[1]
    alone = torch.full((count, count), -torch.inf, device=tokens.device).fill_diagonal_(0)
    tokens = visual.ln_post(last(tokens, attn_mask=alone))[0, 1:]  # (P, W)
    rows, columns = visual.grid_size
    return functional.normalize((tokens @ visual.proj).float(), dim=-1).reshape(rows, columns, -1)


def _of_resnet(visual: ModifiedResNet, picture: Tensor) -> Tensor:
    """The attention pool's value and output projections at every place of the last layer.

    That layer has a cell per 32 pixels: nine of them at 96. So the picture is read at four
    positions, half a cell apart, and the four grids are woven into one of twice the resolution:
    finer than the strides allow, with no object larger or smaller than in training.
    """
    size = picture.shape[-1]
    cells = visual.image_size // 32
    half, margin = size // cells // 2, size // cells // 4
    framed = functional.pad(picture[None], (margin,) * 4, mode="replicate")
    corners = [(top, left) for top in (0, half) for left in (0, half)]
    windows = [framed[..., t : t + size, left : left + size] for t, left in corners]
    features = visual.stem(torch.cat(windows))
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        features = layer(features)
    pool = visual.attnpool
    places = features.flatten(2).transpose(1, 2) + pool.positional_embedding[1:]  # (4, cells², W)
    values = functional.normalize(pool.c_proj(pool.v_proj(places)).float(), dim=-1)
    woven = values.reshape(2, 2, cells, cells, -1).permute(2, 0, 3, 1, 4)  # cell, shift, …
    return woven.reshape(2 * cells, 2 * cells, -1)
