"""Plots by kind of query: the headline itself, and what a run wins and loses."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from indexer.evaluation.examples import balance
from indexer.evaluation.plot_style import BLUE, INK, VERMILION, look, new_axes, style
from indexer.evaluation.results import Results, Run

MAX_KINDS = 20  # more do not fit a page; the tables have them all


def draw_kinds(results: Results) -> Figure:
    """The headline by kind of query: a group of horizontal bars per kind, one per configuration."""
    benchmark, rows = results.benchmark, results.rows
    kinds = list(results.kinds)[:MAX_KINDS]
    step = 0.8 / len(rows)
    with style():
        figure, axes = new_axes(1.2 + len(kinds) * (0.15 + 0.14 * len(rows)))
        for number, row in enumerate(rows):
            mark = look([row.configuration for row in rows], row.configuration)
            shown = [place for place, kind in enumerate(kinds) if kind in row.kinds]
            scores = [row.kinds[kinds[place]].interval for place in shown]
            axes.barh(
                np.array(shown) + (number - (len(rows) - 1) / 2) * step,
                [score.mean for score in scores],
                height=0.9 * step,
                xerr=np.transpose([(s.mean - s.low, s.high - s.mean) for s in scores]),
                error_kw={"ecolor": INK, "elinewidth": 0.8},
                color=mark.colour,
                hatch=mark.hatch,
                label=row.configuration.name,
            )
        _name_kinds(axes, [f"{kind} ({len(results.kinds[kind])})" for kind in kinds])
        axes.set(xlabel=f"mean {benchmark.headline}", ylabel="kind (queries)")
        axes.set_title(f"{benchmark.name}: {benchmark.headline} by kind")
        figure.legend(loc="outside right upper")
    return figure


def draw_balance(results: Results, run: Run) -> Figure:
    """Share of the queries that a run wins and loses against the baseline, by kind."""
    balances = dict(list(balance(results, run).items())[: MAX_KINDS + 1])
    queries = np.array([one.queries for one in balances.values()])
    wins = np.array([one.wins for one in balances.values()])
    losses = np.array([one.losses for one in balances.values()])
    with style():
        figure, axes = new_axes(1.4 + 0.3 * len(balances))
        for counts, sign, colour, label in (
            (wins, 1, BLUE, "higher"),
            (losses, -1, VERMILION, "lower"),
        ):
            bars = axes.barh(
                range(len(balances)), sign * counts / queries, 0.7, color=colour, label=label
            )
            axes.bar_label(
                bars, [f"{count or ''}" for count in counts], padding=3, fontsize="small"
            )
        _name_kinds(axes, [f"{kind} ({one.queries})" for kind, one in balances.items()])
        axes.axvline(0, color=INK, lw=0.8)
        axes.margins(x=0.1)  # room for the counts
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{abs(share):.0%}"))
        axes.set(xlabel="share of the kind's queries", ylabel="kind (queries)")
        axes.set_title(f"{run.name} against {results.baseline.name}: {results.benchmark.headline}")
        figure.legend(loc="outside right upper")
    return figure


def _name_kinds(axes: Axes, names: Sequence[str]) -> None:
    """The first kind on top, as in the tables."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
