"""Loads, asks and checks rerankers of the published widths, with few layers and random weights.

    python -m tests.benchmarks.full_size --processors ../shared/data/processors \
        --photos ../shared/data/photos/images/coco

What small models cannot show: that the published configs and processors load through
`load_reranker`, that the real widths and vocabularies fit together, and what that takes. For every
family it composes and scores two photographs, and compares the prefix path with the plain one.
"""

import argparse
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText, set_seed

from models.reranker.intent_format import IntentParseError
from models.reranker.reranker import Reranker
from models.settings import RerankerSettings

ARCHITECTURES = ("Qwen3-VL", "Qwen2.5-VL", "SmolVLM-256M-aeon")
TEXT, TARGET = "the same but at night", "a street at night"
LAYERS = 2


def shallow(folder: Path, out: Path) -> None:
    """A folder like a hub model's: the config with few layers, random weights, the processor."""
    for path in folder.iterdir():
        shutil.copy(path, out)
    config = AutoConfig.from_pretrained(folder)
    text, vision = config.text_config, config.vision_config
    text.num_hidden_layers = LAYERS
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:LAYERS]
    _make_shallow(vision)
    set_seed(0)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(out)


def _make_shallow(vision: Any) -> None:
    if not hasattr(vision, "depth"):
        vision.num_hidden_layers = LAYERS
        return
    vision.depth = 3
    if hasattr(vision, "deepstack_visual_indexes"):
        vision.deepstack_visual_indexes = [0, 1, 2]
    if hasattr(vision, "fullatt_block_indexes"):
        vision.fullatt_block_indexes = [2]


def measure(family: Path, photos: list[Image.Image], dtype: str) -> dict[str, Any]:
    """Seconds and answers of one reranker."""
    with tempfile.TemporaryDirectory() as folder:
        shallow(family, Path(folder))
        began = time.perf_counter()
        settings = RerankerSettings(base=folder, visual_tokens=64, dtype=dtype)
        reranker = Reranker(settings)
        loaded_s = time.perf_counter() - began
    reference, candidate = (reranker.prepare(photo) for photo in photos)
    began = time.perf_counter()
    prefix = reranker.prefill(reference, TEXT)
    try:
        composed = reranker.compose(prefix).target
    except IntentParseError as error:  # random weights speak at length
        composed = str(error)[:60]
    targeted = reranker.with_target(prefix, TARGET)
    scores = reranker.score(targeted, reranker.features([candidate, reference]))
    asked_s = time.perf_counter() - began
    alone = [reranker.score_unsplit(reference, TEXT, TARGET, c) for c in (candidate, reference)]
    return {
        "reranker": reranker.version,
        "device": reranker.device_reason,
        "visual_tokens": [reference.visual_tokens, candidate.visual_tokens],
        "load_s": round(loaded_s, 1),
        "begin_compose_score_s": round(asked_s, 1),
        "composed": composed,
        "scores": scores,
        "difference_to_plain": max(abs(a - b) for a, b in zip(scores, alone, strict=True)),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processors", type=Path, required=True, help="folders of processor files")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--families", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options = parser.parse_args()
    photos = [Image.open(path).convert("RGB") for path in sorted(options.photos.iterdir())[:2]]
    for family in options.families:
        print(family, json.dumps(measure(options.processors / family, photos, options.dtype)))


if __name__ == "__main__":
    main()
