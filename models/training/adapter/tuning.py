"""LoRA on a base: which layers, the loss of a batch of lessons, and the steps.

Trained are low-rank updates of every linear layer of the language model (the layers that LamRA and
Qwen's own re-rankers adapt); the vision tower stays as it is. The base is in bfloat16 on a GPU that
has it, the updates always in float32.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model, set_peft_model_state_dict
from peft.utils import load_peft_weights
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForImageTextToText, AutoProcessor

from models.training.adapter.features import FeatureFile
from models.training.adapter.lessons import Lesson
from models.training.adapter.packing import INTENT, VERDICT, Batch, RowWriter, collate
from models.training.loop import Loop

_HIDES_TARGET_EVERY = 4  # every so many lessons the question does not name the target
_WARMUP_SHARE = 0.05
_MAX_BATCHES_VALIDATED = 16


class UnfitBase(ValueError):
    """A base that no adapter can be trained on; the sentence says why."""


@dataclass(frozen=True)
class TuningSettings:
    """How an adapter is trained.

    Attributes:
        steps: Optimizer steps.
        queries: Queries per batch, each with its candidates.
        accumulate: Batches per step.
        learning_rate: The highest.
        rank: LoRA's r; α is twice that. An adapter that is trained on keeps its own.
        dropout: On the input of the updates, 0 to 1.
        intent_weight: What saying the intent counts beside the verdicts, which count 1.
        gradient_checkpointing: Compute activations twice instead of keeping them.
        validate_every: Steps between two checkpoints.
        seed: Of lessons' order, dropout and new weights.
    """

    steps: int
    queries: int
    accumulate: int
    learning_rate: float
    rank: int
    dropout: float
    intent_weight: float
    gradient_checkpointing: bool
    validate_every: int
    seed: int


def load_base(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """A base and its processor.

    Raises:
        UnfitBase: It cannot be loaded, or is of a family whose lessons cannot be packed.
    """
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
        processor = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError) as error:
        raise UnfitBase(f"the base in {folder} cannot be loaded: {error}") from error
    if not hasattr(model.model, "get_rope_index"):
        raise UnfitBase(
            f"the base in {folder} is a {type(model).__name__}; adapters can be trained on the "
            "Qwen2.5-VL and Qwen3-VL families, whose pictures have positions in two dimensions"
        )
    return model.to(device), processor


def lora_targets(model: Any) -> str:
    """A pattern for the names of all linear layers of the language model.

    Raises:
        UnfitBase: There are none.
    """
    decoder = model.get_decoder()
    (name,) = [name for name, module in model.named_modules() if module is decoder][:1] or [""]
    layers = {
        layer.rsplit(".", 1)[-1]
        for layer, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
    }
    if not layers:
        raise UnfitBase(
            f"the language model of this base ({type(decoder).__name__}) has no linear layers "
            "(torch.nn.Linear), so there is nothing that LoRA could be put on; quantised weights, "
            "for one, have none: take the base in bfloat16 or float32"
        )
    return rf".*{name.rsplit('.', 1)[-1]}.*\.({'|'.join(sorted(layers))})"


def adapt(model: Any, settings: TuningSettings, start: Path | None) -> Any:
    """Put LoRA on a base: new, or the adapter in `start` to be trained on.

    Returns:
        The model as peft wraps it; only the updates require gradients.
    """
    torch.manual_seed(settings.seed)
    if start is None:
        config: Any = LoraConfig(
            r=settings.rank,
            lora_alpha=2 * settings.rank,
            lora_dropout=settings.dropout,
            target_modules=lora_targets(model),
            task_type="CAUSAL_LM",
        )
        return get_peft_model(model, config)
    config = PeftConfig.from_pretrained(str(start))
    config.inference_mode, config.lora_dropout = False, settings.dropout
    config.base_model_name_or_path = None  # peft would look there; the base is what we give it
    wrapped = get_peft_model(model, config)
    set_peft_model_state_dict(wrapped, load_peft_weights(str(start), device="cpu"))
    return wrapped


def row_writer(model: Any, processor: Any, seen: FeatureFile) -> RowWriter:
    """Writes rows for this base."""

    def tokenize(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    merge = int(processor.image_processor.merge_size)
    return RowWriter(tokenize, int(model.config.image_token_id), merge, seen.grid)


def verdict_logits(model: Any, batch: Batch, seen: FeatureFile) -> tuple[Tensor, Tensor, Tensor]:
    """Read rows and predict every token that is asked for.

    Returns:
        Logits float32 (asked, V), the right tokens int64 (asked,), and their kinds (asked,).
    """
    device, dtype = model.device, model.dtype
    hidden = model.model(
        input_ids=batch.ids.to(device),
        position_ids=batch.positions.to(device),
        attention_mask=torch.where(batch.mask, 0.0, torch.finfo(dtype).min).to(device, dtype),
        use_cache=False,
        mm_encoder_outputs={"image": seen.encoder_output(batch.pictures, device, dtype)},
    ).last_hidden_state
    kinds = batch.asked[:, 1:].to(device)
    logits = model.lm_head(hidden[:, :-1][kinds > 0]).float()
    return logits, batch.ids[:, 1:].to(device)[kinds > 0], kinds[kinds > 0]


class Tutor:
    """Teaches lessons to an adapted model."""

    def __init__(
        self,
        model: Any,
        writer: RowWriter,
        seen: FeatureFile,
        locations: Mapping[str, Mapping[int, str]],
        settings: TuningSettings,
    ) -> None:
        """Prepare.

        Args:
            model: The base under peft's wrapping; its updates are in its layers already.
            writer: Writes lessons for it.
            seen: All pictures of the lessons.
            locations: Part → number of a picture → its location.
            settings: How to train.
        """
        self._model, self._writer, self._seen = model, writer, seen
        self._locations, self._settings = locations, settings

    def train(
        self, training: Sequence[Lesson], validation: Sequence[Lesson], checkpoint: Path
    ) -> Loop:
        """Run the steps, going on from `checkpoint` if it is there.

        A batch follows from its number alone, so a run that was cut off ends with the weights it
        would have had.
        """
        settings = self._settings
        if settings.gradient_checkpointing:
            self._model.activation_checkpointing_enable()
        optimizer = torch.optim.AdamW(
            [p for p in self._model.parameters() if p.requires_grad],
            lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01,
        )  # fmt: skip
        loop = Loop("adapter", self._model, optimizer, checkpoint)
        exams = [
            self._batch(validation[i : i + settings.queries], i)
            for i in range(0, len(validation), settings.queries)
        ][:_MAX_BATCHES_VALIDATED]

        def loss_of(number: int) -> Tensor:
            torch.manual_seed(settings.seed + number)  # dropout
            picked = lessons_of_batch(training, number, settings.queries, settings.seed)
            return self._loss(self._batch(picked, number * settings.queries))

        loop.run(
            loss_of,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            validate=lambda: self._validate(exams),
            validate_every=settings.validate_every,
            warmup_steps=max(1, round(_WARMUP_SHARE * settings.steps)),
            accumulate=settings.accumulate,
        )
        return loop

    def _batch(self, lessons: Sequence[Lesson], first: int) -> Batch:
        return collate(
            [
                self._writer.write(
                    lesson,
                    self._locations[lesson.part],
                    shows_target=number % _HIDES_TARGET_EVERY > 0,
                    asks_intent=self._settings.intent_weight > 0,
                )
                for number, lesson in enumerate(lessons, start=first)
            ]
        )

    def _loss(self, batch: Batch) -> Tensor:
        logits, right, kinds = verdict_logits(self._model, batch, self._seen)
        each = functional.cross_entropy(logits, right, reduction="none")
        loss: Tensor = each[kinds == VERDICT].mean()
        if self._settings.intent_weight > 0:
            loss = loss + self._settings.intent_weight * each[kinds == INTENT].mean()
        return loss

    @torch.inference_mode()
    def _validate(self, exams: Sequence[Batch]) -> dict[str, float]:
        """Mean loss over validation lessons, and the share of verdicts that are right."""
        losses, right_ones = [], []
        for batch in exams:
            logits, right, kinds = verdict_logits(self._model, batch, self._seen)
            each = functional.cross_entropy(logits, right, reduction="none")
            losses.append(each[kinds == VERDICT].mean())
            right_ones.append((logits.argmax(-1) == right)[kinds == VERDICT].float().mean())
        return {
            "loss": round(float(torch.stack(losses).mean()), 4),
            "verdicts": round(float(torch.stack(right_ones).mean()), 4),
        }


def lessons_of_batch(lessons: Sequence[Lesson], number: int, size: int, seed: int) -> list[Lesson]:
    """Every lesson once, then every lesson again in another order, and so on."""
    picked = []
    for place in range(number * size, (number + 1) * size):
        turn, within = divmod(place, len(lessons))
        order = _order(len(lessons), f"{seed}/{turn}")
        picked.append(lessons[order[within]])
    return picked


@lru_cache(2)
def _order(count: int, seed: str) -> list[int]:
    return random.Random(seed).sample(range(count), count)
