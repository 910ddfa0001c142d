"""What the reranker needs of a model's architecture: images to features, tokens to hidden states.

A `ModelArchitecture` knows how a transformers model of its kind prepares images within a budget of
visual tokens, where its vision tower, language model and vocabulary head are, and which positions
tokens have. It knows nothing of prompts; inference and training use the same one.
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
    """A tokenizer, and an image processor: images to float32 pixels."""

    tokenizer: Any
    image_processor: Any


@dataclass(frozen=True)
class PreparedImage:
    """An image as the vision tower takes it; in main memory.

    Attributes:
        pixels: float32, in the architecture's own shape.
        grid: int64 (1, 3): frames, rows and columns of patches.
        visual_tokens: How many tokens of the prompt it takes.
    """

    pixels: Tensor
    grid: Tensor
    visual_tokens: int


@dataclass(frozen=True)
class VisualFeatures:
    """The vision tower's output for one image; on the device.

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
        """How many tokens of the prompt it takes."""
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Memory on the device, in bytes."""
        return sum(t.nbytes for t in (self.tokens, *self.deepstack))


@dataclass
class EncoderOutput:
    """The part of transformers' vision output that its language side reads."""

    pooler_output: tuple[Tensor, ...]
    deepstack_features: list[tuple[Tensor, ...]]

    @classmethod
    def of(cls, pictures: Sequence[VisualFeatures]) -> "EncoderOutput":
        """Of images in the order of their places in the prompt."""
        levels = range(len(pictures[0].deepstack))
        return cls(
            tuple(picture.tokens for picture in pictures),
            [tuple(picture.deepstack[level] for picture in pictures) for level in levels],
        )


class ModelArchitecture(ABC):
    """A model of one architecture with its processor.

    Attributes:
        model_types: The `model_type`s of configs that it serves.
        chat: How its models write a conversation.
        model: The whole model.
        tower: Vision and language, without the vocabulary head.
        image_token: The id that stands where visual tokens go.
    """

    model_types: ClassVar[tuple[str, ...]]
    chat: ClassVar[ChatFormat]

    def __init__(self, model: Any, processor: Any) -> None:
        """Take a model, and its tokenizer and image processor as attributes of one object."""
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
        """Scale an image to at most `visual_tokens`; any thread."""

    @abstractmethod
    def features(self, images: Sequence[PreparedImage]) -> list[VisualFeatures]:
        """Run the vision tower over a batch of images."""

    @abstractmethod
    def positions(self, ids: Tensor, grids: Tensor | None, start: int) -> tuple[Tensor, int]:
        """Positions of one row of tokens.

        Args:
            ids: int64 (1, L).
            grids: int64 (images, 3), of the images among them; None if there are none.
            start: The position of the first token.

        Returns:
            int64 (…, 1, L), and the position of the token that comes next.
        """

    @abstractmethod
    def unsplit_inputs(self, ids: Tensor, images: Sequence[PreparedImage]) -> dict[str, Any]:
        """What the model's own forward pass needs beside `input_ids` (1, L) that hold images."""

    def optimize_for_inference(self) -> None:  # noqa: B027 (not abstract: most change nothing)
        """Replace modules by faster ones that compute the same."""

    def tokenize(self, text: str, visual_tokens: Sequence[int] = ()) -> list[int]:
        """Token ids of a piece, with one image token for each visual token.

        Args:
            text: The piece; each image in it is one image token.
            visual_tokens: Of the images in it, in order.
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
            cache: Keys and values of the tokens before; it is extended.

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
