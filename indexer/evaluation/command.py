"""`python -m indexer evaluate`: which part does what."""

import json
from collections.abc import Sequence
from pathlib import Path

from indexer.evaluation.benchmarks import BENCHMARKS, attributes, demo
from indexer.evaluation.options import EvaluateOptions
from indexer.evaluation.runner import Plan, evaluate, only_families, only_first, read_gallery
from indexer.evaluation.scoring import means, read_predictions, score
from indexer.evaluation.tuning import tune
from indexer.evaluation.types import Benchmark, BenchmarkError, Configuration
from models.errors import JobError
from models.presets import load_preset

_OWN = ("demo", "attributes")


def run(options: EvaluateOptions) -> list[str]:
    """Do what the options say; returns the lines to print.

    Raises:
        BenchmarkError: Wrong arguments, missing files, or the wrong gallery.
        SearchFailed: The API went away or refused a query.
        JobError: A file cannot be written.
    """
    try:
        return _run(options)
    except OSError as error:  # what is read, and the API, have errors of their own
        raise JobError(f"a file cannot be written: {error}") from error


def _run(options: EvaluateOptions) -> list[str]:
    if options.gallery is not None:
        return _write_gallery(options, *options.gallery)
    benchmark = only_families(_benchmark(options), options.families)
    if options.benchmark != "attributes":  # which makes as many as are asked for
        benchmark = only_first(benchmark, options.queries)
    if options.predictions is not None:
        return _score_stored(options.predictions, benchmark)
    if options.tune is not None:
        return _tune(options, options.tune, benchmark)
    configurations = [
        Configuration(composition, depth, check == "demote")
        for composition in options.compositions
        for depth in options.rerank
        for check in (options.attribute_check if composition == "facets" else ["demote"])
    ]
    plan = Plan(
        options.api, configurations, options.out, options.concurrency, options.timeout_ms,
        options.baseline,
    )  # fmt: skip
    return evaluate(plan, benchmark)


def _benchmark(options: EvaluateOptions) -> Benchmark:
    if options.benchmark == "attributes":
        return _of_attributes(options)
    if options.source is None:
        raise BenchmarkError(f"benchmark {options.benchmark} needs --source, see --help")
    if options.benchmark == "demo":
        return demo.read(options.source)
    return BENCHMARKS[options.benchmark].read(options.source, _split(options))


def _of_attributes(options: EvaluateOptions) -> Benchmark:
    images, facets, noun_facet = read_gallery(options.api)
    split = options.split or "test"
    if split not in attributes.SPLITS:
        raise BenchmarkError(f"attributes has no split {split!r}: {', '.join(attributes.SPLITS)}")
    count = options.queries or 500
    return attributes.make(
        images, facets, noun_facet, count=count, seed=options.seed, split=split, typed=count // 2
    )


def _split(options: EvaluateOptions) -> str:
    splits: Sequence[str] = BENCHMARKS[options.benchmark].splits
    return options.split or splits[0]


def _write_gallery(options: EvaluateOptions, images: Path, manifest: Path) -> list[str]:
    if options.benchmark in _OWN or options.source is None:
        raise BenchmarkError("--gallery takes a published benchmark and the --source of it")
    rows = BENCHMARKS[options.benchmark].gallery(options.source, images, _split(options))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [f"{len(rows):,} images in {manifest}; python -m indexer build --manifest {manifest}"]


def _score_stored(path: Path, benchmark: Benchmark) -> list[str]:
    if not benchmark.measures:
        raise BenchmarkError(f"the answers of {benchmark.name} are secret; only its server scores")
    values = score(benchmark, read_predictions(path, benchmark))
    return [f"{name:<24} {value:8.4%}" for name, value in means(benchmark, values).items()]


def _tune(options: EvaluateOptions, path: Path, benchmark: Benchmark) -> list[str]:
    preset = load_preset(options.preset)
    tuned = tune(options.api, benchmark, preset, options.concurrency, options.timeout_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = tuned.preset.model_dump_json(indent=2, exclude_unset=True)
    path.write_text(text + "\n", encoding="utf-8")
    lines = [f"{value:.3f}  {step}" for step, value in tuned.scores.items()]
    return [f"{benchmark.headline} of {benchmark.name}", *lines, f"wrote {path}"]
