"""Trains a reranker: a vision tower, a base that answers and composes, a LoRA adapter that
rerankers.

    vision    patch labels from boxes                      → the tower, frozen afterwards
    base      questions about a scene, its description,    → `<out>/base`, a hub-like folder
              and the intent of a composed query
    adapter   yes or no for (query, candidate), with hard  → `<out>/adapter`, a peft LoRA folder
              negatives, and intents beside them

Every stage continues from its state in `<out>/work`, and is skipped once its result is there. A
result that was made with other options or of other data is refused, a state not used.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVisionConfig,
    Qwen3VLVisionModel,
)

from models.presets import load_preset
from models.reranker.adapter_card import AdapterCard, write_card
from models.reranker.loading import content_hash
from models.training.demo_reranker import base_model
from models.training.demo_reranker.batches import RowWriter, adapter_batches, base_batches
from models.training.demo_reranker.data import TEMPLATE, DemoData, Query, mine, read_examples
from models.training.demo_reranker.language import SeenPictures, examiner, see, train_language
from models.training.demo_reranker.vision import load_grounded, load_pictures, train_vision
from models.training.kept import check_result, made_of, state_path
from models.training.options import DemoRerankerOptions

IMAGE_PX, PATCH, MERGE, VOCABULARY = 128, 16, 2, 1024
VISION: dict[str, Any] = {
    "depth": 6, "hidden_size": 192, "intermediate_size": 768, "num_heads": 4,
    "deepstack_visual_indexes": [2],
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "max_position_embeddings": 4096, "initializer_range": 0.04,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0, "mrope_interleaved": True,
        "mrope_section": [12, 10, 10],
    },
}  # fmt: skip
# all linear layers of the language model; the vision tower stays as it is
LORA_TARGETS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"

# what the results of the stages follow from, beside the data and what came before
_VISION_OPTIONS = ("vision_steps", "batch_size", "learning_rate", "seed")
_BASE_OPTIONS = ("pictures", "base_steps", "rows")
_ADAPTER_OPTIONS = (
    "pictures", "adapter_steps", "queries", "candidates", "coarse", "mined", "learning_rate",
    "lora_rank", "seed",
)  # fmt: skip

_MINED_DEPTH = 30  # whatever is wrong among so many first ranks is a hard negative


def train(options: DemoRerankerOptions) -> None:
    """Run the stages whose results are not there yet.

    Raises:
        OtherRun: A result is there, but of other options or data.
    """
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    data = made_of(options.catalogue, options.validation)
    base = {"data": data} | _chosen(options, _VISION_OPTIONS + _BASE_OPTIONS)
    if not check_result(options.out / "base" / "config.json", work / "base.json", base):
        _train_base(options, work, base)
        (work / "base.json").write_text(json.dumps(base), encoding="utf-8")
    learned_before = {"data": data, "base": content_hash(options.out / "base")}
    adapter = learned_before | _chosen(options, _ADAPTER_OPTIONS)
    done = options.out / "adapter" / "adapter_config.json"
    if not check_result(done, work / "adapter.json", adapter):
        _train_adapter(options, work, adapter)
        (work / "adapter.json").write_text(json.dumps(adapter), encoding="utf-8")


def _chosen(options: DemoRerankerOptions, names: Sequence[str]) -> dict[str, object]:
    return {name: getattr(options, name) for name in names}


def _train_base(
    options: DemoRerankerOptions, work: Path, ingredients: Mapping[str, object]
) -> None:
    examples = read_examples(options.catalogue, options.pictures)
    evaluation = read_examples(options.validation)
    processor = base_model.create_processor(examples.texts(), VOCABULARY, IMAGE_PX, PATCH, MERGE)
    model = base_model.create_model(
        processor, IMAGE_PX, vision=VISION, text=TEXT, seed=options.seed
    )
    vision = [ingredients[name] for name in ("data", *_VISION_OPTIONS)]
    tower = _tower(options, model.model.visual.config, work, made_of(vision))
    model.model.visual.load_state_dict(tower.state_dict())
    model.model.visual.requires_grad_(False)
    seen, seen_exam = _see_all(options, tower, examples, evaluation, work)
    writer = _writer(processor, model.config)
    rng = random.Random(options.seed)
    train_language(
        "base",
        model,
        base_batches(examples, writer, options.rows, rng),
        seen,
        state_path(work, "base", made_of(ingredients)),
        steps=options.base_steps,
        learning_rate=options.learning_rate,
        validate=examiner(model, evaluation, writer, seen_exam),
    )
    model.half()  # type: ignore[no-untyped-call]
    base_model.save(model, processor, options.out / "base")


def _train_adapter(
    options: DemoRerankerOptions, work: Path, ingredients: Mapping[str, object]
) -> None:
    torch.manual_seed(options.seed)
    base = Qwen3VLForConditionalGeneration.from_pretrained(
        options.out / "base", dtype=torch.float32
    )
    processor = Qwen3VLProcessor.from_pretrained(options.out / "base")
    examples = read_examples(options.catalogue, options.pictures)
    evaluation = read_examples(options.validation)
    seen, seen_exam = _see_all(options, base.model.visual, examples, evaluation, work)
    writer = _writer(processor, base.config)
    lora = LoraConfig(
        r=options.lora_rank,
        lora_alpha=2 * options.lora_rank,
        target_modules=LORA_TARGETS,
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(base, lora)
    mined, rng = _mined(options, examples, work), random.Random(options.seed + 1)
    train_language(
        "adapter",
        wrapped.get_base_model(),
        adapter_batches(examples, mined, writer, options.queries, options.candidates, rng),
        seen,
        state_path(work, "adapter", made_of(ingredients)),
        steps=options.adapter_steps,
        learning_rate=options.learning_rate,
        validate=examiner(wrapped.get_base_model(), evaluation, writer, seen_exam),
    )
    # folders are moved and copied; whoever loads the adapter says what its base is
    wrapped.peft_config["default"].base_model_name_or_path = None
    wrapped.half().save_pretrained(str(options.out / "adapter"))
    card = AdapterCard(
        template=TEMPLATE.template.name,
        template_version=TEMPLATE.version,
        base="base",
        base_hash=content_hash(options.out / "base"),
        visual_tokens=(IMAGE_PX // PATCH // MERGE) ** 2,
    )
    write_card(options.out / "adapter", card)


def _tower(
    options: DemoRerankerOptions, config: Qwen3VLVisionConfig, work: Path, made: str
) -> Qwen3VLVisionModel:
    done = state_path(work, "tower", made, ".safetensors")
    if not done.exists():
        tower = train_vision(
            load_grounded(options.catalogue / "manifest.jsonl", config, IMAGE_PX),
            load_grounded(options.validation / "manifest.jsonl", config, IMAGE_PX),
            config,
            state_path(work, "vision", made),
            steps=options.vision_steps,
            batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            seed=options.seed,
        )
        save_file(tower.state_dict(), done)
    finished = Qwen3VLVisionModel(config)
    finished.load_state_dict(load_file(done))
    finished.eval()  # type: ignore[no-untyped-call]
    return finished


def _see_all(
    options: DemoRerankerOptions, tower: Any, examples: DemoData, evaluation: DemoData, work: Path
) -> tuple[SeenPictures, SeenPictures]:
    """Visual tokens of both catalogues, computed once by each tower and kept in `work`."""
    catalogues = [
        sorted((folder / "images").iterdir())[: len(captions)]
        for folder, captions in (
            (options.catalogue, examples.captions), (options.validation, evaluation.captions),
        )
    ]  # fmt: skip
    # a base is saved in half precision, so its tower is known by its weights in half
    weights = {name: value.half() for name, value in tower.state_dict().items()}
    kept = state_path(work, "seen", made_of(weights, *catalogues[0], *catalogues[1]))
    if not kept.exists():
        seen = []
        for images in catalogues:
            made = see(tower, load_pictures(images, IMAGE_PX))
            seen.append((made.tokens, made.deepstack))
        torch.save(seen, kept)
    train, validation = (SeenPictures(*parts) for parts in torch.load(kept, weights_only=True))
    return train, validation


def _writer(processor: Qwen3VLProcessor, config: Qwen3VLConfig) -> RowWriter:
    def tokenize(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    return RowWriter(TEMPLATE, tokenize, config.image_token_id, IMAGE_PX // PATCH // MERGE)


def _mined(options: DemoRerankerOptions, examples: DemoData, work: Path) -> dict[Query, list[int]]:
    """Hard negatives per query, searched for once and kept in `work`."""
    images = sorted((options.catalogue / "images").iterdir())[: len(examples.captions)]
    preset = load_preset(options.coarse)
    queries = options.catalogue / "queries.jsonl"
    counted = (preset.model_dump(mode="json"), options.mined, options.seed)
    kept = state_path(work, "mined", made_of(queries, *images, counted), ".json")
    if not kept.exists():
        mined = mine(examples, images, preset, options.mined, _MINED_DEPTH, options.seed)
        kept.write_text(json.dumps(mined), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    return {examples.queries[int(number)]: wrong for number, wrong in found.items()}
