"""What facets that are made are worth on a catalogue whose attributes are hidden.

    python -m tests.benchmarks.auto_facets --catalogue data/test
    python -m tests.benchmarks.auto_facets --catalogue data/test --texts texts.jsonl --robustness

Exhaustive search in memory with the real encoder and composer; every reference is read from its
embedding. Printed are mAP@10 on the catalogue's own queries, as a multiple of `union` too, and
recall@1 on typed texts (lines of `{"reference", "text", "targets"}`); `labels` composes with the
catalogue's attributes as facets, the bound that made facets come near to. With `--robustness` also:
noise on the image embeddings, a constant added to the text embeddings, a part of the lexicon's
matching words missing, a hundred images.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.contracts.gallery import Facet, GallerySpec
from models.datasets.images import ImageLimits, decode_image
from models.datasets.manifest import ImageRow, read_manifest
from models.datasets.schema import schema_of
from models.encoder.encoder import ImageTextEncoder
from models.encoder.text_cache import TextEmbeddingCache
from models.encoder.types import Embeddings, EncodeTexts
from models.metrics.retrieval import average_precision_at_k
from models.presets import load_preset
from models.query.composition import Composer
from models.query.made_facets.discovery import MAX_IMAGES, Discovery, discover
from models.query.made_facets.lexicon import FacetLexicon, facet_lexicon
from models.query.text_requests import answer
from models.query.weights import CompositionMode

_SEED = 5


@dataclass(frozen=True)
class Question:
    """Rows of a gallery: a reference, what is asked of it, and the right answers."""

    reference: int
    text: str
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Figures:
    """Means over questions: mAP@10, recall@1."""

    average_precision: float
    first: float


class Bench:
    """A gallery in memory."""

    def __init__(
        self, images: Embeddings, encode_texts: EncodeTexts, scale: float, preset: str
    ) -> None:
        self.images, self.scale = images, scale
        self.encode_texts = TextEmbeddingCache(encode_texts, images.shape[1], 10**6).encode
        shipped = load_preset(preset)
        self.weights, self.understood = shipped.composition, shipped.understood

    def discover(self, lexicon: FacetLexicon | None = None, count: int = MAX_IMAGES) -> Discovery:
        """Make facets of a random sample."""
        sample = np.random.default_rng(_SEED).permutation(len(self.images))[:count]
        return discover(self.images[sample], self.encode_texts, self.scale, lexicon)

    def figures(
        self,
        mode: CompositionMode,
        facets: Sequence[Facet],
        noun: str | None,
        questions: Sequence[Question],
    ) -> Figures:
        """Measure; the reference itself is left out."""
        spec = GallerySpec(
            encoder_fingerprint="in memory", embedding_dim=self.images.shape[1],
            facets=tuple(facets), noun_facet=noun, preset="in memory", rerank_px=448,
            thumbnail_px=256, built_at="in memory",
        )  # fmt: skip
        composer = Composer(spec, self.weights, self.understood)
        precisions, firsts = [], []
        for question in questions:
            asked = composer.compose(mode, self.images[question.reference], question.text)
            rows = answer(asked, self.encode_texts).embeddings  # (A, D)
            scores = (rows @ self.images.T).max(axis=0)  # (N,)
            scores[question.reference] = -np.inf
            ranked = np.argsort(-scores)[:10].tolist()
            precisions.append(average_precision_at_k(ranked, question.targets, 10))
            firsts.append(ranked[0] in question.targets)
        return Figures(float(np.mean(precisions)), float(np.mean(firsts)))


def questions_of(path: Path, rows: Sequence[ImageRow]) -> list[Question]:
    """Those of a file of queries or of typed texts whose images are there."""
    place = {row.image_id: number for number, row in enumerate(rows)}
    found = []
    for line in path.read_text("utf-8").splitlines():
        given = json.loads(line)
        reference = given.get("reference_image_id", given.get("reference"))
        targets = given.get("target_image_ids", given.get("targets"))
        text = given.get("modification_text", given.get("text"))
        if given.get("family", "templates") == "templates" or "targets" in given:
            found.append(Question(place[reference], text, tuple(place[one] for one in targets)))
    return found


def embedded(rows: Sequence[ImageRow], encoder: ImageTextEncoder) -> Embeddings:
    """The images, (N, D)."""
    size = encoder.batch_size
    chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
    return np.concatenate(
        [
            encoder.encode_images([decode_image(r.read_bytes(), ImageLimits()) for r in chunk])
            for chunk in chunks
        ]
    )


def unit(rows: Embeddings) -> Embeddings:
    """Rows of unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def noisy(images: Embeddings, amount: float) -> Embeddings:
    """Images with noise whose length is a multiple of their own."""
    noise = unit(np.random.default_rng(_SEED).normal(size=images.shape).astype(np.float32))
    return unit(images + amount * noise)


