"""The report's plots: results to figures. Nothing is shown on a display or written to a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from indexer.evaluation.report.examples import balance
from indexer.evaluation.results import Results, Row, Run, recall_curve
from indexer.evaluation.types import Configuration
from models.metrics.bootstrap import Interval
from models.metrics.plotting import BLUE, GREEN, INK, ORANGE, VERMILION, new_axes, style

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
    if results.families:
        made.append(
            Plot(
                "by_family",
                "By family of phrasings, the share of queries whose first result is right "
                f"(bars, {bars.removeprefix('bars are ').removesuffix('.')}), and those with a "
                f"right one among the first {results.benchmark.depth} (dots).",
                draw_families(results),
            )
        )
        made.append(
            Plot(
                "flags",
                f"{results.best.name}, by family of phrasings: the share of wrong and of right "
                "first results that say they may not be what was meant.",
                draw_flags(results, results.best),
            )
        )
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
            places = np.array(shown) + (number - (len(rows) - 1) / 2) * step
            scores = [row.kinds[kinds[place]].interval for place in shown]
            _bars(axes, places, scores, 0.9 * step, mark, row.configuration.name)
        _name_kinds(axes, [f"{kind} ({len(results.kinds[kind])})" for kind in kinds])
        axes.set(xlabel=f"mean {benchmark.headline}", ylabel="kind (queries)")
        axes.set_title(f"{benchmark.name}: {benchmark.headline} by kind")
        figure.legend(loc="outside right upper")
    return figure


def draw_families(results: Results) -> Figure:
    """recall@1 by family of phrasings, a group of bars per family; dots: recall at full depth."""
    families, depth = list(next(iter(results.families.values()))), results.benchmark.depth
    configurations = [run.configuration for run in results.runs]
    step = 0.8 / len(configurations)
    with style():
        figure, axes = new_axes(1.2 + len(families) * (0.15 + 0.14 * len(configurations)))
        for number, configuration in enumerate(configurations):
            mark = look(configurations, configuration)
            figures = results.families[configuration.name]
            places = np.arange(len(families)) + (number - (len(configurations) - 1) / 2) * step
            first = [figures[family].recalls["recall@1"].interval for family in families]
            deep = [figures[family].recalls[f"recall@{depth}"].interval.mean for family in families]
            _bars(axes, places, first, 0.9 * step, mark, configuration.name)
            axes.plot(deep, places, "o", color=mark.colour, markeredgecolor=INK, markersize=4)
        counts = next(iter(results.families.values()))
        _name_kinds(axes, [f"{name} ({counts[name].queries})" for name in families])
        axes.set(xlabel=f"recall@1 (bars), recall@{depth} (dots)", ylabel="family (queries)")
        axes.set_xlim(0, 1.02)
        axes.set_title(f"{results.benchmark.name}: by family of phrasings")
        figure.legend(loc="outside right upper")
    return figure


def draw_flags(results: Results, run: Run) -> Figure:
    """Share of a run's wrong and right first results that are flagged, by family."""
    figures = results.families[run.name]
    with style():
        figure, axes = new_axes(1.4 + 0.42 * len(figures))
        for shift, colour, label, counts in (
            (
                -0.2,
                GREEN,
                "wrong, flagged",
                [(f.flags.wrong_flagged, f.flags.wrong) for f in figures.values()],
            ),
            (
                0.2,
                VERMILION,
                "right, flagged",
                [(f.flags.right_flagged, f.flags.right) for f in figures.values()],
            ),
        ):
            shares = [part / whole if whole else 0 for part, whole in counts]
            bars = axes.barh(
                np.arange(len(figures)) + shift, shares, 0.38, color=colour, label=label
            )
            labels = [f"{part} of {whole}" if whole else "none" for part, whole in counts]
            axes.bar_label(bars, labels, padding=3, fontsize="small")
        _name_kinds(axes, list(figures))
        axes.set(xlabel="share of the first results", ylabel="family", xlim=(0, 1.25))
        axes.set_xticks(np.linspace(0, 1, 6))  # the labels stand beyond
        axes.set_title(f"{run.name}: answers that say they may be wrong")
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


def _bars(
    axes: Axes,
    places: NDArray[np.floating[Any]],
    scores: Sequence[Interval],
    height: float,
    mark: "Look",
    label: str,
) -> None:
    """Horizontal bars, one per score, with its interval."""
    axes.barh(
        places,
        [score.mean for score in scores],
        height=height,
        xerr=np.transpose([(s.mean - s.low, s.high - s.mean) for s in scores]),
        error_kw={"ecolor": INK, "elinewidth": 0.8},
        color=mark.colour,
        hatch=mark.hatch,
        label=label,
    )


def _name_kinds(axes: Axes, names: Sequence[str]) -> None:
    """The first kind on top, as in the tables."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, "#cc79a7", "#56b4e9")
_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "^", "D")
_HATCHES = ("", "///", "xxx", "---")


@dataclass(frozen=True)
class Look:
    """How a configuration is drawn wherever it is drawn."""

    colour: str
    line: str
    marker: str
    hatch: str


def look(configurations: Sequence[Configuration], one: Configuration) -> Look:
    """Colour by composition; line, marker and hatch by rerank depth and attribute check.

    These differ in more than colour: who sees few colours, or prints in grey, loses nothing.
    """
    compositions = list(dict.fromkeys(c.composition for c in configurations))
    ways = sorted({(c.rerank_depth, not c.attribute_check) for c in configurations})
    colour = _COLOURS[compositions.index(one.composition) % len(_COLOURS)]
    way = ways.index((one.rerank_depth, not one.attribute_check)) % len(_LINES)
    return Look(colour, _LINES[way], _MARKERS[way], _HATCHES[way])
