"""The loop every stage of training runs in: schedule, clipping, reports, checkpoints."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

_WARMUP_STEPS, _REPORT_EVERY = 100, 20


class Loop:
    """A model with its optimizer, at the step its checkpoint says.

    Attributes:
        step: Steps done; above 0 where a checkpoint was found.
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
        if checkpoint.exists():
            saved = torch.load(checkpoint, weights_only=True)
            model.load_state_dict({**model.state_dict(), **saved["model"]})
            optimizer.load_state_dict(saved["optimizer"])
            self.step = saved["step"]
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
    ) -> None:
        """Train to `steps`; validate and save on the way and at the end.

        Args:
            loss_of: Step number → the loss of its batch, a scalar.
            steps: Where to stop, counted from the very first step.
            learning_rate: The highest; reached after a linear warm-up, left in a cosine.
            validate: What it returns is printed; it may change the model's mode.
            validate_every: Steps between two checkpoints.
            final_rate: The learning rate at the end, as a share of the highest.
        """
        first, started, running = self.step, time.monotonic(), 0.0
        trained = [p for p in self._model.parameters() if p.requires_grad]
        self._model.train()
        for step in range(first, steps):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate * _schedule(step, steps, final_rate)
            loss = loss_of(step)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            self._optimizer.step()
            self.step, running = step + 1, running + loss.item()
            if self.step % _REPORT_EVERY == 0:
                pace = (time.monotonic() - started) / (self.step - first)
                print(
                    f"{self._name} {self.step}/{steps} loss {running / _REPORT_EVERY:.3f} "
                    f"{pace:.2f} s/step {(steps - self.step) * pace / 60:.0f} min left",
                    flush=True,
                )
                running = 0.0
            if self.step % validate_every == 0 or self.step == steps:
                self._model.eval()
                print(f"  validation {validate()}", flush=True)
                self._model.train()
                self._save()
        self._model.eval()

    def _save(self) -> None:
        state = self._model.state_dict()
        saved = {
            "model": {key: state[key] for key in self._trained},
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }
        unfinished = self._checkpoint.with_suffix(".tmp")
        torch.save(saved, unfinished)
        unfinished.replace(self._checkpoint)


def _schedule(step: int, steps: int, final_rate: float) -> float:
    """Linear warm-up, then a cosine down to `final_rate`."""
    if step < _WARMUP_STEPS:
        return (step + 1) / _WARMUP_STEPS
    done = (step - _WARMUP_STEPS) / max(1, steps - _WARMUP_STEPS)
    return final_rate + (1 - final_rate) * 0.5 * (1 + math.cos(math.pi * done))
