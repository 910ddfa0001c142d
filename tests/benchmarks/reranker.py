"""Measures the reranker on a demo catalogue: intents, scores, and what reranking is worth.

    python -m tests.benchmarks.reranker --catalogue data/test --queries 400

In memory, with the real encoder, composer and reranker, and the fusion the service uses: what the
models are worth, without a server. Every coarse order is reranked by the same reranker, which
names its target itself, as the worker does.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from app.api.search.ranking import fuse
from indexer.gallery.ports import Hit
from models.contracts.gallery import GalleryImage
from models.contracts.intent import ComposedIntent
from models.datasets.images import ImageLimits, decode_image
from models.datasets.manifest import ImageRow, read_manifest
from models.encoder.encoder import ImageTextEncoder
from models.encoder.text_cache import TextEmbeddingCache
from models.metrics.retrieval import average_precision_at_k, recall_at_k
from models.presets import load_preset
from models.query.composition import Composer
from models.query.text_requests import answer
from models.query.weights import CompositionWeights
from models.reranker.architectures.base import VisualFeatures
from models.reranker.intent_format import IntentParseError
from models.reranker.reranker import Reranker
from models.settings import RerankerSettings
from models.training.demo_reranker.data import DemoData, Negatives, read_examples
from tests.benchmarks.composition import Bench

DEPTH = 50
NEGATIVES = 8
CHUNK = 16


class CachedReranker:
    """A reranker with a catalogue's features: every picture passes the vision tower once."""

    def __init__(self, reranker: Reranker, rows: Sequence[ImageRow]) -> None:
        self.reranker = reranker
        self.prepared = [
            reranker.prepare(decode_image(row.read_bytes(), ImageLimits()))
            for row in tqdm(rows, "prepare")
        ]
        self.features: list[VisualFeatures] = []
        for start in tqdm(range(0, len(rows), CHUNK), "features"):
            self.features += reranker.features(self.prepared[start : start + CHUNK])

    def intent(self, reference: int, text: str) -> ComposedIntent | None:
        """The reranker's intent, if it can be read."""
        try:
            return self.reranker.compose(self.reranker.prefill(self.prepared[reference], text))
        except IntentParseError:
            return None

    def scores(
        self, reference: int, text: str, target: str | None, candidates: Sequence[int]
    ) -> list[float]:
        """One score per candidate."""
        prefix = self.reranker.prefill(self.prepared[reference], text)
        if target is not None:
            prefix = self.reranker.with_target(prefix, target)
        found: list[float] = []
        for start in range(0, len(candidates), CHUNK):
            chunk = [self.features[i] for i in candidates[start : start + CHUNK]]
            found += self.reranker.score(prefix, chunk)
        return found


def area_under_roc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """How often a right pair scores above a wrong one; ties count half (Mann–Whitney U)."""
    ranks = np.argsort(np.argsort(np.concatenate([right, wrong]), kind="stable")) + 1.0
    values = np.concatenate([right, wrong])
    for value in np.unique(values):  # ties share their mean rank
        same = values == value
        ranks[same] = ranks[same].mean()
    u = ranks[: len(right)].sum() - len(right) * (len(right) + 1) / 2
    return float(u / (len(right) * len(wrong)))


def auc_by_target(
    cached: CachedReranker,
    examples: DemoData,
    count: int,
    composed: Mapping[int, ComposedIntent | None],
) -> dict[str, float]:
    """AUC over right answers and hard negatives, for each way to name the target."""
    negatives, rng = Negatives(examples), random.Random(3)
    scores_of: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for number, query in enumerate(tqdm(examples.queries[:count], "reranker")):
        right = sorted(query.answers)[:4]
        wrong = list(dict.fromkeys(negatives.draw(query, NEGATIVES, rng)))
        intent = composed.get(number)
        targets = {
            "target by the reranker": intent.target if intent else None,
            "true target": query.target,
            "no target": None,
        }
        for name, target in targets.items():
            scores = cached.scores(query.reference, query.text, target, right + wrong)
            scores_of[name][0].extend(scores[: len(right)])
            scores_of[name][1].extend(scores[len(right) :])
    return {name: area_under_roc(*scores) for name, scores in scores_of.items()}


def tops_of(coarse: Mapping[str, np.ndarray]) -> dict[str, list[list[int]]]:
    """The best `DEPTH` pictures of every query, best first, per composition."""
    tops = {}
    for name, similarity in coarse.items():
        best = np.argpartition(-similarity, DEPTH, axis=1)[:, :DEPTH]
        order = np.take_along_axis(-similarity, best, axis=1).argsort(axis=1, kind="stable")
        tops[name] = np.take_along_axis(best, order, axis=1).tolist()
    return tops


def score_candidates(
    cached: CachedReranker,
    tops: Mapping[str, list[list[int]]],
    bench: Bench,
    composed: Mapping[int, ComposedIntent | None],
) -> list[dict[str, float]]:
    """Per query: picture → score, for all that any composition found."""
    known = []
    for number in tqdm(range(len(bench.queries)), "rerank"):
        candidates = sorted({i for lists in tops.values() for i in lists[number]})
        intent = composed[number]
        scores = cached.scores(
            bench.references[number],
            bench.texts[number],
            intent.target if intent else None,
            candidates,
        )
        known.append({str(i): score for i, score in zip(candidates, scores, strict=True)})
    return known


