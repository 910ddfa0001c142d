"""Trains a LoRA adapter for a catalogue of one's own, and measures what it was worth.

    queries   made of the manifest's attributes and captions   → `<out>/work/queries.jsonl`
    pictures  through the base's vision tower, once            → `<out>/work/features.f16`
    adapter   trained on the queries, resumable                → `<out>`, a peft LoRA folder
    exam      held-out queries, before and after               → `<out>/README.md`, `<out>/report`

`CIR_WORKER__JUDGE__ADAPTER=<out>` serves it. `<out>/work` can be deleted afterwards.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from models.device import resolve_device
from models.manifest import ImageRow
from models.reranker.loading import content_hash, local_folder
from models.settings import JudgeSettings
from models.training.adapter import wording
from models.training.adapter.card import Provenance, table, write_judgements, write_report
from models.training.adapter.catalogue import Catalogue
from models.training.adapter.exam import Served, compare, examine, serve
from models.training.adapter.features import FeatureFile, see
from models.training.adapter.lessons import Lesson, summary
from models.training.adapter.lora import adapt, load_base
from models.training.adapter.phrasings import Part
from models.training.adapter.tuning import TuningSettings, Tutor, row_writer
from models.training.loop import Loop
from models.training.synthesize import (
    QUERIES,
    add_catalogue_arguments,
    read_catalogues,
    synthesized,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `python -m models.training reranker` understands."""
    parser.add_argument("--out", type=Path, required=True, help="the adapter's folder")
    parser.add_argument(
        "--base", default="demo", help="`demo`, a hub name or a folder (default %(default)s)"
    )
    parser.add_argument(
        "--adapter", metavar="ADAPTER",
        help="an adapter to train on: hub name, folder, or `none` for new weights "
        "(default: the base's own, which the demo has)",
    )  # fmt: skip
    parser.add_argument("--visual-tokens", type=int, default=16, help="default %(default)s")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--steps", type=int, default=400, help="default %(default)s")
    parser.add_argument(
        "--batch-size", type=int, default=8, help="queries of a batch (default %(default)s)"
    )
    parser.add_argument(
        "--accumulate", type=int, default=1, help="batches of a step (default %(default)s)"
    )
    parser.add_argument("--learning-rate", type=float, default=2e-4, help="default %(default)s")
    parser.add_argument(
        "--lora-rank", type=int, default=16, help="of new weights; α is twice that (%(default)s)"
    )
    parser.add_argument("--lora-dropout", type=float, default=0.05, help="default %(default)s")
    parser.add_argument(
        "--intent-weight", type=float, default=0.3,
        help="of saying the intent, beside judging; 0 leaves it out (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--gradient-checkpointing", action=argparse.BooleanOptionalAction,
        help="trade time for memory (default: on a GPU)",
    )  # fmt: skip
    parser.add_argument("--validate-every", type=int, default=50, help="and save the state")
    add_catalogue_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Go through the stages; those whose results are in `<out>/work` are not repeated."""
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    catalogues = read_catalogues(options)
    started_from = _judge_settings(options)
    before = serve(started_from)  # first: a base or adapter that does not load is found now
    lessons = synthesized(options, catalogues, work)
    print("\n".join(summary(lessons)))
    base = local_folder(started_from.base_source, "base")
    rows = _pictures(lessons, catalogues)
    seen = see(before.judge, rows, work, f"{content_hash(base)}/{options.visual_tokens}")
    held_out = [lesson for lesson in lessons if lesson.part == "validation"]
    shown = catalogues["validation"].rows
    run_id = _run_id(before.judge.version, options.lora_rank, work / QUERIES)
    scores_before = _kept_scores(work / f"before-{run_id}.json", before, held_out, shown, seen)
    del before

    started = time.monotonic()
    checkpoint = work / f"adapter-{run_id}.pt"
    loop = _train(options, started_from, base, lessons, catalogues, seen, checkpoint)
    seconds = time.monotonic() - started
    _write_judge_json(options, base)
    adapted = started_from.model_copy(update={"adapter": str(options.out)})
    after = serve(adapted)
    scores_after = examine(after, held_out, shown, seen)
    comparisons = compare(held_out, scores_before, scores_after)
    ids = [row.image_id for row in shown]
    write_judgements(
        options.out / "report" / "judgements.jsonl", held_out, ids, scores_before, scores_after
    )
    write_report(
        options.out, comparisons, loop,
        Provenance(
            base=options.base,
            start=started_from.adapter_source and Path(started_from.adapter_source).name,
            data=summary(lessons),
            settings={**asdict(_tuning_settings(options)), "visual_tokens": options.visual_tokens},
            seconds=seconds,
            device=after.judge.device_reason,
            command=options.invocation,
        ),
    )  # fmt: skip
    print("\n".join([*table(comparisons), f"wrote {options.out}"]))


def _judge_settings(options: argparse.Namespace) -> JudgeSettings:
    settings = JudgeSettings(
        base=options.base, adapter=options.adapter, visual_tokens=options.visual_tokens,
        device=options.device,
    )  # fmt: skip
    if options.adapter == "none":  # the folder itself: a base without its own adapter
        return settings.model_copy(update={"base": settings.base_source, "adapter": None})
    return settings


def _tuning_settings(options: argparse.Namespace) -> TuningSettings:
    checkpointing = options.gradient_checkpointing
    if checkpointing is None:
        checkpointing = resolve_device(options.device)[0].type == "cuda"
    return TuningSettings(
        steps=options.steps, queries=options.batch_size, accumulate=options.accumulate,
        learning_rate=options.learning_rate, rank=options.lora_rank, dropout=options.lora_dropout,
        intent_weight=options.intent_weight, gradient_checkpointing=checkpointing,
        validate_every=options.validate_every, seed=options.seed,
    )  # fmt: skip


def _train(
    options: argparse.Namespace, started_from: JudgeSettings, base: Path,
    lessons: Sequence[Lesson], catalogues: Mapping[Part, Catalogue], seen: FeatureFile,
    checkpoint: Path,
) -> Loop:  # fmt: skip
    device, _ = resolve_device(options.device)
    in_half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    model, processor = load_base(base, device, torch.bfloat16 if in_half else torch.float32)
    source = started_from.adapter_source
    start = local_folder(source, "adapter") if source else None
    settings = _tuning_settings(options)
    wrapped = adapt(
        model, rank=settings.rank, dropout=settings.dropout, seed=settings.seed, start=start
    )
    locations: dict[str, dict[int, str]] = {
        part: {number: row.location for number, row in enumerate(catalogue.rows)}
        for part, catalogue in catalogues.items()
    }
    tutor = Tutor(
        wrapped.get_base_model(), row_writer(model, processor, seen), seen, locations, settings
    )
    training = [lesson for lesson in lessons if lesson.part == "training"]
    held_out = [lesson for lesson in lessons if lesson.part == "validation"]
    loop = tutor.train(training, held_out, checkpoint)
    # folders are moved and copied; whoever loads the adapter says what its base is
    wrapped.peft_config["default"].base_model_name_or_path = None
    wrapped.save_pretrained(str(options.out))
    return loop


def _pictures(lessons: Sequence[Lesson], catalogues: Mapping[Part, Catalogue]) -> list[ImageRow]:
    """Every picture that some lesson shows, once."""
    shown = {
        catalogues[lesson.part].rows[number].location: catalogues[lesson.part].rows[number]
        for lesson in lessons
        for number in (lesson.reference, *(c.picture for c in lesson.candidates))
    }
    return [shown[location] for location in sorted(shown)]


def _kept_scores(
    path: Path, served: Served, lessons: Sequence[Lesson], rows: Sequence[ImageRow],
    seen: FeatureFile,
) -> dict[str, list[list[float]]]:  # fmt: skip
    """The scores of the judge that training begins with, kept for a run that goes on."""
    if path.exists():
        kept: dict[str, list[list[float]]] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    scores = examine(served, lessons, rows, seen)
    path.write_text(json.dumps(scores), encoding="utf-8")
    return scores


def _run_id(judge_version: str, rank: int, queries: Path) -> str:
    """Names what a checkpoint is good for: the judge it began with, its size, and its queries."""
    digest = hashlib.sha256(f"{judge_version}/{rank}/".encode() + queries.read_bytes())
    return digest.hexdigest()[:10]


def _write_judge_json(options: argparse.Namespace, base: Path) -> None:
    """What a judge made of this adapter must be: its prompt, base and visual tokens."""
    named = options.base if options.base.count("/") == 1 else Path(options.base).name
    described = {
        "template": wording.TEMPLATE,
        "template_version": wording.TEMPLATE_VERSION,
        "base": named,
        "base_hash": content_hash(base),
        "visual_tokens": options.visual_tokens,
    }
    (options.out / "judge.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
