"""The shipped reranker, and small ones with random weights in the real architectures, on the real
processors' files where they are at hand.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    SmolVLMConfig,
    set_seed,
)

from models.presets import load_preset
from models.reranker.architectures.base import Processor
from models.reranker.loading import RerankerParts, load_reranker
from models.reranker.prompts import TEMPLATES
from models.reranker.reranker import Reranker
from models.settings import RerankerSettings
from tests.paths import SHARED_DATA

PROCESSORS = SHARED_DATA / "processors"


def demo_settings() -> RerankerSettings:
    """The shipped reranker's, at the visual tokens it is served with."""
    settings = load_preset("demo").reranker
    assert settings is not None
    return settings


FOLDERS = {
    "demo": Path(demo_settings().base_source),
    "Qwen3-VL": PROCESSORS / "Qwen3-VL",
    "Qwen2.5-VL": PROCESSORS / "Qwen2.5-VL",
    "SmolVLM": PROCESSORS / "SmolVLM-256M-aeon",
    "SmolVLM2": PROCESSORS / "SmolVLM-256M-aeon",  # another class, the same processor
}


def reranker_of(architecture: str, template: str = "cir") -> Reranker:
    """The shipped reranker (`demo`), at more visual tokens than usual, or a shrunken one."""
    if architecture == "demo":
        settings = demo_settings().model_copy(update={"visual_tokens": 64})
        return Reranker(settings, replace(load_reranker(settings), template=TEMPLATES[template]))
    return shrunken(architecture, template=template)


def shrunken(architecture: str, visual_tokens: int = 64, template: str = "cir") -> Reranker:
    """A reranker of `architecture` with few and narrow layers and random weights, in float32."""
    folder = folder_of(architecture)
    config = AutoConfig.from_pretrained(folder)
    if architecture == "SmolVLM2":
        parts = {"text_config": config.text_config, "scale_factor": config.scale_factor}
        config = SmolVLMConfig(image_token_id=config.image_token_id, **parts)
        vision: Any = config.vision_config
        vision.image_size, vision.patch_size = 512, 16
    _shrink_text(config.text_config)
    (_shrink_qwen if hasattr(config.vision_config, "depth") else _shrink_siglip)(config)
    loaded = RerankerParts(
        model=random_model(config),
        processor=processor_of(folder),
        device=torch.device("cpu"),
        device_reason="a test",
        version=architecture,
        template=TEMPLATES[template],
    )
    return Reranker(RerankerSettings(base=architecture, visual_tokens=visual_tokens), loaded)


def folder_of(architecture: str) -> Path:
    """Processor and config files of an architecture; skips the test where they are not at hand."""
    if not FOLDERS[architecture].is_dir():
        pytest.skip(f"the processor files of {architecture} are not part of this repository")
    return FOLDERS[architecture]


@lru_cache
def processor_of(folder: Path) -> Processor:
    """Tokenizer and image processor."""
    return Processor(
        AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    )


def random_model(config: Any) -> Any:
    """A model with random weights, always the same ones."""
    set_seed(3)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    # as it comes, a random model says 0.50 to everything: make differences visible
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model.eval().requires_grad_(False)


def _shrink_text(text: Any) -> None:
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 64, 128, 3
    text.num_attention_heads, text.num_key_value_heads = 4, 2
    if hasattr(text, "head_dim"):
        text.head_dim = 16
    if hasattr(text, "layer_types"):
        text.layer_types = ["full_attention"] * 3


def _shrink_qwen(config: Any) -> None:
    text, vision = config.text_config, config.vision_config
    text.rope_parameters = dict(text.rope_parameters) | {"mrope_section": [4, 2, 2]}
    vision.depth, vision.hidden_size, vision.num_heads, vision.intermediate_size = 4, 64, 4, 128
    vision.out_hidden_size = 64
    if hasattr(vision, "deepstack_visual_indexes"):
        vision.deepstack_visual_indexes = [0, 1, 2]
    if hasattr(vision, "fullatt_block_indexes"):
        vision.fullatt_block_indexes = [1, 3]


def _shrink_siglip(config: Any) -> None:
    vision = config.vision_config
    vision.hidden_size, vision.intermediate_size = 64, 128
    vision.num_hidden_layers, vision.num_attention_heads = 2, 4
