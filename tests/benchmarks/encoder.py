"""Measures an encoder on a demo catalogue: text→image R@1, and how well it reads each attribute.

    python -m tests.benchmarks.encoder --catalogue data/test

R@1 is among 1,000 scenes with different captions, the canonical caption as the query. Attributes
are read zero-shot from scenes with one object, among all phrases "a COLOUR PATTERN KIND".
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np

from indexer.demo.language import describe_item
from indexer.demo.scene import COLOURS, KINDS, PATTERNS, Item
from models.datasets.images import ImageLimits, decode_image
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True, help="made by `indexer demo`")
    parser.add_argument("--preset", default="demo")
    options = parser.parse_args()
    encoder = ImageTextEncoder(load_preset(options.preset).encoder)
    lines = (options.catalogue / "manifest.jsonl").read_text("utf-8").splitlines()
    rows = list({row["caption"]: row for row in map(json.loads, lines)}.values())[:1000]
    paths = [options.catalogue / row["image"] for row in rows]
    images = encoder.encode_images(
        [decode_image(path.read_bytes(), ImageLimits()) for path in paths]
    )
    texts = encoder.encode_texts([row["caption"] for row in rows])
    right = (texts @ images.T).argmax(axis=1) == np.arange(len(rows))
    held_out = np.array([row["held_out"] for row in rows])
    print(f"{encoder.fingerprint}: text→image R@1 among {len(rows)} scenes")
    print(f"  all {right.mean():.3f}")
    print(f"  with a held-out combination ({held_out.sum()} scenes) {right[held_out].mean():.3f}")
    print(f"  without ({(~held_out).sum()} scenes) {right[~held_out].mean():.3f}")

    items = [Item(*values) for values in product(KINDS, COLOURS, PATTERNS)]
    phrases = encoder.encode_texts([describe_item(item) for item in items])
    alone = [number for number, row in enumerate(rows) if len(row["items"]) == 1]
    read = [items[i] for i in (images[alone] @ phrases.T).argmax(axis=1)]
    truth = [Item(**rows[number]["items"][0]) for number in alone]
    print(f"attributes read from {len(alone)} scenes with one object, among {len(items)} phrases")
    for facet in ("kind", "colour", "pattern"):
        share = np.mean(
            [getattr(r, facet) == getattr(t, facet) for r, t in zip(read, truth, strict=True)]
        )
        print(f"  {facet} {share:.3f}")


if __name__ == "__main__":
    main()
