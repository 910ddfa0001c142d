"""Whether a judge's base and adapter belong together, without loading the base's weights."""

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from models.hub import local_folder
from models.reranker.loading import (
    HUB_FILES,
    JudgeUnavailable,
    content_hash,
    find_wording,
    load_processor,
    merge_adapter,
)
from models.settings import JudgeSettings


def check_fit(settings: JudgeSettings) -> None:
    """Check a judge whose files are here: architecture, processor, weights, adapter, template.

    The model is built without memory behind its tensors; with an adapter, the base's files are
    read once, for their hash.

    Raises:
        ModelUnavailable: Something is missing, or does not fit.
    """
    base = local_folder(settings.base_source, "the judge's base", HUB_FILES)
    model = _without_weights(base)
    if not any(base.glob("*.safetensors")):
        raise JudgeUnavailable(f"the judge's base in {base} has no weights (*.safetensors)")
    if settings.adapter_source is None:
        return
    adapter = local_folder(settings.adapter_source, "the judge's adapter", HUB_FILES)
    find_wording(settings, base, adapter, content_hash(base))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*meta parameter")  # nothing is to be copied
        merge_adapter(model, adapter)


def _without_weights(base: Path) -> Any:
    try:
        load_processor(base)
        config = AutoConfig.from_pretrained(base)
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(config)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError) as error:
        raise JudgeUnavailable(f"the judge's base in {base} cannot be loaded: {error}") from error
