"""Trains an adapted base: examples as token rows, the loss of a batch, and the steps.

The base is in bfloat16 on a GPU that has it, LoRA's updates always in float32.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.contracts.intent import Intent
from models.reranker.intent_format import format_intent
from models.reranker.prompts import CIR, QWEN_VL, Prompt
from models.training.loop import Loop
from models.training.packing import Batch, PieceWriter, Places, Row, collate, places_of
from models.training.reranker.examples import RerankExample
from models.training.reranker.features import FeatureFile, Grid

PROMPT = Prompt(CIR, QWEN_VL)  # what an adapter is trained on, and served with
INTENT, ANSWER = 1, 2  # kinds of what the model must say

LocatedRow = Row[str]  # pictures are known by their locations
LocatedBatch = Batch[str]

_HIDES_TARGET_EVERY = 4  # in every so many examples the question does not name the target
_WARMUP_SHARE = 0.05
_MAX_BATCHES_VALIDATED = 16


@dataclass(frozen=True)
class TuningSettings:
    """How an adapter is trained.

    Attributes:
        steps: Optimizer steps.
        queries: Queries per batch, each with its candidates.
        accumulate: Batches per step.
        learning_rate: The highest.
        rank: LoRA's r, of new weights.
        dropout: See `lora.adapt`.
        intent_weight: Weight of the intent's loss beside that of the yes-or-no answers, which is 1.
        gradient_checkpointing: Compute activations twice instead of keeping them.
        validate_every: Steps between two checkpoints.
        seed: Of the examples' order, dropout and new weights.
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


