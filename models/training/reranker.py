"""Trains a judge: a vision tower, a base that answers and composes, a LoRA adapter that judges.

    vision    patch labels from boxes                      → the tower, frozen afterwards
    base      questions about a scene, its description,    → `<out>/base`, a hub-like folder
              and the intent of a composed query
    adapter   yes or no for (query, candidate), with hard  → `<out>/adapter`, a peft LoRA folder
              negatives, and intents beside them

Every stage continues from its checkpoint in `<out>/work`, and is skipped once its result is there.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
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
from models.training.judge import scratch
from models.training.judge.language import SeenPictures, answer_loss, see, train_language
from models.training.judge.lessons import (
    Batch,
    Lessons,
    Negatives,
    Query,
    Row,
    RowWriter,
    collate,
    read_lessons,
)
from models.training.judge.mining import mine
from models.training.judge.pictures import load_pictures
from models.training.judge.vision import load_grounded, train_vision

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

_MINED_DEPTH = 30  # whatever is wrong among so many first ranks is a hard negative

Batches = Iterator[Batch]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `python -m models.training reranker` understands."""
    parser.add_argument(
        "--catalogue", type=Path, required=True,
        help="folder of `python -m indexer demo --split train --families --questions 16`",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=Path, required=True, help="the same of the validation split"
    )
    parser.add_argument("--out", type=Path, required=True, help="`base/` and `adapter/` go here")
    parser.add_argument(
        "--pictures", type=int, default=24000, help="the language side learns from the first N"
    )
    parser.add_argument("--vision-steps", type=int, default=1000)
    parser.add_argument("--base-steps", type=int, default=1500)
    parser.add_argument("--adapter-steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=96, help="pictures of a vision step")
    parser.add_argument("--rows", type=int, default=32, help="rows of a base step")
    parser.add_argument("--queries", type=int, default=16, help="queries of an adapter step")
    parser.add_argument("--candidates", type=int, default=8, help="candidates per query")
    parser.add_argument(
        "--coarse", default="demo", help="preset whose coarse stage finds hard negatives"
    )
    parser.add_argument("--mined", type=int, default=6000, help="queries it is asked")
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--lora-rank", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)


def train(options: argparse.Namespace) -> None:
    """Run the stages whose results are not there yet."""
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    if not (options.out / "base" / "config.json").exists():
        _train_base(options, work)
    if not (options.out / "adapter" / "adapter_config.json").exists():
        _train_adapter(options, work)


def _train_base(options: argparse.Namespace, work: Path) -> None:
    lessons = read_lessons(options.catalogue, options.pictures)
    exam = read_lessons(options.validation)
    processor = scratch.create_processor(lessons.texts(), VOCABULARY, IMAGE_PX, PATCH, MERGE)
    model = scratch.create_model(processor, IMAGE_PX, vision=VISION, text=TEXT, seed=options.seed)
    tower = _tower(options, model.model.visual.config, work)
    model.model.visual.load_state_dict(tower.state_dict())
    model.model.visual.requires_grad_(False)
    seen, seen_exam = _see_all(options, tower, lessons, exam, work)
    writer = _writer(processor, model.config)
    rng = random.Random(options.seed)
    train_language(
        "base",
        model,
        _base_batches(lessons, writer, options.rows, rng),
        seen,
        work / "base.pt",
        steps=options.base_steps,
        learning_rate=options.learning_rate,
        validate=_examiner(model, exam, writer, seen_exam),
    )
    model.half()  # type: ignore[no-untyped-call]
    scratch.save(model, processor, options.out / "base")


def _train_adapter(options: argparse.Namespace, work: Path) -> None:
    torch.manual_seed(options.seed)
    base = Qwen3VLForConditionalGeneration.from_pretrained(
        options.out / "base", dtype=torch.float32
    )
    processor = Qwen3VLProcessor.from_pretrained(options.out / "base")
    lessons = read_lessons(options.catalogue, options.pictures)
    exam = read_lessons(options.validation)
    seen, seen_exam = _see_all(options, base.model.visual, lessons, exam, work)
    writer = _writer(processor, base.config)
    lora = LoraConfig(
        r=options.lora_rank,
        lora_alpha=2 * options.lora_rank,
        target_modules=LORA_TARGETS,
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(base, lora)
    mined, rng = _mined(options, lessons, work), random.Random(options.seed + 1)
    train_language(
        "adapter",
        wrapped.get_base_model(),
        _adapter_batches(lessons, mined, writer, options.queries, options.candidates, rng),
        seen,
        work / "adapter.pt",
        steps=options.adapter_steps,
        learning_rate=options.learning_rate,
        validate=_examiner(wrapped.get_base_model(), exam, writer, seen_exam),
    )
    # folders are moved and copied; whoever loads the adapter says what its base is
    wrapped.peft_config["default"].base_model_name_or_path = None
    wrapped.half().save_pretrained(str(options.out / "adapter"))


def _tower(
    options: argparse.Namespace, config: Qwen3VLVisionConfig, work: Path
) -> Qwen3VLVisionModel:
    done = work / "tower.safetensors"
    if not done.exists():
        tower = train_vision(
            load_grounded(options.catalogue / "manifest.jsonl", config, IMAGE_PX),
            load_grounded(options.validation / "manifest.jsonl", config, IMAGE_PX),
            config,
            work / "vision.pt",
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
    options: argparse.Namespace, tower: Any, lessons: Lessons, exam: Lessons, work: Path
) -> tuple[SeenPictures, SeenPictures]:
    """Visual tokens of both catalogues, computed once and kept in `work`."""
    kept = work / "seen.pt"
    if not kept.exists():
        seen = []
        for folder, count in (
            (options.catalogue, len(lessons.captions)),
            (options.validation, len(exam.captions)),
        ):
            images = sorted((folder / "images").iterdir())[:count]
            made = see(tower, load_pictures(images, IMAGE_PX))
            seen.append((made.tokens, made.deepstack))
        torch.save(seen, kept)
    train, validation = (SeenPictures(*parts) for parts in torch.load(kept, weights_only=True))
    return train, validation


def _writer(processor: Qwen3VLProcessor, config: Qwen3VLConfig) -> RowWriter:
    def tokenize(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    return RowWriter(tokenize, config.image_token_id, IMAGE_PX // PATCH // MERGE)


def _base_batches(lessons: Lessons, writer: RowWriter, rows: int, rng: random.Random) -> Batches:
    """In turn: questions and descriptions; intents; intents with questions about candidates."""
    negatives = Negatives(lessons)
    while True:
        yield collate([_question_row(lessons, writer, rng) for _ in range(rows)])
        yield collate([writer.query(rng.choice(lessons.queries), []) for _ in range(rows)])
        yield collate([_glance_row(lessons, negatives, writer, rng) for _ in range(rows // 2)])


def _glance_row(
    lessons: Lessons, negatives: Negatives, writer: RowWriter, rng: random.Random
) -> Row:
    query = rng.choice(lessons.queries)
    pictures = [rng.choice(sorted(query.answers)), *negatives.draw(query, 3, rng)]
    return writer.glances(
        query,
        [
            (number, [*rng.sample(lessons.questions[number], 4), (query.target, not place)])
            for place, number in enumerate(pictures)
        ],
    )


def _question_row(lessons: Lessons, writer: RowWriter, rng: random.Random) -> Row:
    number = rng.randrange(len(lessons.captions))
    asked = rng.sample(lessons.questions[number], 8)
    return writer.questions(number, asked, lessons.captions[number])


def _mined(options: argparse.Namespace, lessons: Lessons, work: Path) -> dict[Query, list[int]]:
    """Hard negatives per query, searched for once and kept in `work`."""
    kept = work / "mined.json"
    if not kept.exists():
        images = sorted((options.catalogue / "images").iterdir())[: len(lessons.captions)]
        preset = load_preset(options.coarse)
        mined = mine(lessons, images, preset, options.mined, _MINED_DEPTH, options.seed)
        kept.write_text(json.dumps(mined), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    return {lessons.queries[int(number)]: wrong for number, wrong in found.items()}


def _adapter_batches(
    lessons: Lessons,
    mined: dict[Query, list[int]],
    writer: RowWriter,
    queries: int,
    candidates: int,
    rng: random.Random,
) -> Batches:
    """Queries with candidates, a third of them right ones; half of the queries come from
    those searched for, and every fourth hides its target.
    """
    negatives, searched = Negatives(lessons, mined), list(mined) or lessons.queries
    while True:
        rows = []
        for number in range(queries):
            query = rng.choice(searched if rng.random() < 0.5 else lessons.queries)
            answers = sorted(query.answers)
            right = rng.sample(answers, min(len(answers), rng.randint(1, max(1, candidates // 2))))
            wrong = negatives.draw(query, candidates - len(right), rng)
            shown = [(n, True) for n in right] + [(n, False) for n in wrong]
            rng.shuffle(shown)
            rows.append(writer.query(query, shown, shows_target=number % 4 > 0))
        yield collate(rows)


def _examiner(
    model: Any, exam: Lessons, writer: RowWriter, seen: SeenPictures
) -> Callable[[], str]:
    """Asks the same validation rows every time: questions, intents, and judgements."""
    rng = random.Random(7)
    queries = rng.sample(exam.queries, min(64, len(exam.queries)))
    negatives = Negatives(exam)
    questions = collate([_question_row(exam, writer, rng) for _ in range(48)])
    intents = collate([writer.query(query, []) for query in queries])
    judged = {
        shows: collate(
            [
                writer.query(
                    query,
                    [(rng.choice(sorted(query.answers)), True)]
                    + [(n, False) for n in negatives.draw(query, 3, rng)],
                    shows_target=shows,
                    asks_intent=False,
                )
                for query in queries
            ]
        )
        for shows in (True, False)
    }

    @torch.inference_mode()
    def examine() -> str:
        right = answer_loss(model, questions, seen)[1].float().mean()
        exact = _rows_all_right(intents, answer_loss(model, intents, seen)[1])
        with_target, without = (
            answer_loss(model, judged[shows], seen)[1].float().mean() for shows in (True, False)
        )
        return (
            f"questions {right:.3f} intents word for word {exact:.3f} "
            f"judgements {with_target:.3f}, target hidden {without:.3f}"
        )

    return examine


def _rows_all_right(batch: Batch, correct: torch.Tensor) -> float:
    """The share of rows in which every asked-for token was the likeliest."""
    asked = (batch.labels[:, 1:] >= 0).nonzero()[:, 0]
    wrong = torch.zeros(len(batch.labels)).index_add_(0, asked, (~correct.cpu()).float())
    return float((wrong == 0).float().mean())
