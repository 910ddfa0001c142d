"""Which architecture a model is of."""

from typing import Any

from models.reranker.architectures.base import ModelArchitecture
from models.reranker.architectures.idefics3 import Idefics3
from models.reranker.architectures.qwen_vl import QwenVL

ARCHITECTURES: tuple[type[ModelArchitecture], ...] = (QwenVL, Idefics3)


class UnknownArchitecture(ValueError):
    """There is no family for a model type; the sentence names those there are."""


def architecture_type(model_type: str) -> type[ModelArchitecture]:
    """The family that serves a config's `model_type`.

    Raises:
        UnknownArchitecture: None does.
    """
    for family in ARCHITECTURES:
        if model_type in family.model_types:
            return family
    known = ", ".join(name for family in ARCHITECTURES for name in family.model_types)
    raise UnknownArchitecture(f"models of type {model_type!r} cannot rerank; supported are {known}")


def architecture_of(model: Any, processor: Any) -> ModelArchitecture:
    """A model, and whatever has its `tokenizer` and `image_processor`, as one of its family.

    Raises:
        UnknownArchitecture: The model is of none.
    """
    return architecture_type(model.config.model_type)(model, processor)
