"""The judge at work: reads a query once, then composes its intent and scores candidates.

The prompt before the candidate is the same for every candidate of a query, so its keys and values
are computed once (`Prefix`), and a candidate costs its own visual tokens and one short question.
Pictures pass the vision tower once; their features can be kept (`VisualFeatures`).

Positions are given explicitly: behind a cached prefix, transformers does not compute the
multimodal rotary positions of a picture, and scores would be silently wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache

from models.contracts.intent import ComposedIntent
from models.reranker import prompt
from models.reranker.loading import LoadedJudge, load_judge
from models.settings import JudgeSettings

_MAX_ANSWER_TOKENS = 160


@dataclass(frozen=True)
class PreparedImage:
    """A picture as the vision tower wants it.

    Attributes:
        patches: float32 (patches, values per patch).
        grid: int64 (1, 3): frames, rows and columns of patches.
        visual_tokens: How many tokens the language model will see.
    """

    patches: Tensor
    grid: Tensor
    visual_tokens: int


@dataclass(frozen=True)
class VisualFeatures:
    """What the vision tower makes of one picture.

    Attributes:
        tokens: (visual tokens, D).
        deepstack: More of the same shape, for the first layers of Qwen3-VL; empty elsewhere.
        grid: As in `PreparedImage`.
    """

    tokens: Tensor
    deepstack: tuple[Tensor, ...]
    grid: Tensor

    @property
    def nbytes(self) -> int:
        """Memory on the device."""
        return sum(t.nbytes for t in (self.tokens, *self.deepstack))


@dataclass(frozen=True)
class Prefix:
    """The prompt up to a point, read.

    Attributes:
        layers: Keys and values of every layer, each (1, heads, length, head size).
        next_position: The rotary position of the token that comes next.
        target: The wished-for picture in words, for the question; None where it is not known.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    next_position: int
    target: str | None = None

    @property
    def nbytes(self) -> int:
        """Memory on the device."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)


class Judge:
    """Composes intents and scores candidates. Blocking; one call at a time, `prepare` excepted.

    Attributes:
        version: Names base, adapter and prompt; changes when scores may change.
        device_reason: Where it runs, in which precision, and why.
    """

    def __init__(self, settings: JudgeSettings, loaded: LoadedJudge | None = None) -> None:
        """Load the judge, or take one that is loaded.

        Raises:
            JudgeUnavailable: It cannot be loaded.
        """
        self._settings = settings
        self._loaded = loaded or load_judge(settings)
        self.version, self.device_reason = self._loaded.version, self._loaded.device_reason
        self._device = self._loaded.device
        self._tower = self._loaded.model.model  # vision and language, without the vocabulary head
        self._head: Tensor = self._loaded.model.lm_head.weight  # (V, D)
        self._tokenizer = self._loaded.processor.tokenizer
        self._image_token = int(self._loaded.model.config.image_token_id)
        (yes,), (no,) = self._tokenize(prompt.YES), self._tokenize(prompt.NO)
        # σ(z_yes − z_no) needs two rows of the vocabulary head, and of those only the difference
        self._yes_minus_no = self._head[yes] - self._head[no]  # (D,)
        (self._end,) = self._tokenize(prompt.END_OF_TURN)

    def prepare(self, picture: Image.Image) -> PreparedImage:
        """Scale a picture to at most the visual tokens set, keeping its shape; any thread."""
        processor = self._loaded.processor.image_processor
        pixels = self._settings.visual_tokens * (processor.patch_size * processor.merge_size) ** 2
        made = processor(
            images=[picture],
            size={"shortest_edge": pixels, "longest_edge": pixels},
            return_tensors="pt",
        )
        grid = made["image_grid_thw"]
        return PreparedImage(
            made["pixel_values"], grid, int(grid.prod()) // processor.merge_size**2
        )

    @torch.inference_mode()
    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Run the vision tower over pictures, of any sizes, at once."""
        patches = torch.cat([image.patches for image in images]).to(self._device)
        grids = torch.cat([image.grid for image in images]).to(self._device)
        seen = self._tower.get_image_features(patches, grids)
        deepstack = getattr(seen, "deepstack_features", None) or []
        return [
            VisualFeatures(
                # copies: a slice would keep the whole batch in memory as long as it is cached
                tokens.clone(),
                tuple(level[i].clone() for level in deepstack),
                images[i].grid,
            )
            for i, tokens in enumerate(seen.pooler_output)
        ]

    def begin(self, reference: PreparedImage, modification_text: str) -> Prefix:
        """Read instruction, reference and request."""
        (features,) = self.features([reference])
        text = prompt.OPENING + prompt.request(modification_text)
        return self._extend(None, text, [features])[0]

    def with_target(self, prefix: Prefix, target: str) -> Prefix:
        """The same prefix, for a question that names the wished-for picture."""
        return replace(prefix, target=target if self._settings.shows_target else None)

    @torch.inference_mode()
    def compose(self, prefix: Prefix) -> ComposedIntent:
        """Generate the intent, always taking the likeliest token.

        Raises:
            UnreadableIntent: The answer names no target.
        """
        here, hidden = self._extend(prefix, prompt.ASK, [])
        answer: list[int] = []
        while len(answer) < _MAX_ANSWER_TOKENS:
            token = int((hidden[0] @ self._head.T).argmax())
            if token == self._end:
                break
            answer.append(token)
            here, hidden = self._read(here, torch.tensor([[token]]), [])
        return prompt.read_intent(self._tokenizer.decode(answer))

    @torch.inference_mode()
    def score(self, prefix: Prefix, candidates: Sequence[VisualFeatures]) -> list[float]:
        """How surely each candidate fits: σ(z_yes − z_no) at the last position, 0 to 1.

        Candidates with grids of the same shape go through the model together, unpadded.
        """
        scores = [0.0] * len(candidates)
        by_shape = sorted(range(len(candidates)), key=lambda i: candidates[i].grid.tolist())
        for _, group in groupby(by_shape, key=lambda i: candidates[i].grid.tolist()):
            rows = list(group)
            pictures = [candidates[i] for i in rows]
            piece = prompt.candidate(prefix.target)
            ids = self._ids(piece, pictures[:1]).expand(len(rows), -1)
            _, hidden = self._read(prefix, ids, pictures)
            logits = (hidden @ self._yes_minus_no).float()
            for row, score in zip(rows, logits.sigmoid().tolist(), strict=True):
                scores[row] = score
        return scores

    @torch.inference_mode()
    def score_alone(
        self,
        reference: PreparedImage,
        modification_text: str,
        target: str | None,
        candidate: PreparedImage,
    ) -> float:
        """One pair by the model's own forward pass over the whole prompt: no cache, no shortcut.

        What `score` is checked against, and how published re-rankers work.
        """
        shown = target if self._settings.shows_target else None
        pieces = [
            (prompt.OPENING + prompt.request(modification_text), [reference]),
            (prompt.candidate(shown), [candidate]),
        ]
        ids = torch.cat([self._ids(text, images) for text, images in pieces], dim=1)
        self._tower.rope_deltas = None
        logits = self._loaded.model(
            input_ids=ids.to(self._device),
            attention_mask=torch.ones_like(ids).to(self._device),
            mm_token_type_ids=(ids == self._image_token).int().to(self._device),
            pixel_values=torch.cat([reference.patches, candidate.patches]).to(self._device),
            image_grid_thw=torch.cat([reference.grid, candidate.grid]).to(self._device),
            logits_to_keep=1,
        ).logits[0, -1]
        (yes,), (no,) = self._tokenize(prompt.YES), self._tokenize(prompt.NO)
        return float((logits[yes] - logits[no]).float().sigmoid())

    def warm_up(self, chunk_size: int) -> None:
        """Run every step once at its usual size, so that the first query is not the slow one."""
        picture = self.prepare(Image.new("RGB", (256, 256), "grey"))
        prefix = self.begin(picture, "warm up")
        self._extend(prefix, prompt.ASK, [])
        self.score(self.with_target(prefix, "a picture"), self.features([picture] * chunk_size))

    def _extend(
        self, prefix: Prefix | None, text: str, pictures: list[VisualFeatures]
    ) -> tuple[Prefix, Tensor]:
        return self._read(prefix, self._ids(text, pictures), pictures)

    @torch.inference_mode()
    def _read(
        self, prefix: Prefix | None, ids: Tensor, pictures: Sequence[VisualFeatures]
    ) -> tuple[Prefix, Tensor]:
        """Run the language model over what follows a prefix.

        Args:
            prefix: What was read before; the same for every row. It is left as it is.
            ids: int64 (B, L), rows of the same shape.
            pictures: In the order of their places, over all rows.

        Returns:
            The prefix of the first row, and the last hidden state of each row (B, D).
        """
        rows = len(ids)
        start = prefix.next_position if prefix else 0
        grids = torch.cat([p.grid for p in pictures]) if pictures else None
        # all rows are alike, so one row's positions are everyone's
        positions, _ = self._tower.get_rope_index(
            ids[:1],
            mm_token_type_ids=(ids[:1] == self._image_token).int(),
            image_grid_thw=None if grids is None else grids[: max(1, len(grids) // rows)],
        )  # (3, 1, L)
        layers = prefix.layers if prefix else ()
        cache = DynamicCache(
            [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in layers] or None
        )
        out = self._tower(
            input_ids=ids.to(self._device),
            position_ids=(positions + start).expand(-1, rows, -1).to(self._device),
            past_key_values=cache,
            use_cache=True,
            mm_encoder_outputs={"image": _as_encoder_output(pictures)} if pictures else None,
        )
        read = Prefix(
            layers=tuple(
                (layer.keys[:1], layer.values[:1]) for layer in out.past_key_values.layers
            ),
            next_position=start + int(positions.max()) + 1,
        )
        return read, out.last_hidden_state[:, -1]

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _ids(self, text: str, pictures: Sequence[VisualFeatures | PreparedImage]) -> Tensor:
        """Token ids of a piece, int64 (1, L), with as many image tokens as its pictures have."""
        ids: list[int] = []
        merge = self._loaded.processor.image_processor.merge_size**2
        counts = iter([int(p.grid.prod()) // merge for p in pictures])
        for token in self._tokenize(text):
            ids += [token] * (next(counts) if token == self._image_token else 1)
        return torch.tensor([ids], dtype=torch.long)


@dataclass
class EncoderOutput:
    """The part of transformers' vision output that its language side reads."""

    pooler_output: tuple[Tensor, ...]
    deepstack_features: list[tuple[Tensor, ...]]


def _as_encoder_output(pictures: Sequence[VisualFeatures]) -> Any:
    levels = len(pictures[0].deepstack)
    return EncoderOutput(
        pooler_output=tuple(p.tokens for p in pictures),
        deepstack_features=[tuple(p.deepstack[i] for p in pictures) for i in range(levels)],
    )
