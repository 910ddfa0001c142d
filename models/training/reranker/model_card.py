"""What lies beside a trained adapter: how to serve it, its data, and what it was worth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from models.training.loop import Loop
from models.training.plots import plot_loss
from models.training.reranker.evaluation import PROMPT_MODES, Comparison
from models.training.reranker.examples import RerankExample

_HEADER = (
    "| held-out queries | | AUC before | AUC after | gain | recall@1 before | recall@1 after |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Provenance:
    """Where an adapter comes from; all of it goes into the card.

    Attributes:
        base: As it was named: `demo`, a hub name or a folder.
        start: The adapter that training began with, if any.
        data: Lines about the examples, see `examples.summary`.
        settings: Of training, by name.
        seconds: How long the steps of this run took.
        device: Where.
        command: What was typed.
    """

    base: str
    start: str | None
    data: Sequence[str]
    settings: Mapping[str, Any]
    seconds: float
    device: str
    command: str


def table(comparisons: Sequence[Comparison]) -> list[str]:
    """A Markdown table, a part for each of `PROMPT_MODES`."""
    lines = list(_HEADER)
    for mode in PROMPT_MODES:
        lines += [
            f"| {c.group}, {mode} | {c.queries} | {c.auc_before} | {c.auc_after} | "
            f"{c.gain.value:+.3f} [{c.gain.low:+.3f}, {c.gain.high:+.3f}] | "
            f"{c.first_before} | {c.first_after} |"
            for c in comparisons
            if c.mode == mode
        ]
    return lines


def write_report(
    out: Path, comparisons: Sequence[Comparison], loop: Loop, provenance: Provenance
) -> None:
    """Write `report/` (metrics and plots) and the card, `README.md`."""
    folder = out / "report"
    folder.mkdir(exist_ok=True)
    metrics = {
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "losses": loop.losses,
        "validations": loop.validations,
        **asdict(provenance),
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    validated = [(step, found["loss"]) for step, found in loop.validations]
    plot_loss(loop.losses, validated, folder / "loss.png", "validation, answers alone")
    named = [c for c in comparisons if c.mode == next(iter(PROMPT_MODES))]
    plot_areas(named, folder / "before_after.png")
    (out / "README.md").write_text(_card(comparisons, provenance), encoding="utf-8")


def write_scores(
    path: Path,
    examples: Sequence[RerankExample],
    ids: Sequence[str],
    before: Mapping[str, list[list[float]]],
    after: Mapping[str, list[list[float]]],
) -> None:
    """Every held-out score, one query per line, to look at what goes wrong."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for number, example in enumerate(examples):
            scores = {
                f"{when}, {mode}": scored[mode][number]
                for when, scored in (("before", before), ("after", after))
                for mode in PROMPT_MODES
            }
            row = {
                "reference": ids[example.reference],
                "modification_text": example.text,
                "target": example.intent.target,
                "candidates": [
                    {"image_id": ids[c.picture], "relevant": c.relevant, "origin": c.origin}
                    | {when: round(own[place], 6) for when, own in scores.items()}
                    for place, c in enumerate(example.candidates)
                ],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _card(comparisons: Sequence[Comparison], provenance: Provenance) -> str:
    start = provenance.start or "none: new weights"
    settings = "".join(f"| {name} | {value} |\n" for name, value in provenance.settings.items())
    table_lines = "\n".join(table(comparisons))
    data = "\n".join(f"* {line}" for line in provenance.data)
    return f"""# Model card: an adapter for a catalogue of one's own

A LoRA adapter (peft) that makes `{provenance.base}` say, for one catalogue, whether a
candidate is what a composed query asks for. Serve it with

```sh
export CIR_WORKER__RERANKER__BASE={provenance.base} CIR_WORKER__RERANKER__ADAPTER=THIS_FOLDER
```

and with the visual tokens of `reranker.json`, on which it was trained.

## Measured

On held-out queries with phrasings never trained on: right answers against hard negatives, asked as
in service. AUC over all pairs; recall@1: how often the best candidate of a query is right.
[low, high]: 95 % bootstrap interval over queries. "Against wrong X": only pictures that X alone
makes wrong stand against the right ones. Labels are the catalogue's own, so this says how well the
adapter agrees with them.

{table_lines}

![AUC before and after](report/before_after.png)

## Trained on

{data}

Made of attributes and captions by `python -m models.training synthesize`; a negative contradicts
the query by its own labels, and what nearly is one of the right pictures is left out.

| setting | |
|---|---|
{settings}| began with | {start} |
| took | {provenance.seconds / 60:.1f} minutes, {provenance.device} |

![Loss](report/loss.png)

```sh
{provenance.command}
```

## Licence

The adapter is derived from its base and from the catalogue: the base's licence (see its own card)
holds for what is made of it, and so do the terms under which the pictures were had.
"""


_WIDTH_IN, _DPI = 7.2, 150
_BEFORE, _AFTER = "#8a93a3", "#0072b2"


def plot_areas(comparisons: Sequence[Comparison], path: Path) -> None:
    """AUC before and after, with intervals, one pair of bars for each group of one prompt mode."""
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
