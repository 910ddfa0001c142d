"""Stages two and three: the language side learns to answer, to compose, and, by LoRA, to judge.

The vision tower is done by then and stays frozen, so its features are computed once per picture
and kept in memory; a step costs the language model alone.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from models.training.judge.lessons import IGNORED, Batch
from models.training.judge.pictures import grid, to_patches

_REPORT_EVERY, _SAVE_EVERY, _WARMUP_STEPS = 20, 100, 60


@dataclass(frozen=True)
class SeenPictures:
    """Visual tokens of N pictures, and what deepstack adds, both float16 (N, T, D)."""

    tokens: Tensor
    deepstack: list[Tensor]

    def pick(self, rows: list[int], device: torch.device) -> "EncoderOutput":
        """As the vision tower would give them."""
        chosen = torch.tensor(rows)
        return EncoderOutput(
            tuple(self.tokens[chosen].float().to(device)),
            [tuple(level[chosen].float().to(device)) for level in self.deepstack],
        )


@dataclass
class EncoderOutput:
    """The part of transformers' vision output that its language side reads."""

    pooler_output: tuple[Tensor, ...]
    deepstack_features: list[tuple[Tensor, ...]]


@torch.no_grad()
def see(tower: Any, images: Tensor) -> SeenPictures:
    """Run a vision tower over uint8 pictures (N, 3, S, S)."""
    patch, merge = tower.config.patch_size, tower.config.spatial_merge_size
    parts: list[list[Tensor]] = []
    for chunk in tqdm(torch.split(images, 256), "see", unit="batch"):
        pixels = chunk.to(tower.device).float() / 255
        seen = tower(to_patches(pixels, patch, merge), grid_thw=grid(pixels, patch))
        levels = [seen.pooler_output, *seen.deepstack_features]
        parts.append([level.view(len(chunk), -1, level.shape[-1]).half().cpu() for level in levels])
    tokens, *deepstack = (torch.cat(level) for level in zip(*parts, strict=True))
    return SeenPictures(tokens, deepstack)


def answer_loss(model: Any, batch: Batch, seen: SeenPictures) -> tuple[Tensor, Tensor]:
    """Cross-entropy of what was asked for; the vocabulary is only projected there.

    Returns:
        The mean loss, and whether each asked-for token was the likeliest: bool (asked,).
    """
    device = model.device
    hidden = model.model(
        input_ids=batch.ids.to(device),
        position_ids=batch.positions.to(device),
        attention_mask=torch.where(batch.mask, 0.0, torch.finfo(torch.float32).min).to(device),
        use_cache=False,
        mm_encoder_outputs={"image": seen.pick(batch.pictures, device)},
    ).last_hidden_state
    wanted = batch.labels[:, 1:].to(device)
    asked = wanted != IGNORED
    logits = model.lm_head(hidden[:, :-1][asked])
    loss = functional.cross_entropy(logits, wanted[asked])
    return loss, logits.argmax(-1) == wanted[asked]


def train_language(
    name: str,
    model: Any,
    batches: Iterator[Batch],
    seen: SeenPictures,
    checkpoint: Path,
    *,
    steps: int,
    learning_rate: float,
    validate: Callable[[], str],
) -> None:
    """Train all parameters that require gradients, continuing from `checkpoint` if it is there."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        with torch.no_grad():
            for parameter, value in zip(parameters, saved["parameters"], strict=True):
                parameter.copy_(value)
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    model.train()
    started, running, right = time.monotonic(), 0.0, 0.0
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _schedule(step, steps)
        loss, correct = answer_loss(model, next(batches), seen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        running, right = running + loss.item(), right + correct.float().mean().item()
        if (step + 1) % _REPORT_EVERY == 0:
            pace = (time.monotonic() - started) / (step + 1 - first)
            print(
                f"{name} {step + 1}/{steps} loss {running / _REPORT_EVERY:.3f} "
                f"right {right / _REPORT_EVERY:.3f} {pace:.2f} s/step "
                f"{(steps - step - 1) * pace / 60:.0f} min left",
                flush=True,
            )
            running, right = 0.0, 0.0
        if (step + 1) % _SAVE_EVERY == 0 or step + 1 == steps:
            model.eval()
            print(f"  validation {validate()}", flush=True)
            model.train()
            state = {
                "parameters": [p.detach() for p in parameters],
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
    model.eval()


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    if step < _WARMUP_STEPS:
        return (step + 1) / _WARMUP_STEPS
    done = (step - _WARMUP_STEPS) / max(1, steps - _WARMUP_STEPS)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))
