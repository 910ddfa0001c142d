"""Stage one: the vision tower learns to say, for every patch, what lies there.

Real rerankers start from a vision tower that was trained alone; so does this one. A manifest with
`items`, each with facets and a box, gives a label for every patch: 64 labels per picture where a
caption gives one, which is what makes shapes learnable for a small transformer within minutes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from tqdm import tqdm
from transformers import Qwen3VLVisionConfig, Qwen3VLVisionModel

from models.training.encoder.pairs import jitter
from models.training.loop import Loop

FACETS = ("kind", "colour", "pattern")
_NOTHING, _UNSURE = 0, -1
_CORE = 0.72  # the share of a box, around its middle, that its item surely fills
_VALIDATE_EVERY = 200


@dataclass(frozen=True)
class Grounded:
    """N pictures with a label for every patch.

    Attributes:
        images: uint8 (N, 3, S, S).
        labels: int64 (N, F, P) for F facets and P patches, in the tower's order; 0 is "nothing
            there", -1 "do not ask".
        values: For every facet its words; label `i` means `values[facet][i - 1]`.
        settings: int64 (N,), where the scene is.
        places: The words of `settings`.
    """

    images: torch.Tensor
    labels: torch.Tensor
    values: dict[str, list[str]]
    settings: torch.Tensor
    places: list[str]


class PatchHeads(nn.Module):
    """Reads a tower's visual tokens out: facets of each patch, and the setting.

    Only stage one needs it; nothing of it is shipped.
    """

    def __init__(self, width: int, per_token: int, sizes: list[int], places: int) -> None:
        super().__init__()
        self.per_token, self.sizes = per_token, sizes
        self.patches = nn.Linear(width, per_token * sum(sizes))
        self.place = nn.Linear(width, places)

    def forward(self, tokens: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """(B, T, D) → per facet (B, T · per_token, its words + 1), and (B, places)."""
        batch = len(tokens)
        logits = self.patches(tokens).view(batch, -1, sum(self.sizes))
        return list(logits.split(self.sizes, dim=-1)), self.place(tokens.mean(dim=1))


def load_grounded(manifest: Path, config: Qwen3VLVisionConfig, size_px: int) -> Grounded:
    """Read pictures and boxes of a manifest.

    Raises:
        ValueError: A row has no `items` with boxes.
    """
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows, 1):
        if not all("box" in item for item in row.get("items", [{}])):
            raise ValueError(f"{manifest}, line {number}: needs `items` with a `box` each")
    values = {name: sorted({i[name] for row in rows for i in row["items"]}) for name in FACETS}
    places = sorted({row["attributes"]["setting"] for row in rows})
    side = size_px // int(config.patch_size)  # type: ignore[arg-type]
    labels = torch.stack([_patch_labels(row["items"], values, side) for row in rows])
    merge = config.spatial_merge_size
    blocks = labels.view(len(rows), len(FACETS), side // merge, merge, side // merge, merge)
    return Grounded(
        images=load_pictures([manifest.parent / row["image"] for row in rows], size_px),
        labels=blocks.transpose(3, 4).reshape(len(rows), len(FACETS), -1),
        values=values,
        settings=torch.tensor([places.index(row["attributes"]["setting"]) for row in rows]),
        places=places,
    )


def _patch_labels(items: list[dict], values: dict[str, list[str]], side: int) -> torch.Tensor:  # type: ignore[type-arg]
    """(F, side · side) labels in reading order."""
    centres = (torch.arange(side) + 0.5) / side
    labels = torch.full((len(FACETS), side, side), _NOTHING)
    for item in items:
        left, top, right, bottom = item["box"]
        for share in (1.0, _CORE):
            pad_x, pad_y = (right - left) * (1 - share) / 2, (bottom - top) * (1 - share) / 2
            inside = ((centres > top + pad_y) & (centres < bottom - pad_y))[:, None] & (
                (centres > left + pad_x) & (centres < right - pad_x)
            )[None]
            for facet, name in enumerate(FACETS):
                value = values[name].index(item[name]) + 1 if share < 1 else _UNSURE
                labels[facet][inside] = value
    return labels.flatten(1)


def train_vision(
    data: Grounded,
    validation: Grounded,
    config: Qwen3VLVisionConfig,
    checkpoint: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
) -> Qwen3VLVisionModel:
    """Train a vision tower, continuing from `checkpoint` where it exists.

    Returns:
        The tower; its visual tokens (`pooler_output`) tell every patch's facets linearly.
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tower = Qwen3VLVisionModel(config).to(device)  # type: ignore[arg-type]
    heads = PatchHeads(
        config.out_hidden_size,
        config.spatial_merge_size**2,
        [len(data.values[name]) + 1 for name in FACETS],
        len(data.places),
    ).to(device)
    both = nn.ModuleList([tower, heads])
    optimizer = torch.optim.AdamW(
        both.parameters(), lr=learning_rate, weight_decay=0.05, fused=True
    )
    loop = Loop("vision", both, optimizer, checkpoint)
    generator = torch.Generator().manual_seed(seed + loop.step)

    def loss_of(_: int) -> torch.Tensor:
        rows = torch.randint(len(data.images), (batch_size,), generator=generator)
        images = jitter(data.images[rows].to(device).float() / 255)
        return _loss(tower, heads, images, data.labels[rows], data.settings[rows])

    loop.run(
        loss_of,
        steps=steps,
        learning_rate=learning_rate,
        validate=lambda: patch_accuracy(tower, heads, validation),
        validate_every=_VALIDATE_EVERY,
    )
    trained: Qwen3VLVisionModel = tower
    return trained


@torch.inference_mode()
def patch_accuracy(
    tower: Qwen3VLVisionModel, heads: PatchHeads, data: Grounded, count: int = 512
) -> dict[str, float]:
    """Over the patches inside items: how often each facet is told right; and the setting."""
    right: dict[str, list[torch.Tensor]] = {name: [] for name in (*FACETS, "setting")}
    for chunk in torch.arange(min(count, len(data.images))).split(128):
        facets, place = _read(tower, heads, data.images[chunk].to(tower.device).float() / 255)
        for facet, name in enumerate(FACETS):
            labels = data.labels[chunk, facet]
            right[name].append((facets[facet].argmax(-1).cpu() == labels)[labels > 0].float())
        right["setting"].append((place.argmax(-1).cpu() == data.settings[chunk]).float())
    return {name: round(torch.cat(parts).mean().item(), 3) for name, parts in right.items()}


def _read(
    tower: Qwen3VLVisionModel, heads: PatchHeads, images: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor]:
    patch, merge = int(tower.config.patch_size), tower.config.spatial_merge_size  # type: ignore[arg-type]
    encoded = tower(to_patches(images, patch, merge), grid_thw=grid(images, patch))
    # the language model adds deepstack features to the tokens in its first layers; so do we
    tokens = torch.stack([encoded.pooler_output, *encoded.deepstack_features]).sum(dim=0)
    facets, place = heads(tokens.view(len(images), -1, tower.config.out_hidden_size))
    return facets, place


def _loss(
    tower: Qwen3VLVisionModel,
    heads: PatchHeads,
    images: torch.Tensor,
    labels: torch.Tensor,
    settings: torch.Tensor,
) -> torch.Tensor:
    facets, place = _read(tower, heads, images)
    loss = functional.cross_entropy(place, settings.to(place.device))
    for facet, logits in enumerate(facets):
        targets = labels[:, facet].to(logits.device).flatten()
        loss = loss + functional.cross_entropy(logits.flatten(0, 1), targets, ignore_index=_UNSURE)
    return loss


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
