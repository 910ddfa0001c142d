"""Trains a LoRA adapter for a catalogue of one's own, and measures it before and after.

    queries     made of the manifest's attributes and captions   → `<out>/work/queries.jsonl`
    pictures    through the base's vision tower, once            → `<out>/work/features.f16`
    adapter     trained on the queries, resumable                → `<out>`, a peft LoRA folder
    evaluation  held-out queries, before and after               → `<out>/README.md`, `<out>/report`

`CIR_WORKER__RERANKER__ADAPTER=<out>` serves it. `<out>/work` can be deleted afterwards.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from models.datasets.manifest import ImageRow
from models.datasets.phrasings import Part
from models.device import resolve_device
from models.hub import local_folder
from models.reranker.adapter_card import AdapterCard, write_card
from models.reranker.loading import HUB_FILES, content_hash
from models.settings import RerankerSettings
from models.training.loop import Loop
from models.training.options import RerankerOptions
from models.training.reranker.catalogue import Catalogue
from models.training.reranker.evaluation import LoadedReranker, compare, load, score_held_out
from models.training.reranker.examples import RerankExample, summary
from models.training.reranker.features import FeatureFile, extract_features
from models.training.reranker.lora import adapt, load_base
from models.training.reranker.model_card import Provenance, table, write_report, write_scores
from models.training.reranker.synthesize import (
    QUERIES,
    read_catalogues,
    synthesized,
)
from models.training.reranker.trainer import PROMPT, AdapterTrainer, TuningSettings, row_writer
from models.training.run_identity import fingerprint, state_path


@dataclass(frozen=True)
class _TrainingInputs:
    """What training and evaluation both need.

    Attributes:
        start: The reranker that training begins with.
        base: Its base's folder.
        catalogues: The pictures of each part.
        examples: Queries with candidates, of both parts.
        feature_file: Visual tokens of every picture they show.
    """

    start: RerankerSettings
    base: Path
    catalogues: Mapping[Part, Catalogue]
    examples: Sequence[RerankExample]
    feature_file: FeatureFile

    def of(self, part: Part) -> list[RerankExample]:
        """The examples of one part."""
        return [example for example in self.examples if example.part == part]

    def score_held_out(self, loaded: LoadedReranker) -> dict[str, list[list[float]]]:
        """A reranker's scores of the held-out examples, see `evaluation.score_held_out`."""
        rows = self.catalogues["validation"].rows
        return score_held_out(loaded, self.of("validation"), rows, self.feature_file)


def run(options: RerankerOptions, command_line: str) -> None:
    """Go through the stages; those whose results are in `<out>/work` are not repeated.

    A state of training is used by the run that made it: other settings, queries or another reranker
    to begin with make another run, which begins anew.

    Raises:
        ValidationError: An option has a value that the reranker's settings do not take.
        ManifestError: No queries can be made of a manifest, or a picture cannot be read.
        RerankerLoadError: Base or adapter cannot be loaded.
        UnfitBase: No adapter can be trained on the base.
    """
    start = _reranker_settings(options)
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    catalogues = read_catalogues(options)
    loaded = load(start)  # before hours are spent: a base or adapter may not load
    examples = synthesized(options, catalogues, work)
    print("\n".join(summary(examples)))
    base = local_folder(start.base_source, "the reranker's base", HUB_FILES)
    tower = f"{content_hash(base)}/{options.visual_tokens}"
    feature_file = extract_features(loaded.reranker, _pictures(examples, catalogues), work, tower)
    inputs = _TrainingInputs(start, base, catalogues, examples, feature_file)
    evaluated = fingerprint(loaded.reranker.version, work / QUERIES, feature_file.name)
    before = _kept_scores(work / f"before-{evaluated}.json", inputs, loaded)
    del loaded  # its memory is the adapter's now

    started = time.monotonic()
    made = fingerprint(evaluated, _decisive_settings(_tuning_settings(options)))
    loop = _train(options, inputs, state_path(work, "adapter", made))
    seconds = time.monotonic() - started
    _write_reranker_json(options, base)
    _measure(options, inputs, before, loop, seconds, command_line)


