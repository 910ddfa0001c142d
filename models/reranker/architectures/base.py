"""The seam between the reranker and an architecture: pictures to features, tokens to hidden states.

A `ModelArchitecture` knows how a transformers model of its kind prepares pictures within a budget
of visual tokens, where its vision tower, language model and vocabulary head are, and which
positions tokens have. It knows nothing of prompts, and serves a reranker at work as well as one in
training.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers import Cache

from models.reranker.prompts import ChatFormat


@dataclass(frozen=True)
class Processor:
    """What turns words and pictures into numbers."""

    tokenizer: Any
    image_processor: Any


@dataclass(frozen=True)
class PreparedImage:
    """A picture as the vision tower wants it.

    Attributes:
        pixels: float32, in the family's own shape.
        grid: int64 (1, 3): frames, rows and columns of patches.
        visual_tokens: How many tokens the language model will see.
    """

    pixels: Tensor
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
    def visual_tokens(self) -> int:
        """How many tokens the language model will see."""
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Memory on the device."""
        return sum(t.nbytes for t in (self.tokens, *self.deepstack))


@dataclass
class EncoderOutput:
    """The part of transformers' vision output that its language side reads."""

    pooler_output: tuple[Tensor, ...]
    deepstack_features: list[tuple[Tensor, ...]]

    @classmethod
    def of(cls, pictures: Sequence[VisualFeatures]) -> "EncoderOutput":
        """Pictures in the order of their places."""
        levels = range(len(pictures[0].deepstack))
        return cls(
            tuple(picture.tokens for picture in pictures),
            [tuple(picture.deepstack[level] for picture in pictures) for level in levels],
        )


class ModelArchitecture(ABC):
    """A model of one architecture with its processor.

    Attributes:
        model_types: The `model_type`s of configs that this family serves.
        chat: How its models write a conversation.
        model: The whole model.
        tower: Vision and language, without the vocabulary head.
        image_token: The id that stands where visual tokens go.
    """

    model_types: ClassVar[tuple[str, ...]]
    chat: ClassVar[ChatFormat]

    def __init__(self, model: Any, processor: Any) -> None:
        """Take a model and whatever has its `tokenizer` and `image_processor`."""
        self.model, self.tower = model, model.model
        self.tokenizer, self._image_processor = processor.tokenizer, processor.image_processor
        self.image_token = int(model.config.image_token_id)

    @property
    def head(self) -> Tensor:
        """The vocabulary head (V, D)."""
        head: Tensor = self.model.lm_head.weight
        return head

    @abstractmethod
    def prepare(self, picture: Image.Image, visual_tokens: int) -> PreparedImage:
        """Scale a picture to at most so many visual tokens; any thread."""

    @abstractmethod
    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Run the vision tower over pictures at once."""

    @abstractmethod
    def positions(self, ids: Tensor, grids: Tensor | None, start: int) -> tuple[Tensor, int]:
        """Positions of one row of tokens.

        Args:
            ids: int64 (1, L).
            grids: int64 (pictures, 3), of the pictures among them; None if there are none.
            start: The position of the first token.

        Returns:
            int64 (…, 1, L), and the position of the token that comes next.
        """

    @abstractmethod
    def unsplit_inputs(self, ids: Tensor, images: Sequence[PreparedImage]) -> dict[str, Any]:
        """What the model's own forward pass needs beside `input_ids` (1, L) that hold pictures."""

    def optimize_for_inference(self) -> None:  # noqa: B027 (most have nothing to gain)
        """Replace modules by faster ones that compute the same."""

    def tokenize(self, text: str, visual_tokens: Sequence[int] = ()) -> list[int]:
        """Token ids of a piece, with each picture's one image token multiplied.

        Args:
            text: The piece.
            visual_tokens: Of the pictures in it, in order.
        """
        counts, ids = iter(visual_tokens), []
        for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]:
            ids += [token] * (next(counts) if token == self.image_token else 1)
        return ids

    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        pictures: Sequence[VisualFeatures],
        cache: Cache | None = None,
    ) -> tuple[Tensor, Any]:
        """Run the language model.

        Args:
            ids: int64 (B, L), unpadded.
            positions: As from `positions`; the same for every row, or one for each.
            pictures: In the order of their places, over all rows.
            cache: Keys and values of what was read before; it is extended.

        Returns:
            The last hidden states (B, L, D), and the cache.
        """
        device = self.model.device
        out = self.tower(
            input_ids=ids.to(device),
            position_ids=positions.expand(*positions.shape[:-2], len(ids), -1).to(device),
            past_key_values=cache,
            use_cache=True,
            mm_encoder_outputs={"image": EncoderOutput.of(pictures)} if pictures else None,
        )
        return out.last_hidden_state, out.past_key_values

    def _is_image(self, ids: Tensor) -> Tensor:
        return (ids == self.image_token).to(torch.int32)
