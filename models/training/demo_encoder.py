"""Trains an encoder from image–caption pairs: contrastive, no triplets.

The objective is CLIP's (arXiv 2103.00020, §2.3): for B pictures and their captions, symmetric
cross-entropy over the (B, B) cosine similarities times a learned temperature. Every picture meets
two of its captions per step, because the text tower costs little and the picture much.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional

from models.encoder import create_untrained, save_weights
from models.training.loop import Loop
from models.training.pairs import Pairs, batches, jitter, load_pairs

_MAX_LOGIT_SCALE = math.log(100)
_VALIDATE_EVERY = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `python -m models.training demo-encoder` understands."""
    parser.add_argument("--manifest", type=Path, required=True, help="training pairs (JSONL)")
    parser.add_argument("--validation", type=Path, required=True, help="validation pairs (JSONL)")
    parser.add_argument(
        "--out", type=Path, required=True,
        help="folder with open_clip_config.json; the weights are written there",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument(
        "--group-by",
        nargs="*",
        default=[],
        metavar="FACET",
        help="facets whose values the groups of a batch share, in two batches of three",
    )
    parser.add_argument(
        "--group-from", type=float, default=0.25, help="share of the steps before the first group"
    )  # fmt: skip
    parser.add_argument(
        "--init",
        type=Path,
        help="weights (safetensors) to start from, wherever names and shapes fit",
    )
    parser.add_argument("--limit", type=int, help="use only the first N training pairs")
    parser.add_argument("--seed", type=int, default=0)


def train(options: argparse.Namespace) -> None:
    """Train, validating on the way, and write half-precision weights.

    An interrupted run continues from its last checkpoint, `<out>/checkpoint.partial`.
    """
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenize = create_untrained(options.out)
    model = model.to(device)
    size = model.visual.image_size  # type: ignore[union-attr]  # int or (height, width)
    size_px = size if isinstance(size, int) else int(size[0])  # type: ignore[index]
    pairs = load_pairs(options.manifest, tokenize, size_px, options.limit)
    validation = load_pairs(options.validation, tokenize, size_px)
    optimizer = _optimizer(model, options.learning_rate)
    loop = Loop("encoder", model, optimizer, options.out / "checkpoint.partial")
    if loop.step == 0 and options.init is not None:
        print(f"{_initialise(model, options.init)} tensors start from {options.init}")

    mixed = batches(pairs, options.batch_size, (), options.seed + loop.step)
    grouped = batches(pairs, options.batch_size, options.group_by, options.seed + loop.step + 1)
    mean, std = _normalisation(options.out, device)

    def loss_of(step: int) -> torch.Tensor:
        hard = step % 3 != 0 and step >= options.group_from * options.steps
        rows = next(grouped if hard else mixed)
        with torch.no_grad():
            model.logit_scale.clamp_(0, _MAX_LOGIT_SCALE)  # type: ignore[operator]
        images = (jitter(pairs.images[rows].to(device).float() / 255) - mean) / std
        return _contrastive_loss(model, images, _two_captions(pairs, rows).to(device))

    def validate() -> dict[str, float]:
        save_weights(model, options.out)
        return recall_at_1(model, validation, mean, std)

    loop.run(
        loss_of,
        steps=options.steps,
        learning_rate=options.learning_rate,
        validate=validate,
        validate_every=_VALIDATE_EVERY,
        final_rate=0.0,
    )


@torch.inference_mode()
def recall_at_1(
    model: torch.nn.Module, pairs: Pairs, mean: torch.Tensor, std: torch.Tensor, count: int = 1000
) -> dict[str, float]:
    """Text→image R@1: how often a canonical caption finds its picture first among `count`.

    Pictures whose caption occurred before are left out, so that one picture is right for each.

    Returns:
        `all`, and `held_out`: over the captions of combinations never trained on (same gallery).
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
    held_out = pairs.held_out[rows]
    return {
        "all": round(right.mean().item(), 4),
        "held_out": round(right[held_out].mean().item(), 4),
        "among": len(rows),
    }


def _initialise(model: torch.nn.Module, weights: Path) -> int:
    """Copy what fits from other weights; the temperature starts anew. Returns how many tensors."""
    own = model.state_dict()
    fitting = {
        name: value.float()
        for name, value in load_file(weights).items()
        if name in own and own[name].shape == value.shape and name != "logit_scale"
    }
    model.load_state_dict(fitting, strict=False)
    return len(fitting)


def _two_captions(pairs: Pairs, rows: torch.Tensor) -> torch.Tensor:
    """Two different random captions per row: int64 (2, B, T)."""
    count = pairs.tokens.shape[1]
    first = torch.randint(count, (len(rows),))
    second = (first + torch.randint(1, max(count, 2), (len(rows),))) % count
    return torch.stack([pairs.tokens[rows, first], pairs.tokens[rows, second]])


def _contrastive_loss(
    model: torch.nn.Module, images: torch.Tensor, tokens: torch.Tensor
) -> torch.Tensor:
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


def _optimizer(model: torch.nn.Module, learning_rate: float) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, as CLIP does."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip


def _normalisation(folder: Path, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    mean, std = (config["preprocess_cfg"][name] for name in ("mean", "std"))
    return (
        torch.tensor(mean, device=device).view(3, 1, 1),
        torch.tensor(std, device=device).view(3, 1, 1),
    )