def _measure(
    options: RerankerOptions, inputs: _TrainingInputs, before: dict[str, list[list[float]]],
    loop: Loop, seconds: float, command_line: str,
) -> None:  # fmt: skip
    """Evaluate the adapter as a worker will load it, and write all that lies beside it."""
    loaded = load(inputs.start.model_copy(update={"adapter": str(options.out)}))
    after = inputs.score_held_out(loaded)
    held_out = inputs.of("validation")
    comparisons = compare(held_out, before, after)
    ids = [row.image_id for row in inputs.catalogues["validation"].rows]
    write_scores(options.out / "report" / "scores.jsonl", held_out, ids, before, after)
    source = inputs.start.adapter_source
    provenance = Provenance(
        base=options.base,
        start=source and Path(source).name,
        data=summary(inputs.examples),
        settings={**asdict(_tuning_settings(options)), "visual_tokens": options.visual_tokens},
        seconds=seconds,
        device=loaded.reranker.device_reason,
        command=command_line,
    )
    write_report(options.out, comparisons, loop, provenance)
    print("\n".join([*table(comparisons), f"wrote {options.out}"]))


def _reranker_settings(options: RerankerOptions) -> RerankerSettings:
    settings = RerankerSettings(
        base=options.base, adapter=options.adapter, template=PROMPT.template.name,
        visual_tokens=options.visual_tokens, device=options.device,
    )  # fmt: skip
    if options.adapter == "none":  # the folder itself: a base without its own adapter
        return settings.model_copy(update={"base": settings.base_source, "adapter": None})
    return settings


def _tuning_settings(options: RerankerOptions) -> TuningSettings:
    checkpointing = options.gradient_checkpointing
    if checkpointing is None:
        checkpointing = resolve_device(options.device)[0].type == "cuda"
    return TuningSettings(
        steps=options.steps, queries=options.batch_size, accumulate=options.accumulate,
        learning_rate=options.learning_rate, rank=options.lora_rank, dropout=options.lora_dropout,
        intent_weight=options.intent_weight, gradient_checkpointing=checkpointing,
        validate_every=options.validate_every, seed=options.seed,
    )  # fmt: skip


def _train(options: RerankerOptions, inputs: _TrainingInputs, checkpoint: Path) -> Loop:
    device, _ = resolve_device(options.device)
    in_half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    dtype = torch.bfloat16 if in_half else torch.float32
    model, processor = load_base(inputs.base, device, dtype)
    settings, source = _tuning_settings(options), inputs.start.adapter_source
    wrapped = adapt(
        model, rank=settings.rank, dropout=settings.dropout, seed=settings.seed,
        start=local_folder(source, "the reranker's adapter", HUB_FILES) if source else None,
    )  # fmt: skip
    locations: dict[str, dict[int, str]] = {
        part: {number: row.location for number, row in enumerate(catalogue.rows)}
        for part, catalogue in inputs.catalogues.items()
    }
    writer = row_writer(model, processor, inputs.feature_file)
    trainer = AdapterTrainer(
        wrapped.get_base_model(), writer, inputs.feature_file, locations, settings
    )
    loop = trainer.train(inputs.of("training"), inputs.of("validation"), checkpoint)
    # folders are moved and copied; the base is named where the adapter is loaded
    wrapped.peft_config["default"].base_model_name_or_path = None
    wrapped.save_pretrained(str(options.out))
    return loop


def _pictures(
    examples: Sequence[RerankExample], catalogues: Mapping[Part, Catalogue]
) -> list[ImageRow]:
    """Every picture that some example shows, once."""
    shown = {
        catalogues[example.part].rows[number].location: catalogues[example.part].rows[number]
        for example in examples
        for number in (example.reference, *(c.picture for c in example.candidates))
    }
    return [shown[location] for location in sorted(shown)]


def _kept_scores(
    path: Path, inputs: _TrainingInputs, loaded: LoadedReranker
) -> dict[str, list[list[float]]]:
    """The scores of the reranker that training begins with, kept for a run that goes on."""
    if path.exists():
        kept: dict[str, list[list[float]]] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    scores = inputs.score_held_out(loaded)
    path.write_text(json.dumps(scores), encoding="utf-8")
    return scores


def _decisive_settings(settings: TuningSettings) -> dict[str, float]:
    """The settings that the weights follow from."""
    others = ("gradient_checkpointing", "validate_every")
    return {name: value for name, value in asdict(settings).items() if name not in others}


def _write_reranker_json(options: RerankerOptions, base: Path) -> None:
    """What a reranker made of this adapter must be: its template, base and visual tokens."""
    card = AdapterCard(
        template=PROMPT.template.name,
        template_version=PROMPT.version,
        base=options.base if options.base.count("/") == 1 else Path(options.base).name,
        base_hash=content_hash(base),
        visual_tokens=options.visual_tokens,
    )
    write_card(options.out, card)
