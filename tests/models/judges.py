"""The shipped judge, and small ones with random weights in the real architectures, on the real
processors' files where they are at hand.
"""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, set_seed

from models.presets import load_preset
from models.reranker.judge import Judge
from models.reranker.loading import LoadedJudge
from models.settings import JudgeSettings

PROCESSORS = Path(__file__).parents[3] / "shared" / "data" / "processors"


def judge_of(family: str) -> Judge:
    """The shipped judge (`demo`), at more visual tokens than usual, or a shrunken one."""
    if family == "demo":
        return Judge(load_preset("demo").judge.model_copy(update={"visual_tokens": 64}))
    return shrunken(family)


def shrunken(family: str, visual_tokens: int = 64) -> Judge:
    """A judge of `family` (a folder of `PROCESSORS`) with few and narrow layers, in float32."""
    folder = PROCESSORS / family
    if not folder.is_dir():
        pytest.skip(f"the processor files of {family} are not part of this repository")
    config = AutoConfig.from_pretrained(folder)
    text, vision = config.text_config, config.vision_config
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 64, 128, 3
    text.num_attention_heads, text.num_key_value_heads = 4, 2
    if hasattr(text, "head_dim"):
        text.head_dim = 16
    text.layer_types = ["full_attention"] * 3
    text.rope_parameters = dict(text.rope_parameters) | {"mrope_section": [4, 2, 2]}
    vision.depth, vision.hidden_size, vision.num_heads, vision.intermediate_size = 4, 64, 4, 128
    vision.out_hidden_size = 64
    if hasattr(vision, "deepstack_visual_indexes"):
        vision.deepstack_visual_indexes = [0, 1, 2]
    if hasattr(vision, "fullatt_block_indexes"):
        vision.fullatt_block_indexes = [1, 3]
    set_seed(3)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    # as it comes, a random model says 0.50 to everything: make differences visible
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    loaded = LoadedJudge(
        model=model.eval().requires_grad_(False),
        processor=AutoProcessor.from_pretrained(folder),
        device=torch.device("cpu"),
        device_reason="a test",
        version=family,
    )
    return Judge(JudgeSettings(base=family, visual_tokens=visual_tokens), loaded)
