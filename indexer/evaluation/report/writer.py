"""Writes an evaluation's report: `metrics.json`, `report.md`, `report.html`, plots, contact sheets.

The HTML page is whole in itself: plots and pictures are inside, and it requests nothing else.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from indexer.evaluation.report.contact_sheet import (
    ImageOf,
    Thumbnails,
    contact_sheet,
    jpeg,
    missing_label,
)
from indexer.evaluation.report.examples import Example, best, worst
from indexer.evaluation.report.metrics_json import facts, record
from indexer.evaluation.report.plots import Plot, baseline_plots, overview_plots
from indexer.evaluation.report.tables import (
    FLAGS_LEGEND,
    LEGEND,
    degraded_sentences,
    family_table,
    kind_table,
    markdown_text,
    score_table,
)
from indexer.evaluation.results import Results, Run
from models.metrics.plotting import inline_svg, save

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_EXAMPLES, _RANKS = 8, 8  # queries per contact sheet, results per query


def table(results: Results) -> str:
    """What a terminal prints: degraded answers first of all, then the table. Markdown, too."""
    warnings = [f"WARNING: {sentence}\n" for sentence in degraded_sentences(results)]
    return "".join([*warnings, score_table(results, brief=True).markdown(), LEGEND, "\n"])


def write(
    results: Results,
    folder: Path,
    *,
    made_at: datetime,
    api: Mapping[str, Any],
    image_of: ImageOf,
) -> list[Path]:
    """Write the report.

    Args:
        results: The evaluation.
        folder: Where to; made if absent, files of the same names are replaced.
        made_at: When the report is made; answers may be older.
        api: What the API says of itself: encoder, reranker, their fingerprints; JSON values.
        image_of: Image id → picture, or None where there is no picture to show.

    Returns:
        The files, `report.html` first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    thumbnails, recorded = Thumbnails(image_of), record(results, api, made_at)
    overview, against = overview_plots(results), baseline_plots(results)
    drawn = [*overview, *against]
    pictures = [path for plot in drawn for path in save(plot.figure, folder, plot.stem)]
    sheets = _write_sheets(results, folder, thumbnails)
    texts = {
        "report.html": _html(results, recorded, overview, against, thumbnails),
        "report.md": _markdown(results, recorded, drawn, sheets),
        "metrics.json": json.dumps(recorded, indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [*(folder / name for name in texts), *pictures, *sheets]


def _examples(results: Results, run: Run) -> dict[str, list[Example]]:
    return {
        "best": best(results, run, _EXAMPLES, _RANKS),
        "worst": worst(results, run, _EXAMPLES, _RANKS),
    }


def _write_sheets(results: Results, folder: Path, thumbnails: Thumbnails) -> list[Path]:
    written = []
    for run in results.runs:
        for which, examples in _examples(results, run).items():
            if not examples:
                continue
            headline = results.benchmark.headline
            title = f"{results.benchmark.name}, {run.name}: {which} queries by {headline}"
            written.append(folder / f"{which}_{run.name}.jpg")
            written[-1].write_bytes(jpeg(contact_sheet(title, examples, thumbnails)))
    return written


def _markdown(
    results: Results, recorded: Mapping[str, Any], drawn: Sequence[Plot], sheets: Sequence[Path]
) -> str:
    degraded, kinds = degraded_sentences(results), kind_table(results)
    families = family_table(results)
    blocks = [f"# {markdown_text(results.benchmark.name)}"]
    blocks += [f"**Degraded answers.** {markdown_text(' '.join(degraded))}"] if degraded else []
    lines = [f"* {markdown_text(f'{name}: {value}')}" for name, value in facts(recorded).items()]
    blocks += ["\n".join(lines)]
    blocks += [markdown_text(note) for note in results.benchmark.notes]
    blocks += ["## Results", score_table(results).markdown(), LEGEND]
    if kinds.lines:
        blocks += [f"## {results.benchmark.headline} by kind of query", kinds.markdown()]
    if families.lines:
        blocks += ["## Families of phrasings", families.markdown(), LEGEND, FLAGS_LEGEND]
    blocks += [f"![{plot.caption}]({plot.stem}.png)\n\n{plot.caption}" for plot in drawn]
    if sheets:
        links = [f"* [{sheet.stem.replace('_', ' of ')}]({sheet.name})" for sheet in sheets]
        blocks += ["## Best and worst queries", "\n".join(links)]
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _html(
    results: Results,
    recorded: Mapping[str, Any],
    overview: Sequence[Plot],
    against: Sequence[Plot],
    thumbnails: Thumbnails,
) -> str:
    def source(image_id: str) -> str:
        encoded = base64.b64encode(jpeg(thumbnails(image_id))).decode()
        return f"data:image/jpeg;base64,{encoded}"

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text("utf-8"))
    return template.render(
        benchmark=results.benchmark,
        facts=facts(recorded),
        degraded=degraded_sentences(results),
        scores=score_table(results),
        kinds=kind_table(results),
        families=family_table(results),
        legend=LEGEND,
        flags_legend=FLAGS_LEGEND,
        overview=overview,
        against=against,
        baseline=results.baseline,
        svg=inline_svg,
        shown=results.best,
        examples=_examples(results, results.best) if results.best else {},
        source=source,
        missing_label=missing_label,
    )
