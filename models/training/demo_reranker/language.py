"""Stages two and three: the language side learns to answer, to compose, and, by LoRA, to rerank.

The vision tower is done by then and stays frozen, so its features are computed once per picture
and kept in memory; a step costs the language model alone.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from models.reranker.architectures.base import EncoderOutput
from models.training.demo_reranker.batches import PictureBatch, RowWriter, question_row
from models.training.demo_reranker.data import DemoData, Negatives
from models.training.demo_reranker.vision import grid, to_patches
from models.training.loop import Loop
from models.training.packing import IGNORED, collate

_VALIDATE_EVERY = 100


@dataclass(frozen=True)
class PictureFeatures:
    """Visual tokens of N pictures, and what deepstack adds, both float16 (N, T, D)."""

    tokens: Tensor
    deepstack: list[Tensor]

    def pick(self, rows: list[int], device: torch.device) -> EncoderOutput:
        """As the vision tower would give them."""
        chosen = torch.tensor(rows)
        return EncoderOutput(
            tuple(self.tokens[chosen].float().to(device)),
            [tuple(level[chosen].float().to(device)) for level in self.deepstack],
        )


@torch.no_grad()
def extract_features(tower: Any, images: Tensor) -> PictureFeatures:
    """Run a vision tower over uint8 pictures (N, 3, S, S)."""
    patch, merge = tower.config.patch_size, tower.config.spatial_merge_size
    parts: list[list[Tensor]] = []
    for chunk in tqdm(torch.split(images, 256), "features", unit="batch"):
        pixels = chunk.to(tower.device).float() / 255
        encoded = tower(to_patches(pixels, patch, merge), grid_thw=grid(pixels, patch))
        levels = [encoded.pooler_output, *encoded.deepstack_features]
        parts.append([level.view(len(chunk), -1, level.shape[-1]).half().cpu() for level in levels])
    tokens, *deepstack = (torch.cat(level) for level in zip(*parts, strict=True))
    return PictureFeatures(tokens, deepstack)


def answer_loss(
    model: Any, batch: PictureBatch, features: PictureFeatures
) -> tuple[Tensor, Tensor]:
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
        mm_encoder_outputs={"image": features.pick(batch.pictures, device)},
    ).last_hidden_state
    targets = batch.labels[:, 1:].to(device)
    asked = targets != IGNORED
    logits = model.lm_head(hidden[:, :-1][asked])
    loss = functional.cross_entropy(logits, targets[asked])
    return loss, logits.argmax(-1) == targets[asked]


def train_language(
    name: str,
    model: Any,
    batches: Iterator[PictureBatch],
    features: PictureFeatures,
    checkpoint: Path,
    *,
    steps: int,
    learning_rate: float,
    validate: Callable[[], str],
) -> None:
    """Train all parameters that require gradients, continuing from `checkpoint` if it is there."""
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True,
    )  # fmt: skip
    Loop(name, model, optimizer, checkpoint).run(
        lambda _: answer_loss(model, next(batches), features)[0],
        steps=steps,
        learning_rate=learning_rate,
        validate=validate,
        validate_every=_VALIDATE_EVERY,
    )


def make_evaluator(
    model: Any, validation: DemoData, writer: RowWriter, features: PictureFeatures
) -> Callable[[], str]:
    """Evaluates the same validation rows every time: questions, intents, candidates."""
    rng = random.Random(7)
    queries = rng.sample(validation.queries, min(64, len(validation.queries)))
    negatives = Negatives(validation)
    questions = collate([question_row(validation, writer, rng) for _ in range(48)])
    intents = collate([writer.query(query, []) for query in queries])
    scored = {
        shows: collate(
            [
                writer.query(
                    query,
                    [(rng.choice(sorted(query.answers)), True)]
                    + [(n, False) for n in negatives.draw(query, 3, rng)],
                    shows_target=shows,
                    asks_intent=False,
                )
                for query in queries
            ]
        )
        for shows in (True, False)
    }

    @torch.inference_mode()
    def evaluate() -> str:
        right = answer_loss(model, questions, features)[1].float().mean()
        exact = _rows_all_right(intents, answer_loss(model, intents, features)[1])
        with_target, without = (
            answer_loss(model, scored[shows], features)[1].float().mean() for shows in (True, False)
        )
        return (
            f"questions {right:.3f} intents word for word {exact:.3f} "
            f"candidates {with_target:.3f}, target hidden {without:.3f}"
        )

    return evaluate


def _rows_all_right(batch: PictureBatch, correct: torch.Tensor) -> float:
    """The share of rows in which every asked-for token was the likeliest."""
    asked = (batch.labels[:, 1:] >= 0).nonzero()[:, 0]
    wrong = torch.zeros(len(batch.labels)).index_add_(0, asked, (~correct.cpu()).float())
    return float((wrong == 0).float().mean())
