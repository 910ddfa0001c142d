"""Encoders for training: made, loaded, saved."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from models.settings import EncoderSettings

_CONFIG_NAME = "open_clip_config.json"
_WEIGHTS_NAME = "open_clip_model.safetensors"


def create_untrained(folder: Path) -> tuple[torch.nn.Module, Any]:
    """Make a randomly initialised model from a folder's `open_clip_config.json`.

    Returns:
        The open_clip model, and its tokenizer: list of texts → int64 (B, context length).

    Raises:
        FileNotFoundError: The folder or its config is missing.
    """
    source = f"local-dir:{folder}"
    model = open_clip.create_model(source, load_weights=False)
    return model, open_clip.get_tokenizer(source)


def load_trainable(settings: EncoderSettings, folder: Path) -> tuple[torch.nn.Module, Any]:
    """Load a model to be trained further, and make `folder` ready to hold what becomes of it.

    Args:
        settings: Which model.
        folder: Its `open_clip_config.json` is written there, for `save_weights` and `local-dir:`.

    Returns:
        The open_clip model in float32, and its tokenizer: list of texts → int64 (B, context
        length).

    Raises:
        FileNotFoundError: A `local-dir:` model's folder or config is missing.
        RuntimeError: open_clip does not know the model, or its weights cannot be had.
    """
    model = open_clip.create_model(
        settings.source, pretrained=settings.pretrained, require_pretrained=True
    )
    looks = open_clip.get_model_preprocess_cfg(model)
    config = {
        "model_cfg": open_clip.get_model_config(settings.source),
        "preprocess_cfg": {
            name: looks[name] for name in ("mean", "std", "interpolation", "resize_mode")
        },
    }
    (folder / _CONFIG_NAME).write_text(json.dumps(config, indent=1), encoding="utf-8")
    return model, open_clip.get_tokenizer(settings.source)


def save_weights(model: torch.nn.Module, folder: Path) -> Path:
    """Write a model's weights into its folder in half precision, as `local-dir:` reads them."""
    weights = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    path = folder / _WEIGHTS_NAME
    save_file(weights, path)
    return path