class RowWriter(PieceWriter[str]):
    """Writes examples as rows."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        image_token: int,
        merge: int,
        grid_of: Callable[[str], Grid],
    ) -> None:
        """Prepare.

        Args:
            tokenize: A piece of text → token ids, nothing added.
            image_token: The id that stands for a visual token.
            merge: Patches per side of one visual token.
            grid_of: A picture's location → its patches.
        """

        def places(location: str) -> Places:
            _, rows, columns = grid_of(location)
            return places_of(rows // merge, columns // merge)

        super().__init__(tokenize, image_token, places)

    def write(
        self,
        example: RerankExample,
        locations: Mapping[int, str],
        *,
        shows_target: bool,
        asks_intent: bool,
    ) -> LocatedRow:
        """An example as a row.

        Args:
            example: The query and its candidates.
            locations: Of the pictures by number.
            shows_target: Whether the question names the target.
            asks_intent: Whether the intent is a branch; yes-or-no answers always are.
        """
        row = self.trunk(PROMPT.prefix(example.text), locations[example.reference])
        if asks_intent and PROMPT.compose_instruction is not None:
            self.fork(row)
            self.say(row, PROMPT.compose_instruction)
            self.say(row, intent_answer(example.intent), asked=INTENT)
        for candidate in example.candidates:
            self.fork(row)
            target = example.intent.target if shows_target else None
            self.say(row, PROMPT.candidate(target), [locations[candidate.picture]])
            self.say(row, PROMPT.yes if candidate.relevant else PROMPT.no, asked=ANSWER)
        return row


def row_writer(model: Any, processor: Any, feature_file: FeatureFile) -> RowWriter:
    """Writes rows for this base."""

    def tokenize(text: str) -> list[int]:
        ids: list[int] = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    merge = int(processor.image_processor.merge_size)
    return RowWriter(tokenize, int(model.config.image_token_id), merge, feature_file.grid)


def answer_logits(
    model: Any, batch: LocatedBatch, feature_file: FeatureFile
) -> tuple[Tensor, Tensor, Tensor]:
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
        mm_encoder_outputs={"image": feature_file.encoder_output(batch.pictures, device, dtype)},
    ).last_hidden_state
    kinds = batch.asked[:, 1:].to(device)
    logits = model.lm_head(hidden[:, :-1][kinds > 0]).float()
    return logits, batch.ids[:, 1:].to(device)[kinds > 0], kinds[kinds > 0]


class AdapterTrainer:
    """Trains an adapted model on examples."""

    def __init__(
        self,
        model: Any,
        writer: RowWriter,
        feature_file: FeatureFile,
        locations: Mapping[str, Mapping[int, str]],
        settings: TuningSettings,
    ) -> None:
        """Prepare.

        Args:
            model: The base under peft's wrapping; its updates are in its layers already.
            writer: Writes examples for it.
            feature_file: Visual tokens of all pictures of the examples.
            locations: Part → number of a picture → its location.
            settings: How to train.
        """
        self._model, self._writer, self._feature_file = model, writer, feature_file
        self._locations, self._settings = locations, settings

    def train(
        self,
        training: Sequence[RerankExample],
        validation: Sequence[RerankExample],
        checkpoint: Path,
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
        evaluations = [
            self._batch(validation[i : i + settings.queries], i)
            for i in range(0, len(validation), settings.queries)
        ][:_MAX_BATCHES_VALIDATED]

        def loss_of(number: int) -> Tensor:
            torch.manual_seed(settings.seed + number)  # dropout
            picked = examples_of_batch(training, number, settings.queries, settings.seed)
            return self._loss(self._batch(picked, number * settings.queries))

        loop.run(
            loss_of,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            validate=lambda: self._validate(evaluations),
            validate_every=settings.validate_every,
            warmup_steps=max(1, round(_WARMUP_SHARE * settings.steps)),
            accumulate=settings.accumulate,
        )
        return loop

    def _batch(self, examples: Sequence[RerankExample], first: int) -> LocatedBatch:
        return collate(
            [
                self._writer.write(
                    example,
                    self._locations[example.part],
                    shows_target=number % _HIDES_TARGET_EVERY > 0,
                    asks_intent=self._settings.intent_weight > 0,
                )
                for number, example in enumerate(examples, start=first)
            ]
        )

    def _loss(self, batch: LocatedBatch) -> Tensor:
        logits, right, kinds = answer_logits(self._model, batch, self._feature_file)
        each = functional.cross_entropy(logits, right, reduction="none")
        loss: Tensor = each[kinds == ANSWER].mean()
        if self._settings.intent_weight > 0:
            loss = loss + self._settings.intent_weight * each[kinds == INTENT].mean()
        return loss

    @torch.inference_mode()
    def _validate(self, evaluations: Sequence[LocatedBatch]) -> dict[str, float]:
        """Mean loss over validation examples, and the share of answers that are right."""
        losses, right_ones = [], []
        for batch in evaluations:
            logits, right, kinds = answer_logits(self._model, batch, self._feature_file)
            each = functional.cross_entropy(logits, right, reduction="none")
            losses.append(each[kinds == ANSWER].mean())
            right_ones.append((logits.argmax(-1) == right)[kinds == ANSWER].float().mean())
        return {
            "loss": round(float(torch.stack(losses).mean()), 4),
            "answers": round(float(torch.stack(right_ones).mean()), 4),
        }


def examples_of_batch(
    examples: Sequence[RerankExample], number: int, size: int, seed: int
) -> list[RerankExample]:
    """Every example once, then every example again in another order, and so on."""
    picked = []
    for place in range(number * size, (number + 1) * size):
        turn, within = divmod(place, len(examples))
        order = _order(len(examples), f"{seed}/{turn}")
        picked.append(examples[order[within]])
    return picked


@lru_cache(2)
def _order(count: int, seed: str) -> list[int]:
    return random.Random(seed).sample(range(count), count)


def intent_answer(intent: Intent) -> str:
    """The answer to the template's `ask`, with its end."""
    said = format_intent(
        intent.target, list(intent.preserve), list(intent.desired), list(intent.forbidden)
    )
    return PROMPT.answer(said)
