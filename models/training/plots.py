"""What a training run draws: its loss, and figures before and after."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models.metrics.bootstrap import Interval
from models.metrics.plotting import BLUE, INK, VERMILION, new_axes, style

_SMOOTHED_STEPS = 20
_DPI = 150
_BEFORE = "#8a93a3"  # grey, beside the palette's blue


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
    with style():
        figure, axes = new_axes(height_in=3.2)
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, color=BLUE, alpha=0.25, linewidth=0.8)
        width = min(_SMOOTHED_STEPS, len(losses))
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        axes.plot(steps[width - 1 :], smooth, color=BLUE, label=f"training, mean of {width}")
        if validations:
            axes.plot(*zip(*validations, strict=True), "o--", color=VERMILION, label=validated)
        axes.set(xlabel="step", ylabel="loss")
        axes.legend()
        _save(figure, path)


def plot_before_after(
    groups: Sequence[tuple[str, Interval, Interval]], axis: str, path: Path
) -> None:
    """A pair of bars with intervals for each group.

    Args:
        groups: Name, and a figure from 0 to 1 before and after.
        axis: What the figure is called.
        path: The PNG to write.
    """
    with style():
        figure, axes = new_axes(height_in=0.6 + 0.5 * len(groups))
        places = np.arange(len(groups))[::-1]
        for offset, colour, label, figures in (
            (0.2, _BEFORE, "before", [before for _, before, _ in groups]),
            (-0.2, BLUE, "after", [after for _, _, after in groups]),
        ):
            values = np.array([one.mean for one in figures])
            spread = [values - [o.low for o in figures], [o.high for o in figures] - values]
            axes.barh(
                places + offset, values, 0.38, xerr=np.maximum(spread, 0), color=colour,
                label=label,
            )  # fmt: skip
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlim=(0, 1), xlabel=axis)
        axes.set_yticks(places, [name for name, _, _ in groups])
        figure.legend(loc="outside upper right", ncols=2)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DPI, facecolor="white")
