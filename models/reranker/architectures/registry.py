"""Which architecture a model is of."""

from typing import Any

from models.reranker.architectures.base import ModelArchitecture
from models.reranker.architectures.idefics3 import Idefics3
from models.reranker.architectures.qwen_vl import QwenVL

FAMILIES: tuple[type[ModelArchitecture], ...] = (QwenVL, Idefics3)


class UnknownFamily(ValueError):
    """There is no family for a model type; the sentence names those there are."""


def family_type(model_type: str) -> type[ModelArchitecture]:
    """The family that serves a config's `model_type`.

    Raises:
        UnknownFamily: None does.
    """
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = ", ".join(name for family in FAMILIES for name in family.model_types)
    raise UnknownFamily(f"models of type {model_type!r} cannot rerank; supported are {known}")


def family_of(model: Any, processor: Any) -> ModelArchitecture:
    """A model, and whatever has its `tokenizer` and `image_processor`, as one of its family.

    Raises:
        UnknownFamily: The model is of none.
    """
    return family_type(model.config.model_type)(model, processor)
