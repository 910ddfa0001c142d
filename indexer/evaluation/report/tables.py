"""The report's tables, as text: the same figures in Markdown, HTML and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.evaluation.results import ALL_FAMILIES, Results, Row, Score
from models.metrics.bootstrap import Interval

LEGEND = "[low, high] is a 95 % bootstrap interval over queries."
FLAGS_LEGEND = (
    "Flagged: the answer says that words were not understood or that nothing fits. A first result "
    "to a text that asks for what no attribute holds, such as a size, counts as wrong here."
)
_NONE = "–"


@dataclass(frozen=True)
class Table:
    """Cells as they are printed; the first column names the line."""

    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """A Markdown table whose columns also line up as plain text; ends with a newline."""
        lines = [[markdown_text(cell) for cell in line] for line in (self.header, *self.lines)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "".join(_markdown_line(line, widths) for line in [lines[0], ruler, *lines[1:]])


def markdown_text(text: str) -> str:
    """Text that Markdown prints as it is, inside a table too."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return plain.replace("|", "\\|")


def score_table(results: Results, *, brief: bool = False) -> Table:
    """Configurations × measures, the headline first, latency and degraded answers.

    Args:
        results: The evaluation.
        brief: Only the headline has its interval, which fits a terminal.
    """
    headline, baseline = results.benchmark.headline, results.baseline.name
    names = list(dict.fromkeys(name for row in results.rows for name in _scores_of(row)))
    names.sort(key=lambda name: name != headline)
    header = ["configuration", *names, "p50 ms", "p95 ms", "degraded", "queries"]
    lines = []
    for row in results.rows:
        cells = [
            _cell(_scores_of(row).get(name), with_interval=not brief or name == headline)
            for name in names
        ]
        times = [f"{row.latency.p50_ms:.0f}", f"{row.latency.p95_ms:.0f}"]
        lines.append([row.configuration.name, *cells, *times, str(row.degraded), str(row.queries)])
    if headline in names and len(results.rows) > 1:
        header.insert(2, f"{headline} vs {baseline}")
        for line, row in zip(lines, results.rows, strict=True):
            line.insert(2, _signed(row.difference.interval) if row.difference else _NONE)
    return Table(tuple(header), tuple(map(tuple, lines)))


def kind_table(results: Results) -> Table:
    """Kinds of query × configurations: the headline. No lines without a headline or kinds."""
    kinds = [kind for kind in results.kinds if any(kind in row.kinds for row in results.rows)]
    lines = []
    for kind in kinds:
        scores = [row.kinds.get(kind) for row in results.rows]
        queries = max(score.queries for score in scores if score)
        lines.append((kind, str(queries), *(_cell(score) for score in scores)))
    names = [row.configuration.name for row in results.rows]
    return Table(("kind", "queries", *names), tuple(lines))


def family_table(results: Results) -> Table:
    """Families × configurations: recalls, and flags among wrong and right first results. No lines
    where the benchmark tells no families apart.
    """
    runs = list(results.families.values())
    recalls = list(runs[0][ALL_FAMILIES].recalls) if runs else []
    lines = []
    for family in runs[0] if runs else ():
        for run, families in results.families.items():
            figures = families[family]
            flags = figures.flags
            lines.append(
                (
                    family, run, str(figures.queries),
                    *(_cell(figures.recalls.get(name)) for name in recalls),
                    _share(flags.wrong_flagged, flags.wrong),
                    _share(flags.right_flagged, flags.right),
                )
            )  # fmt: skip
    header = ("family", "configuration", "queries", *recalls, "wrong flagged", "right flagged")
    return Table(header, tuple(lines))


def degraded_sentences(results: Results) -> list[str]:
    """A sentence per configuration with degraded answers, naming the reasons."""
    return [
        f"{row.degraded} of {row.queries} answers of {row.configuration.name} "
        f"({100 * row.degraded / row.queries:.1f} %) were degraded: {_reasons(row)}. "
        "Its figures measure those answers too."
        for row in results.rows
        if row.degraded
    ]


def _scores_of(row: Row) -> dict[str, Score]:
    return {**row.measures, **row.averages}


def _reasons(row: Row) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in row.reasons.items())


def _cell(score: Score | None, *, with_interval: bool = True) -> str:
    if score is None:
        return _NONE
    mean = score.interval
    return f"{mean.mean:.3f}" + (f" [{mean.low:.3f}, {mean.high:.3f}]" if with_interval else "")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f} ({part} of {whole})" if whole else _NONE


def _signed(difference: Interval) -> str:
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def _markdown_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    others = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *others])} |\n"
