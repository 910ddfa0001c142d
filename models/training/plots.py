"""The loss of a training run as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

_BLUE, _VERMILION = "#0072b2", "#d55e00"
_SMOOTHED = 20  # steps


def plot_loss(
    losses: Sequence[float],
    validations: Sequence[tuple[int, float]],
    path: Path,
    validated: str = "validation",
) -> None:
    """Training loss (and its running mean), and validation loss, against steps.

    Args:
        losses: One per step.
        validations: Steps, and the loss after them.
        path: The PNG to write.
        validated: What that loss is called.
    """
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        axes = figure.subplots()
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, color=_BLUE, alpha=0.25, linewidth=0.8)
        width = min(_SMOOTHED, len(losses))
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        axes.plot(steps[width - 1 :], smooth, color=_BLUE, label=f"training, mean of {width}")
        if validations:
            axes.plot(*zip(*validations, strict=True), "o--", color=_VERMILION, label=validated)
        axes.set(xlabel="step", ylabel="loss")
        axes.legend(frameon=False)
        figure.savefig(path, dpi=150, facecolor="white")