def shifted(encode_texts: EncodeTexts, dim: int, amount: float) -> EncodeTexts:
    """An encoder to whose text embeddings a constant of some length was added."""
    gap = unit(np.random.default_rng(_SEED).normal(size=(1, dim)).astype(np.float32))
    return lambda texts: unit(encode_texts(texts) + amount * gap)


def without_words(values: Iterable[str], share: float) -> FacetLexicon:
    """The lexicon without a share of the words that a catalogue has."""
    there = sorted(set(values))
    gone = np.random.default_rng(_SEED).permutation(there)[: round(share * len(there))]
    return facet_lexicon().without(str(word) for word in gone)


def compare(
    name: str,
    bench: Bench,
    sets: Sequence[Sequence[Question]],
    lexicon: FacetLexicon | None = None,
    count: int = MAX_IMAGES,
) -> None:
    """A row: union and intersection by made facets, for each set of questions."""
    started = time.process_time()
    made = bench.discover(lexicon, count)
    took_s = time.process_time() - started
    noun = made.facets[-1].name if made.facets else None
    cells = []
    for number, questions in enumerate(sets):
        union = bench.figures("union", made.facets, noun, questions)
        both = bench.figures("intersection", made.facets, noun, questions)
        if number == 0:
            before, after = union.average_precision, both.average_precision
            cells.append(f"{before:.3f} | {after:.3f} | {after / before:.2f}")
        else:
            cells.append(f"{union.first:.3f} | {both.first:.3f}")
    words = sum(len(facet.values) for facet in made.facets)
    print(f"| {name} | {words} | {took_s:.1f} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--catalogue", type=Path, required=True, help="made by `indexer demo`")
    parser.add_argument("--texts", type=Path, help="typed texts, beside the catalogue's queries")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--every", type=int, default=1, help="ask every so-manieth question alone")
    parser.add_argument("--robustness", action="store_true")
    options = parser.parse_args()
    encoder = ImageTextEncoder(load_preset(options.preset).encoder)
    rows = read_manifest(options.catalogue / "manifest.jsonl")
    images = embedded(rows, encoder)
    files = [options.catalogue / "queries.jsonl", *([options.texts] if options.texts else [])]
    sets = [questions_of(path, rows)[:: options.every] for path in files]
    texts, scale = encoder.encode_texts, encoder.logit_scale
    bench = Bench(images, texts, scale, options.preset)
    for facet in bench.discover().facets:
        print(f"{facet.name}: {', '.join(facet.values)}")
    facets, noun = schema_of([row.attributes for row in rows], ["setting"], None)
    labels = [bench.figures("intersection", facets, noun, questions) for questions in sets]
    print(f"with labels: mAP@10 {labels[0].average_precision:.3f}", end="")
    print("".join(f", R@1 {one.first:.3f}" for one in labels[1:]))
    heads = "union mAP@10 | made mAP@10 | ratio" + " | union R@1 | made R@1" * (len(sets) - 1)
    print(f"| gallery | words | CPU s | {heads} |")
    compare("as it is", bench, sets)
    if not options.robustness:
        return
    dim = images.shape[1]
    for amount in (0.5, 1.0):
        loud = Bench(noisy(images, amount), texts, scale, options.preset)
        compare(f"noise × {amount} on images", loud, sets)
        gap = Bench(images, shifted(texts, dim, amount), scale, options.preset)
        compare(f"constant of {amount} on texts", gap, sets)
    values = [value for facet in facets for value in facet.values]
    for share in (0.25, 0.5):
        compare(f"{share:.0%} of words missing", bench, sets, without_words(values, share))
    compare("100 images", bench, sets, None, 100)


if __name__ == "__main__":
    main()
