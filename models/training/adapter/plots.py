"""The picture of an adapter's worth: what a judge tells apart before and after."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from models.training.adapter.exam import Comparison

_WIDTH_IN, _DPI = 7.2, 150
_BEFORE, _AFTER = "#8a93a3", "#0072b2"


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
