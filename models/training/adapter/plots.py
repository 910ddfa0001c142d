"""The two pictures of an adapter's card: its loss, and what it tells apart before and after."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from models.training.adapter.exam import Comparison

_WIDTH_IN, _DPI = 7.2, 150
_BEFORE, _AFTER = "#8a93a3", "#0072b2"
_SMOOTHED = 20  # steps


def plot_loss(
    losses: Sequence[float], validations: Sequence[tuple[int, float]], path: Path
) -> None:
    """Training loss (and its running mean), and validation loss, against steps."""
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(_WIDTH_IN, 3.2), layout="constrained")
        axes = figure.subplots()
        steps = np.arange(1, len(losses) + 1)
        axes.plot(steps, losses, color=_AFTER, alpha=0.25, linewidth=0.8)
        width = min(_SMOOTHED, len(losses))
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        axes.plot(steps[width - 1 :], smooth, color=_AFTER, label=f"training, mean of {width}")
        if validations:
            axes.plot(*zip(*validations, strict=True), "o--", color="#d55e00", label="validation")
        axes.set(xlabel="step", ylabel="loss")
        axes.legend(frameon=False)
        figure.savefig(path, dpi=_DPI, facecolor="white")


def plot_areas(comparisons: Sequence[Comparison], path: Path) -> None:
    """AUC before and after, with intervals, one pair of bars for each group of one way."""
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(_WIDTH_IN, 0.6 + 0.5 * len(comparisons)), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(comparisons))[::-1]
        for offset, colour, name in ((0.2, _BEFORE, "before"), (-0.2, _AFTER, "after")):
            figures = [c.auc_before if name == "before" else c.auc_after for c in comparisons]
            values = np.array([one.value for one in figures])
            spread = [values - [o.low for o in figures], [o.high for o in figures] - values]
            axes.barh(
                places + offset, values, 0.38, xerr=np.maximum(spread, 0), color=colour, label=name
            )
        axes.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlim=(0, 1), xlabel="AUC of yes against no (0.5: guessing)")
        axes.set_yticks(places, [f"{c.group} ({c.queries})" for c in comparisons])
        figure.legend(loc="outside upper right", ncols=2, frameon=False)
        figure.savefig(path, dpi=_DPI, facecolor="white")
