"""Trains an encoder from image–caption pairs: contrastive, no triplets.

The objective is CLIP's (arXiv 2103.00020, §2.3): for B pictures and their captions, symmetric
cross-entropy over the (B, B) cosine similarities times a learned temperature. Every picture meets
two of its captions per step, because the text tower costs little and the picture much.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

from models.encoder.checkpoints import create_untrained, save_weights
from models.training.encoder.contrastive import (
    adamw,
    clamp_temperature,
    contrastive_loss,
    image_size_px,
    normalisation,
    recall_at_1,
    two_captions,
)
from models.training.encoder.pairs import batches, jitter, load_pairs
from models.training.loop import Loop
from models.training.options import DemoEncoderOptions
from models.training.run_identity import fingerprint, state_path

_VALIDATE_EVERY = 100


def train(options: DemoEncoderOptions) -> None:
    """Train, validating on the way, and write half-precision weights.

    An interrupted run continues from its last checkpoint, `<out>/checkpoint-….partial`; with other
    settings or data it is another run, which begins anew.
    """
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenize = create_untrained(options.out)
    model = model.to(device)
    size_px = image_size_px(model)
    pairs = load_pairs(options.manifest, tokenize, size_px, options.limit)
    validation = load_pairs(options.validation, tokenize, size_px)
    optimizer = adamw(model, options.learning_rate)
    settings = (
        options.steps, options.batch_size, options.learning_rate, options.group_by,
        options.group_from, options.seed,
    )  # fmt: skip
    data = (options.manifest, pairs.images, options.validation, validation.images)
    made = fingerprint(model.state_dict(), options.init, *data, settings)
    loop = Loop(
        "encoder", model, optimizer, state_path(options.out, "checkpoint", made, ".partial")
    )
    if loop.step == 0 and options.init is not None:
        print(f"{_initialise(model, options.init)} tensors start from {options.init}")

    mixed = batches(pairs, options.batch_size, (), options.seed + loop.step)
    grouped = batches(pairs, options.batch_size, options.group_by, options.seed + loop.step + 1)
    mean, std = normalisation(model)

    def loss_of(step: int) -> torch.Tensor:
        hard = step % 3 != 0 and step >= options.group_from * options.steps
        rows = next(grouped if hard else mixed)
        clamp_temperature(model)
        images = (jitter(pairs.images[rows].to(device).float() / 255) - mean) / std
        return contrastive_loss(model, images, two_captions(pairs, rows).to(device))

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
