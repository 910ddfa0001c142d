"""The architectures there are, by a config's `model_type`."""

from typing import Any

from models.errors import InputError
from models.reranker.architectures.base import ModelArchitecture
from models.reranker.architectures.idefics3 import Idefics3
from models.reranker.architectures.qwen_vl import QwenVL

ARCHITECTURES: tuple[type[ModelArchitecture], ...] = (QwenVL, Idefics3)


class UnknownArchitecture(InputError):
    """No architecture serves a model type; the sentence names the types that are served."""


def architecture_type(model_type: str) -> type[ModelArchitecture]:
    """The architecture that serves a config's `model_type`.

    Raises:
        UnknownArchitecture: None does.
    """
    for architecture in ARCHITECTURES:
        if model_type in architecture.model_types:
            return architecture
    known = ", ".join(name for architecture in ARCHITECTURES for name in architecture.model_types)
    raise UnknownArchitecture(f"models of type {model_type!r} cannot rerank; supported are {known}")


def architecture_of(model: Any, processor: Any) -> ModelArchitecture:
    """The architecture of a model, around that model.

    Args:
        model: A transformers model.
        processor: Has its `tokenizer` and `image_processor`.

    Raises:
        UnknownArchitecture: None serves it.
    """
    return architecture_type(model.config.model_type)(model, processor)