def table_row(
    similarity: np.ndarray,
    tops: Sequence[list[int]],
    known: Sequence[Mapping[str, float]],
    answers: Sequence[list[int]],
    weight: float,
) -> np.ndarray:
    """(queries, 5): recall@50; mAP@10 before and after; recall@1 before and after."""
    rows = []
    for number, top in enumerate(tops):
        candidates = [
            Hit(
                GalleryImage(image_id=str(i), content_hash="0" * 64, width=1, height=1),
                float(similarity[number][i]),
            )
            for i in top
        ]
        after = [int(r.candidate.image.image_id) for r in fuse(candidates, known[number], weight)]
        right = answers[number]
        rows.append(
            [
                recall_at_k(top, right, DEPTH),
                average_precision_at_k(top, right, 10), average_precision_at_k(after, right, 10),
                recall_at_k(top, right, 1), recall_at_k(after, right, 1),
            ]
        )  # fmt: skip
    return np.array(rows)


def similarities(
    bench: Bench, weights: CompositionWeights, composed: Mapping[int, ComposedIntent | None]
) -> dict[str, np.ndarray]:
    """(queries, N) per composition; the reference itself is left out."""
    texts = TextEmbeddingCache(bench.encoder.encode_texts, bench.encoder.embedding_dim)
    composer = Composer(bench.spec, weights)
    by_reranker = [composed[n] or bench.facet_intents[n] for n in range(len(bench.queries))]
    intents_of = {
        "text": ("text", bench.facet_intents), "image": ("image", bench.facet_intents),
        "union": ("union", bench.facet_intents),
        "intersection, facets": ("intersection", bench.facet_intents),
        "intersection, reranker": ("intersection", by_reranker),
        "intersection, true intents": ("intersection", bench.true_intents),
    }  # fmt: skip
    found = {}
    for name, (mode, intents) in intents_of.items():
        vectors = np.stack(
            [
                answer(
                    composer.embed(mode, bench.gallery[reference], text, intent),  # type: ignore[arg-type]
                    texts.encode,
                )
                for reference, text, intent in zip(
                    bench.references, bench.texts, intents, strict=True
                )
            ]
        )
        found[name] = vectors @ bench.gallery.T
        found[name][np.arange(len(vectors)), bench.references] = -np.inf
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True, help="made by `indexer demo`")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--weight", type=float, default=1.0, help="of the rerank score")
    parser.add_argument("--tune", action="store_true", help="try weights; validation queries only")
    parser.add_argument("--without-base", action="store_true", help="leave out the base's AUC")
    parser.add_argument("--preset", default="demo")
    options = parser.parse_args()
    preset = load_preset(options.preset)
    if preset.reranker is None:
        parser.error(f"the preset {options.preset} has no reranker")
    rows = read_manifest(options.catalogue / "manifest.jsonl")
    lines = (options.catalogue / "queries.jsonl").read_text("utf-8").splitlines()
    queries = [query for line in lines if (query := json.loads(line))["family"] == "templates"]
    queries = queries[: options.queries]
    bench = Bench(rows, queries, ImageTextEncoder(preset.encoder))
    examples = read_examples(options.catalogue)

    cached = CachedReranker(Reranker(preset.reranker), rows)
    print(f"{len(queries)} queries, gallery of {len(rows)}, reranker {cached.reranker.version}")
    composed = {
        n: cached.intent(bench.references[n], bench.texts[n])
        for n in tqdm(range(len(queries)), "compose")
    }
    _report_intents(queries, composed)
    auc = auc_by_target(cached, examples, len(queries), composed)
    if preset.reranker.base == "demo" and not options.without_base:
        base = RerankerSettings(
            base=preset.reranker.base_source, visual_tokens=preset.reranker.visual_tokens
        )
        plain = auc_by_target(
            CachedReranker(Reranker(base), rows), examples, len(queries), composed
        )
    else:
        plain = {}
    print("| AUC on hard negatives | base and adapter | base alone |\n|---|---|---|")
    for name, value in auc.items():
        print(f"| {name} | {value:.3f} | {plain.get(name, float('nan')):.3f} |")

    coarse = similarities(bench, preset.composition, composed)
    tops = tops_of(coarse)
    known = score_candidates(cached, tops, bench, composed)
    for weight in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if options.tune else (options.weight,):
        print(f"rerank weight {weight}, top {DEPTH}")
        print("| composition | recall@50 | mAP@10 | reranked | recall@1 | reranked |")
        print("|---|---|---|---|---|---|")
        for name in coarse:
            values = table_row(coarse[name], tops[name], known, bench.answers, weight).mean(axis=0)
            print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


def _report_intents(
    queries: Sequence[dict[str, Any]],
    composed: Mapping[int, ComposedIntent | None],
) -> None:
    right: dict[str, list[bool]] = defaultdict(list)
    for number, query in enumerate(queries):
        intent = composed[number]
        right[query["edit"]].append(intent is not None and intent.target == query["target"])
    share = np.mean([one for many in right.values() for one in many])
    by_edit = {edit: round(float(np.mean(many)), 2) for edit, many in sorted(right.items())}
    print(f"targets named word for word: {share:.3f}; by edit {by_edit}")


if __name__ == "__main__":
    main()
