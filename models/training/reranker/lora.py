"""LoRA on a base: which layers, and where the weights begin.

Adapted is every linear layer of the language model, as LamRA and GMR do; the vision tower stays as
it is.
"""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model, set_peft_model_state_dict
from peft.utils import load_peft_weights
from torch import nn
from transformers import AutoModelForImageTextToText

from models.reranker.loading import load_processor


class UnfitBase(ValueError):
    """A base that no adapter can be trained on; the sentence says why."""


def load_base(folder: Path, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """A base and its processor.

    Raises:
        UnfitBase: It cannot be loaded, or is of an architecture whose examples cannot be packed.
    """
    try:
        model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
        processor = load_processor(folder)
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


def adapt(model: Any, *, rank: int, dropout: float, seed: int, start: Path | None) -> Any:
    """Put LoRA on a base.

    Args:
        model: The base.
        rank: LoRA's r; α is twice that.
        dropout: On the input of the updates, 0 to 1.
        seed: Of new weights.
        start: An adapter to train on, which keeps its own rank; None begins with new weights.

    Returns:
        The model as peft wraps it; only the updates require gradients.
    """
    torch.manual_seed(seed)
    if start is None:
        config: Any = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            lora_dropout=dropout,
            target_modules=lora_targets(model),
            task_type="CAUSAL_LM",
        )
        return get_peft_model(model, config)
    config = PeftConfig.from_pretrained(str(start))
    config.inference_mode, config.lora_dropout = False, dropout
    config.base_model_name_or_path = None  # peft would look there; the base is what we give it
    wrapped = get_peft_model(model, config)
    set_peft_model_state_dict(wrapped, load_peft_weights(str(start), device="cpu"))
    return wrapped
