"""Measures the shared-prefix path against scoring every pair alone with the whole prompt.

    python -m tests.benchmarks.prefix --shape demo
    python -m tests.benchmarks.prefix --shape small
    python -m tests.benchmarks.prefix --shape 2b --visual-tokens 64 196 --dtype bfloat16   # a GPU

Same weights, same pictures, turn about in one run; ratios are of medians. `demo` is the shipped
reranker; `small` and `2b` are Qwen3-VL with random weights, `2b` in the size of Qwen3-VL-2B.
Floating point operations are counted by torch while each path runs; the machine's own rate is that
of a large matrix product in the same run.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3VLProcessor

from models.device import resolve_device
from models.reranker.architectures.base import PreparedImage
from models.reranker.loading import RerankerParts
from models.reranker.reranker import Reranker
from models.settings import RerankerSettings
from models.training.demo_reranker.base_model import create_model

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {
    "small": (
        {"depth": 8, "hidden_size": 512, "intermediate_size": 2048, "num_heads": 8,
         "deepstack_visual_indexes": [1, 3, 5]},
        {"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 8,
         "num_attention_heads": 12, "num_key_value_heads": 4, "head_dim": 64},
        [12, 10, 10],
    ),
    "2b": (
        {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16,
         "deepstack_visual_indexes": [5, 11, 17]},
        {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28,
         "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
         "vocab_size": 151936},
        [24, 20, 20],
    ),
}  # fmt: skip
TEXT, TARGET = "the same but blue and striped", "a blue striped sofa to the left of a red hat"


def random_reranker(shape: str, visual_tokens: int, device: str, dtype: str) -> Reranker:
    """Qwen3-VL of a shape with random weights, on the demo reranker's processor."""
    vision, text, section = SHAPES[shape]
    settings = RerankerSettings(visual_tokens=visual_tokens, device=device, dtype=dtype)
    processor = Qwen3VLProcessor.from_pretrained(settings.base_source)
    rope = {
        "rope_type": "default", "rope_theta": 1e6, "mrope_interleaved": True,
        "mrope_section": section,
    }  # fmt: skip
    text = {**text, "rope_parameters": rope}
    place, reason = resolve_device(settings.device)
    with torch.device(place):
        model: Any = create_model(processor, 768, vision=vision, text=text)
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    loaded = RerankerParts(
        model=model.to(device=place, dtype=kind).eval().requires_grad_(False),
        processor=processor, device=place, device_reason=reason, version=f"random-{shape}",
    )  # fmt: skip
    return Reranker(settings, loaded)


def picture(seed: int, side: int = 256) -> Image.Image:
    """A blurred random picture."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def one_query(
    reranker: Reranker,
    reference: PreparedImage,
    candidates: list[PreparedImage],
    chunk: int,
    cached: bool,
) -> Callable[[], list[float]]:
    """A function that does what the worker does for one query."""
    features = reranker.features(candidates) if cached else None

    def run() -> list[float]:
        prefix = reranker.with_target(reranker.prefill(reference, TEXT), TARGET)
        scores: list[float] = []
        for start in range(0, len(candidates), chunk):
            rows = slice(start, start + chunk)
            seen = features[rows] if features else reranker.features(candidates[rows])
            scores += reranker.score(prefix, seen)
        return scores

    return run


def seconds(run: Callable[[], object]) -> float:
    """Wall time, the device's work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def flops(run: Callable[[], object]) -> float:
    """Floating point operations of matrix products and attention."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def machine_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1536
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    times = [seconds(lambda: matrix @ matrix) for _ in range(8)]
    return float(2 * side**3 / min(times))


def main() -> None:
    """Measure and print one table per number of visual tokens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=["demo", *SHAPES], default="demo")
    parser.add_argument("--visual-tokens", type=int, nargs="+", default=[])
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--chunk", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    for tokens in options.visual_tokens or [16 if options.shape == "demo" else 64]:
        if options.shape == "demo":
            reranker = Reranker(RerankerSettings(visual_tokens=tokens))
        else:
            reranker = random_reranker(options.shape, tokens, options.device, options.dtype)
        measure(reranker, tokens, options)


def measure(reranker: Reranker, tokens: int, options: argparse.Namespace) -> None:
    """One table."""
    reference = reranker.prepare(picture(0))
    candidates = [reranker.prepare(picture(seed)) for seed in range(1, options.candidates + 1)]
    paths: dict[str, Callable[[], list[float]]] = {
        "each pair alone": lambda: [
            reranker.score_unsplit(reference, TEXT, TARGET, candidate) for candidate in candidates
        ],
        "shared prefix": one_query(reranker, reference, candidates, options.chunk, cached=False),
        "shared prefix, features cached": one_query(
            reranker, reference, candidates, options.chunk, cached=True
        ),
    }
    results = {name: run() for name, run in paths.items()}  # also the warm-up
    alone = results["each pair alone"]
    times = {
        name: statistics.median(column)
        for name, column in zip(
            paths,
            zip(
                *([seconds(r) for r in paths.values()] for _ in range(options.rounds)), strict=True
            ),
            strict=True,
        )
    }
    weight = reranker._head
    rate = machine_rate(weight.device, weight.dtype)
    print(
        f"{reranker.version}, {reranker.device_reason}; {options.candidates} candidates, "
        f"{tokens} visual "
        f"tokens each, chunks of {options.chunk}; "
        f"a large matrix product makes {rate / 1e9:.0f} GFLOP/s"
    )
    print("| path | ms per query | pairs/s | ratio | GFLOP | of the matrix rate | max Δ score |")
    print("|---|---|---|---|---|---|---|")
    for name, run in paths.items():
        work, took = flops(run), times[name]
        apart = max(abs(a - b) for a, b in zip(alone, results[name], strict=True))
        print(
            f"| {name} | {took * 1000:.0f} | {options.candidates / took:.0f} | "
            f"{times['each pair alone'] / took:.1f} | {work / 1e9:.1f} | "
            f"{work / took / rate:.0%} | {apart:.1e} |"
        )


if __name__ == "__main__":
    main()
