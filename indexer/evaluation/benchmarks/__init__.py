"""The field's benchmarks: published annotation files → queries, measures and a gallery's images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.evaluation.benchmarks import circo, cirr, fashioniq, genecis
from indexer.evaluation.types import Benchmark


@dataclass(frozen=True)
class PublishedBenchmark:
    """One of the field's benchmarks.

    Attributes:
        splits: What can be read of it.
        read: (annotations folder, split) → the benchmark.
        gallery: (annotations folder, images folder, split) → rows of a JSONL manifest.
    """

    splits: Sequence[str]
    read: Callable[[Path, str], Benchmark]
    gallery: Callable[[Path, Path, str], list[dict[str, Any]]]


BENCHMARKS: Mapping[str, PublishedBenchmark] = {
    "cirr": PublishedBenchmark(cirr.SPLITS, cirr.read, cirr.gallery),
    "circo": PublishedBenchmark(circo.SPLITS, circo.read, circo.gallery),
    "fashioniq": PublishedBenchmark(fashioniq.SPLITS, fashioniq.read, fashioniq.gallery),
    "genecis": PublishedBenchmark(genecis.SPLITS, genecis.read, genecis.gallery),
}
