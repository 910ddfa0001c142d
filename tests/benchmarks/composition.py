"""Measures the composition modes on a demo catalogue, and tunes their weights.

    python -m tests.benchmarks.composition --catalogue data/test
    python -m tests.benchmarks.composition --catalogue data/validation --tune

Exhaustive search in memory with the real encoder and composer: what the embeddings are worth,
without a server. Weights are tuned on validation queries only; test queries only ever report.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from models.contracts.gallery import GallerySpec
from models.contracts.intent import ComposedIntent, Intent
from models.datasets.images import ImageLimits, decode_image
from models.datasets.manifest import ImageRow, read_manifest
from models.datasets.schema import schema_of
from models.encoder.encoder import ImageTextEncoder
from models.encoder.text_cache import TextEmbeddingCache
from models.metrics.retrieval import average_precision_at_k, recall_at_k
from models.presets import load_preset
from models.query.composition import Composer
from models.query.text_requests import answer
from models.query.weights import CompositionMode, CompositionWeights, UnderstoodWeights

MODES: tuple[CompositionMode, ...] = ("image", "text", "union", "intersection")
DEPTH = 50

# What --tune tries; `preserve` counts half for words, half for the reference itself.
GRID = {
    "target": (0.8,),
    "desired": (0.0, 0.1, 0.2),
    "preserve": (0.0, 0.1, 0.2, 0.4),
    "text": (0.0, 0.1, 0.2, 0.35),
    "forbidden": (0.0, 0.1, 0.2),
}
UNION_SHARES = tuple(round(0.1 * step, 1) for step in range(1, 10))


class Bench:
    """Queries with references, intents and right answers, ready to be composed again and again."""

    def __init__(
        self, rows: Sequence[ImageRow], queries: list[dict[str, Any]], encoder: ImageTextEncoder
    ):
        facets, noun = schema_of([row.attributes for row in rows], ["setting"], None)
        self.spec = GallerySpec(
            encoder_fingerprint=encoder.fingerprint, embedding_dim=encoder.embedding_dim,
            facets=facets, noun_facet=noun, preset="in memory", rerank_px=448, thumbnail_px=256,
            built_at="in memory",
        )  # fmt: skip
        self.encoder, self.queries = encoder, queries
        self.encode_texts = TextEmbeddingCache(encoder.encode_texts, encoder.embedding_dim).encode
        self.gallery = self._embed(rows)
        row_of = {row.image_id: number for number, row in enumerate(rows)}
        self.references = [row_of[query["reference_image_id"]] for query in queries]
        self.answers = [[row_of[i] for i in query["target_image_ids"]] for query in queries]
        composer = Composer(self.spec, CompositionWeights())
        self.texts = [query["modification_text"] for query in queries]
        self.facet_intents = [
            answer(composer.intent(self.gallery[reference], text), self.encode_texts)
            for reference, text in zip(tqdm(self.references, "intents"), self.texts, strict=True)
        ]
        self.true_intents = [
            ComposedIntent(
                **Intent.model_validate(
                    {k: q[k] for k in Intent.model_fields if k in q}
                ).model_dump(),
                source="client",
            )
            for q in queries
        ]

    def _embed(self, rows: Sequence[ImageRow]) -> np.ndarray:
        size = self.encoder.batch_size
        chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
        return np.concatenate(
            [
                self.encoder.encode_images(
                    [decode_image(row.read_bytes(), ImageLimits()) for row in chunk]
                )
                for chunk in tqdm(chunks, "embed")
            ]
        )

    def scores(
        self,
        mode: CompositionMode,
        weights: CompositionWeights,
        intents: Sequence[ComposedIntent],
        understood: UnderstoodWeights | None = None,
    ) -> np.ndarray:
        """(queries, 3): mAP@10, recall@1, recall@50; the reference itself is left out.

        Args:
            mode: Of composition.
            weights: How much each role counts.
            intents: One per query.
            understood: Instead of `weights`, where the text is understood.
        """
        composer = Composer(self.spec, weights, understood)
        only = weights if understood is None else None
        rows = [
            answer(
                composer.embed(mode, self.gallery[reference], text, intent, only),
                self.encode_texts,
            )
            for reference, text, intent in zip(self.references, self.texts, intents, strict=True)
        ]
        # (queries, N): the best of a query's embeddings
        similarity = np.stack([(one @ self.gallery.T).max(axis=0) for one in rows])
        similarity[np.arange(len(rows)), self.references] = -np.inf
        best = np.argpartition(-similarity, DEPTH, axis=1)[:, :DEPTH]
        order = np.take_along_axis(similarity, best, axis=1).argsort(axis=1)[:, ::-1]
        ranked = np.take_along_axis(best, order, axis=1).tolist()
        return np.array(
            [
                (average_precision_at_k(r, a, 10), recall_at_k(r, a, 1), recall_at_k(r, a, DEPTH))
                for r, a in zip(ranked, self.answers, strict=True)
            ]
        )

    def tune(self) -> CompositionWeights:
        """The weights of the grid with the best mAP@10, union and intersection apart."""
        unions = [CompositionWeights(union_reference=share) for share in UNION_SHARES]
        best = max(unions, key=lambda w: self.scores("union", w, self.facet_intents)[:, 0].mean())
        grid = [
            CompositionWeights(
                **dict(zip(GRID, values, strict=True)), union_reference=best.union_reference
            )
            for values in product(*GRID.values())
        ]
        tuned: CompositionWeights = max(
            tqdm(grid, "tune"),
            key=lambda w: self.scores("intersection", w, self.facet_intents)[:, 0].mean(),
        )
        return tuned

    def report(self, name: str, rows: np.ndarray) -> None:
        """One line of the table, and mAP@10 by kind of edit."""
        mean = rows.mean(axis=0)
        print(f"| {name} | {mean[0]:.3f} | {mean[1]:.3f} | {mean[2]:.3f} |")
        by_edit = defaultdict(list)
        for query, row in zip(self.queries, rows, strict=True):
            by_edit[query["edit"]].append(row[0])
        self.by_edit = getattr(self, "by_edit", {})
        self.by_edit[name] = {edit: round(float(np.mean(v)), 2) for edit, v in by_edit.items()}


def main() -> None:
    """Measure, or tune and then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True, help="made by `indexer demo`")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--tune", action="store_true", help="search the weights first")
    options = parser.parse_args()
    preset = load_preset(options.preset)
    encoder = ImageTextEncoder(preset.encoder)
    lines = (options.catalogue / "queries.jsonl").read_text("utf-8").splitlines()
    rows = read_manifest(options.catalogue / "manifest.jsonl")
    queries = [query for line in lines if (query := json.loads(line))["family"] == "templates"]
    bench = Bench(rows, queries, encoder)
    weights = bench.tune() if options.tune else preset.composition
    understood = None if options.tune else preset.understood
    print(f"{len(bench.queries)} queries, gallery of {len(rows)}, {encoder.fingerprint}")
    print("weights", weights.model_dump_json())
    print("| composition | mAP@10 | recall@1 | recall@50 |\n|---|---|---|---|")
    for mode in MODES:
        bench.report(mode, bench.scores(mode, weights, bench.facet_intents, understood))
    bench.report(
        "intersection, true roles",
        bench.scores("intersection", weights, bench.true_intents, understood),
    )
    for name, values in bench.by_edit.items():
        print(f"mAP@10 of {name} by edit: {values}")


if __name__ == "__main__":
    main()
