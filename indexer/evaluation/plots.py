"""The report's plots: results to figures. Nothing is shown on a display or written to a file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from indexer.evaluation.kind_plots import draw_balance, draw_kinds
from indexer.evaluation.plot_style import INK, look, new_axes, style
from indexer.evaluation.results import Results, recall_curve
from indexer.evaluation.rows import Row

_LOG_FROM = 10  # an axis that spans more than 1 : 10 is logarithmic
_HEIGHT_IN = 4.0


@dataclass(frozen=True)
class Plot:
    """A figure, the name of its files, and a sentence that says what it shows."""

    stem: str
    caption: str
    figure: Figure


def overview_plots(results: Results) -> list[Plot]:
    """Plots of all configurations together; none where the answers are secret."""
    if not results.best:
        return []
    headline, bars = results.benchmark.headline, "bars are 95 % bootstrap intervals over queries."
    made = [
        Plot(
            "recall_curve",
            "Share of the queries with a right answer among the first K results.",
            draw_recall(results),
        ),
        Plot(
            "quality_latency",
            f"Mean {headline} against the median latency; {bars}",
            draw_quality_latency(results),
        ),
    ]
    if results.kinds:
        caption = f"Mean {headline} by kind of query; {bars}"
        made.append(Plot("by_kind", caption, draw_kinds(results)))
    return made


def baseline_plots(results: Results) -> list[Plot]:
    """A plot of wins and losses per configuration but the baseline; none without a headline."""
    if not results.best:
        return []
    baseline = results.baseline
    caption = f"Queries with a higher or lower {results.benchmark.headline} than {baseline.name}."
    return [
        Plot(f"wins_losses_{run.name}", caption, draw_balance(results, run))
        for run in results.runs
        if run is not baseline
    ]


def draw_recall(results: Results) -> Figure:
    """recall@K for K = 1..depth, a line per configuration."""
    benchmark = results.benchmark
    ranks = np.arange(1, benchmark.depth + 1)
    configurations = [run.configuration for run in results.runs]
    with style():
        figure, axes = new_axes(_HEIGHT_IN)
        for run in results.runs:
            mark = look(configurations, run.configuration)
            recalls = recall_curve(results, run)  # (depth,)
            axes.plot(ranks, recalls, mark.line, color=mark.colour, label=run.name)
        _spread(axes, [1, benchmark.depth])
        axes.set(xlabel="K (results looked at)", ylabel="recall@K", ylim=(0, 1.02))
        axes.set_title(f"{benchmark.name}: recall@K")
        figure.legend(loc="outside right upper")
    return figure


def draw_quality_latency(results: Results) -> Figure:
    """Headline against p50 latency; a thin line joins the rerank depths of a composition."""
    headline = results.benchmark.headline
    rows = [row for row in results.rows if headline in row.measures]
    with style():
        figure, axes = new_axes(_HEIGHT_IN)
        for composition in dict.fromkeys(row.configuration.composition for row in rows):
            same = [row for row in rows if row.configuration.composition == composition]
            same.sort(key=lambda row: row.configuration.rerank_depth)
            means = [row.measures[headline].interval.mean for row in same]
            axes.plot([row.latency.p50_ms for row in same], means, color=INK, lw=0.6, alpha=0.5)
        for row in rows:
            _point(axes, rows, row, headline)
        _spread(axes, [row.latency.p50_ms for row in rows])
        axes.set(xlabel="p50 latency (ms)", ylabel=f"mean {headline}")
        axes.set_title(f"{results.benchmark.name}: quality against latency")
        figure.legend(loc="outside right upper")
    return figure


def _point(axes: Axes, rows: Sequence[Row], row: Row, headline: str) -> None:
    mark = look([row.configuration for row in rows], row.configuration)
    score = row.measures[headline].interval
    axes.errorbar(
        row.latency.p50_ms,
        score.mean,
        yerr=[[score.mean - score.low], [score.high - score.mean]],
        fmt=mark.marker,
        color=mark.colour,
        capsize=3,
        label=row.configuration.name,
    )


def _spread(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis with readable ticks where the values span a wide range."""
    if not 0 < _LOG_FROM * min(values) < max(values):
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
