"""What lies beside a trained adapter: how to serve it, its data, and what it was worth."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.metrics.bootstrap import Interval
from models.training.loop import Loop
from models.training.plots import plot_before_after, plot_loss
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
            f"| {c.group}, {mode} | {c.queries} | {_figure(c.auc_before)} | "
            f"{_figure(c.auc_after)} | {_figure(c.gain, '+.3f')} | "
            f"{_figure(c.first_before)} | {_figure(c.first_after)} |"
            for c in comparisons
            if c.mode == mode
        ]
    return lines


def _figure(interval: Interval, digits: str = ".3f") -> str:
    low, high = format(interval.low, digits), format(interval.high, digits)
    return f"{interval.mean:{digits}} [{low}, {high}]"


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
    groups = [(f"{c.group} ({c.queries})", c.auc_before, c.auc_after) for c in named]
    plot_before_after(groups, "AUC of yes against no (0.5: guessing)", folder / "before_after.png")
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
