"""Trains a reranker: a vision tower, a base that answers and composes, a LoRA adapter that
reranks.

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
from models.training.demo_reranker.data import PROMPT, DemoData, Query, mine, read_examples
from models.training.demo_reranker.language import (
    PictureFeatures,
    extract_features,
    make_evaluator,
    train_language,
)
from models.training.demo_reranker.vision import load_grounded, load_pictures, train_vision
from models.training.options import DemoRerankerOptions
from models.training.run_identity import check_result, fingerprint, state_path

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
    data = fingerprint(options.catalogue, options.validation)
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
    validation = read_examples(options.validation)
    processor = base_model.create_processor(examples.texts(), VOCABULARY, IMAGE_PX, PATCH, MERGE)
    model = base_model.create_model(
        processor, IMAGE_PX, vision=VISION, text=TEXT, seed=options.seed
    )
    vision = [ingredients[name] for name in ("data", *_VISION_OPTIONS)]
    tower = _tower(options, model.model.visual.config, work, fingerprint(vision))
    model.model.visual.load_state_dict(tower.state_dict())
    model.model.visual.requires_grad_(False)
    picture_features, validation_features = _extract_all(options, tower, examples, validation, work)
    writer = _writer(processor, model.config)
    rng = random.Random(options.seed)
    train_language(
        "base",
        model,
        base_batches(examples, writer, options.rows, rng),
        picture_features,
        state_path(work, "base", fingerprint(ingredients)),
        steps=options.base_steps,
        learning_rate=options.learning_rate,
        validate=make_evaluator(model, validation, writer, validation_features),
    )
    model.half()
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
    validation = read_examples(options.validation)
    picture_features, validation_features = _extract_all(
        options, base.model.visual, examples, validation, work
    )
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
        picture_features,
        state_path(work, "adapter", fingerprint(ingredients)),
        steps=options.adapter_steps,
        learning_rate=options.learning_rate,
        validate=make_evaluator(wrapped.get_base_model(), validation, writer, validation_features),
    )
    # folders are moved and copied; the base is named where the adapter is loaded
    wrapped.peft_config["default"].base_model_name_or_path = None
    wrapped.half().save_pretrained(str(options.out / "adapter"))
    card = AdapterCard(
        template=PROMPT.template.name,
        template_version=PROMPT.version,
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
    finished.eval()
    return finished


def _extract_all(
    options: DemoRerankerOptions, tower: Any, examples: DemoData, validation: DemoData, work: Path
) -> tuple[PictureFeatures, PictureFeatures]:
    """Visual tokens of both catalogues, computed once by each tower and kept in `work`."""
    catalogues = [
        sorted((folder / "images").iterdir())[: len(captions)]
        for folder, captions in (
            (options.catalogue, examples.captions), (options.validation, validation.captions),
        )
    ]  # fmt: skip
    # a base is saved in half precision, so its tower is known by its weights in half
    weights = {name: value.half() for name, value in tower.state_dict().items()}
    kept = state_path(work, "features", fingerprint(weights, *catalogues[0], *catalogues[1]))
    if not kept.exists():
        computed = []
        for images in catalogues:
            features = extract_features(tower, load_pictures(images, IMAGE_PX))
            computed.append((features.tokens, features.deepstack))
        torch.save(computed, kept)
    training, held_out = (PictureFeatures(*parts) for parts in torch.load(kept, weights_only=True))
    return training, held_out


def _writer(processor: Qwen3VLProcessor, config: Qwen3VLConfig) -> RowWriter:
    def tokenize(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    return RowWriter(PROMPT, tokenize, config.image_token_id, IMAGE_PX // PATCH // MERGE)


def _mined(options: DemoRerankerOptions, examples: DemoData, work: Path) -> dict[Query, list[int]]:
    """Hard negatives per query, searched for once and kept in `work`."""
    images = sorted((options.catalogue / "images").iterdir())[: len(examples.captions)]
    preset = load_preset(options.coarse)
    queries = options.catalogue / "queries.jsonl"
    counted = (preset.model_dump(mode="json"), options.mined, options.seed)
    kept = state_path(work, "mined", fingerprint(queries, *images, counted), ".json")
    if not kept.exists():
        mined = mine(examples, images, preset, options.mined, _MINED_DEPTH, options.seed)
        kept.write_text(json.dumps(mined), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    return {examples.queries[int(number)]: wrong for number, wrong in found.items()}
