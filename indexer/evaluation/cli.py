"""`python -m indexer evaluate`: arguments, and which part does what. Light to import."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from indexer.evaluation.benchmarks import BENCHMARKS, attributes, demo
from indexer.evaluation.types import COMPOSITIONS, Benchmark, BenchmarkError, Configuration

_OWN = ("demo", "attributes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `python -m indexer evaluate` understands."""
    parser.add_argument("--benchmark", choices=(*_OWN, *BENCHMARKS), required=True)
    parser.add_argument(
        "--source", type=Path,
        help="demo: the catalogue's folder; published benchmarks: the folder of annotations; "
        "attributes: none, the gallery in service is the source",
    )  # fmt: skip
    parser.add_argument("--split", help="of a published benchmark or of attributes")
    parser.add_argument("--api", default="http://127.0.0.1:8000", help="default %(default)s")
    parser.add_argument(
        "--compositions", nargs="+", choices=COMPOSITIONS, default=list(COMPOSITIONS),
        help="default: all",
    )  # fmt: skip
    parser.add_argument(
        "--rerank", nargs="+", type=int, default=[0, 10, 50], metavar="DEPTH",
        help="candidates to re-rank; 0: none (default 0 10 50)",
    )  # fmt: skip
    parser.add_argument("--baseline", default="", help="such as union-0; default: the first")
    parser.add_argument("--queries", type=int, help="ask only the first N (attributes: make N)")
    parser.add_argument("--seed", type=int, default=0, help="of attributes (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=4, help="default %(default)s")
    parser.add_argument("--timeout-ms", type=int, default=60_000, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path("data/evaluation"))
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--predictions", type=Path, help="score stored top-k lists (JSON) instead of asking an API"
    )
    what.add_argument("--tune", type=Path, metavar="FILE", help="tune weights; write this preset")
    what.add_argument(
        "--gallery", type=Path, nargs=2, metavar=("IMAGES", "MANIFEST"),
        help="write the manifest of a published benchmark's gallery, for `indexer build`",
    )  # fmt: skip
    parser.add_argument("--preset", default="demo", help="what --tune starts from")


def run(options: argparse.Namespace) -> list[str]:
    """Do what was asked; returns the lines to print.

    Raises:
        BenchmarkError: Wrong arguments, missing files, or the wrong gallery.
        SearchFailed: The API went away or refused a query.
    """
    if options.gallery is not None:
        return _write_gallery(options, *options.gallery)
    benchmark = _benchmark(options)
    if options.predictions is not None:
        return _score_stored(options.predictions, benchmark)
    if options.tune is not None:
        return _tune(options, benchmark)
    # httpx, matplotlib: only who asks an API needs them
    from indexer.evaluation.runner import Plan, evaluate, only_first  # noqa: PLC0415

    configurations = [
        Configuration(composition, depth)
        for composition in options.compositions
        for depth in options.rerank
    ]
    plan = Plan(
        options.api, configurations, options.out, options.concurrency, options.timeout_ms,
        options.baseline,
    )  # fmt: skip
    return evaluate(plan, only_first(benchmark, options.queries))


def _benchmark(options: argparse.Namespace) -> Benchmark:
    if options.benchmark == "attributes":
        return _of_attributes(options)
    if options.source is None:
        raise BenchmarkError(f"benchmark {options.benchmark} needs --source, see --help")
    if options.benchmark == "demo":
        return demo.read(options.source)
    return BENCHMARKS[options.benchmark].read(options.source, _split(options))


def _of_attributes(options: argparse.Namespace) -> Benchmark:
    from indexer.evaluation.runner import read_gallery  # noqa: PLC0415

    images, facets, noun_facet = read_gallery(options.api)
    split = options.split or "test"
    if split not in attributes.SPLITS:
        raise BenchmarkError(f"attributes has no split {split!r}: {', '.join(attributes.SPLITS)}")
    count = options.queries or 500
    return attributes.make(images, facets, noun_facet, count=count, seed=options.seed, split=split)


def _split(options: argparse.Namespace) -> str:
    splits: Sequence[str] = BENCHMARKS[options.benchmark].splits
    return options.split or splits[0]


def _write_gallery(options: argparse.Namespace, images: Path, manifest: Path) -> list[str]:
    if options.benchmark in _OWN or options.source is None:
        raise BenchmarkError("--gallery takes a published benchmark and the --source of it")
    rows = BENCHMARKS[options.benchmark].gallery(options.source, images, _split(options))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [f"{len(rows):,} images in {manifest}; python -m indexer build --manifest {manifest}"]


def _score_stored(path: Path, benchmark: Benchmark) -> list[str]:
    from indexer.evaluation.scoring import (  # noqa: PLC0415
        means,
        read_predictions,  # noqa: PLC0415
        score,
    )

    if not benchmark.measures:
        raise BenchmarkError(f"the answers of {benchmark.name} are secret; only its server scores")
    values = score(benchmark, read_predictions(path, benchmark))
    return [f"{name:<24} {value:8.4%}" for name, value in means(benchmark, values).items()]


def _tune(options: argparse.Namespace, benchmark: Benchmark) -> list[str]:
    from indexer.evaluation.runner import only_first  # noqa: PLC0415
    from indexer.evaluation.tuning import tune  # noqa: PLC0415
    from models.presets import load_preset  # noqa: PLC0415

    preset = load_preset(options.preset)
    asked = only_first(benchmark, options.queries)
    tuned = tune(options.api, asked, preset, options.concurrency, options.timeout_ms)
    options.tune.parent.mkdir(parents=True, exist_ok=True)
    text = tuned.preset.model_dump_json(indent=2, exclude_unset=True)
    options.tune.write_text(text + "\n", encoding="utf-8")
    lines = [f"{value:.3f}  {step}" for step, value in tuned.worth.items()]
    return [f"{benchmark.headline} of {benchmark.name}", *lines, f"wrote {options.tune}"]
