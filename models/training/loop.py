"""The loop every stage of training runs in: schedule, clipping, progress, checkpoints."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

_SHOWN_LOSSES = 20  # the progress bar shows the mean of so many


class Loop:
    """A model with its optimizer, at the step its checkpoint says.

    Attributes:
        step: Steps done; above 0 where a checkpoint was found.
        losses: The loss of every step, from the very first.
        validations: After how many steps, and what `validate` returned.
    """

    def __init__(
        self, name: str, model: nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Path
    ) -> None:
        """Load `checkpoint`, if it is there, into the model's trained parameters and buffers.

        Raises:
            RuntimeError: The checkpoint is of another model.
        """
        self._name, self._model, self._optimizer = name, model, optimizer
        self._checkpoint = checkpoint
        frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
        self._trained = [key for key in model.state_dict() if key not in frozen]
        self.step = 0
        self.losses: list[float] = []
        self.validations: list[tuple[int, Any]] = []
        if checkpoint.exists():
            saved = torch.load(checkpoint, weights_only=True)
            model.load_state_dict({**model.state_dict(), **saved["model"]})
            optimizer.load_state_dict(saved["optimizer"])
            self.step = saved["step"]
            self.losses, self.validations = saved["losses"], saved["validations"]
            print(f"{name}: continuing after step {self.step}", flush=True)

    def run(
        self,
        loss_of: Callable[[int], Tensor],
        *,
        steps: int,
        learning_rate: float,
        validate: Callable[[], object],
        validate_every: int,
        final_rate: float = 0.05,
        warmup_steps: int = 100,
        accumulate: int = 1,
    ) -> None:
        """Train to `steps`; validate and save on the way and at the end.

        Args:
            loss_of: Number of a batch, counted from the very first → its loss, a scalar.
            steps: Where to stop, counted from the very first step.
            learning_rate: The highest; reached after a linear warm-up, left in a cosine.
            validate: What it returns (plain numbers, text, lists or dicts of them) is printed and
                kept; it may change the model's mode.
            validate_every: Steps between two checkpoints.
            final_rate: The learning rate at the end, as a share of the highest.
            warmup_steps: How long the learning rate rises.
            accumulate: Batches per step; their mean gradient is what a step follows.
        """
        trained = [p for p in self._model.parameters() if p.requires_grad]
        self._model.train()
        progress = tqdm(
            range(self.step, steps), self._name, initial=self.step, total=steps, unit="step"
        )
        for step in progress:
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate * _schedule(step, steps, final_rate, warmup_steps)
            self._optimizer.zero_grad(set_to_none=True)
            self.losses.append(self._backward(loss_of, step * accumulate, accumulate))
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            self._optimizer.step()
            self.step = step + 1
            recent = self.losses[-_SHOWN_LOSSES:]
            progress.set_postfix(loss=f"{sum(recent) / len(recent):.3f}", refresh=False)
            if self.step % validate_every == 0 or self.step == steps:
                self._model.eval()
                self.validations.append((self.step, validate()))
                progress.write(f"{self._name} {self.step}: validation {self.validations[-1][1]}")
                self._model.train()
                self._save()
        self._model.eval()

    @staticmethod
    def _backward(loss_of: Callable[[int], Tensor], first: int, accumulate: int) -> float:
        """Add up the gradients of some batches; returns their mean loss."""
        total = 0.0
        for number in range(first, first + accumulate):
            loss = loss_of(number) / accumulate
            loss.backward()
            total += loss.item()
        return total

    def _save(self) -> None:
        state = self._model.state_dict()
        saved = {
            "model": {key: state[key] for key in self._trained},
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
            "validations": self.validations,
        }
        unfinished = self._checkpoint.with_suffix(".tmp")
        torch.save(saved, unfinished)
        unfinished.replace(self._checkpoint)


def _schedule(step: int, steps: int, final_rate: float, warmup_steps: int) -> float:
    """Linear warm-up, then a cosine down to `final_rate`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return final_rate + (1 - final_rate) * 0.5 * (1 + math.cos(math.pi * done))
