"""Measures the composition modes on a demo catalogue, and tunes their weights.

    python -m tests.benchmarks.composition --catalogue data/test
    python -m tests.benchmarks.composition --catalogue data/validation --tune

Exhaustive search in memory with the real encoder: what the embeddings are worth, without a server.
Weights are tuned on validation queries only; test queries only ever report.
"""

import argparse
import json
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from indexer.metrics import average_precision_at_k, recall_at_k
from indexer.reader import read_manifest, schema_of
from models.composition.composer import Composer
from models.composition.vector import CompositionWeights
from models.contracts.gallery import GallerySpec
from models.encoder import ImageTextEncoder
from models.presets import load_preset

MODES = ("image", "text", "union", "intersection")
# What --tune tries; `preserve` counts half for words, half for the reference.
GRID = {
    "target": (0.8,),
    "desired": (0.0, 0.1, 0.2),
    "preserve": (0.0, 0.1, 0.2, 0.4),
    "text": (0.0, 0.1, 0.2, 0.35),
    "forbidden": (0.0, 0.05, 0.1),
}
UNION_SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def main() -> None:
    """Measure, or tune and then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True, help="made by `indexer demo`")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--tune", action="store_true", help="search the weights first")
    parser.add_argument("--context-facet", action="append", default=None)
    options = parser.parse_args()
    preset = load_preset(options.preset)
    encoder = ImageTextEncoder(preset.encoder)
    rows = read_manifest(options.catalogue / "manifest.jsonl")
    facets, noun = schema_of(rows, options.context_facet or ["setting"], None)
    spec = GallerySpec(
        encoder_fingerprint=encoder.fingerprint, embedding_dim=encoder.embedding_dim,
        facets=facets, noun_facet=noun, built_at="in memory",
    )  # fmt: skip
    gallery = np.concatenate(
        [
            encoder.encode_images([Image.open(row.location).convert("RGB") for row in chunk])
            for chunk in tqdm([rows[i : i + 64] for i in range(0, len(rows), 64)], "embed")
        ]
    )
    lines = (options.catalogue / "queries.jsonl").read_text("utf-8").splitlines()
    bench = _Bench(spec, encoder, gallery, [row.image_id for row in rows], map(json.loads, lines))
    weights = _tune(bench) if options.tune else preset.composition
    print(f"{len(bench.queries)} queries, gallery of {len(rows)}, {encoder.fingerprint}")
    print("weights", weights.model_dump_json())
    for mode in MODES:
        bench.report(mode, weights)


class _Bench:
    """Queries with their references and intents, ready to be composed again and again."""

    def __init__(self, spec, encoder, gallery, image_ids, queries):  # type: ignore[no-untyped-def]
        self.spec, self.encoder, self.gallery, self.ids = spec, encoder, gallery, image_ids
        self.queries = list(queries)
        row_of = {image_id: number for number, image_id in enumerate(image_ids)}
        self.rows = [row_of[q["reference_image_id"]] for q in self.queries]
        self.answers = [[row_of[i] for i in q["target_image_ids"]] for q in self.queries]
        self.composer = Composer(spec, encoder.encode_texts, CompositionWeights())
        self.intents = [
            self.composer.intent(gallery[row], query["modification_text"])
            for row, query in zip(tqdm(self.rows, "intents"), self.queries, strict=True)
        ]

    def scores(self, mode, weights):  # type: ignore[no-untyped-def]
        """(mAP@10, recall@1, recall@50) rows, one per query."""
        self.composer._weights = weights
        result = []
        for row, query, intent, answers in zip(
            self.rows, self.queries, self.intents, self.answers, strict=True
        ):
            reference = self.gallery[row]
            vector = self.composer.embed(mode, reference, query["modification_text"], intent)
            ranked = [i for i in np.argsort(-(self.gallery @ vector))[:51].tolist() if i != row]
            result.append(
                (
                    average_precision_at_k(ranked, answers, 10),
                    recall_at_k(ranked, answers, 1),
                    recall_at_k(ranked, answers, 50),
                )
            )
        return np.array(result)

    def report(self, mode, weights):  # type: ignore[no-untyped-def]
        rows = self.scores(mode, weights)
        mean = rows.mean(axis=0)
        print(f"{mode:13} mAP@10 {mean[0]:.3f}  recall@1 {mean[1]:.3f}  recall@50 {mean[2]:.3f}")
        by_edit = defaultdict(list)
        for query, row in zip(self.queries, rows, strict=True):
            by_edit[query["edit"]].append(row[0])
        print("   mAP@10 by edit:", {e: round(float(np.mean(v)), 3) for e, v in by_edit.items()})


def _tune(bench: _Bench) -> CompositionWeights:
    unions = [CompositionWeights(union_reference=share) for share in UNION_SHARES]
    best_union = max(unions, key=lambda w: float(bench.scores("union", w)[:, 0].mean()))
    candidates = [
        CompositionWeights(**dict(zip(GRID, values, strict=True)),
                           union_reference=best_union.union_reference)
        for values in product(*GRID.values())
    ]  # fmt: skip
    return max(
        tqdm(candidates, "tune"),
        key=lambda w: float(bench.scores("intersection", w)[:, 0].mean()),
    )


if __name__ == "__main__":
    main()
