"""Makes composed queries of a catalogue's attributes and captions, with right and wrong answers.

What `reranker` trains on, written as JSONL: to be looked at, and corrected, before hours are spent.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from models.datasets.phrasings import Part
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset
from models.training.reranker.catalogue import Catalogue, read_catalogue
from models.training.reranker.examples import (
    RerankExample,
    SynthesisConfig,
    make_examples,
    read_examples,
    summary,
    write_examples,
)
from models.training.reranker.negatives import CandidateConfig, InMemoryRetriever, embed

QUERIES = "queries.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `python -m models.training synthesize` understands."""
    parser.add_argument(
        "--out", type=Path, required=True, help=f"folder; the queries are `{QUERIES}` in it"
    )
    add_catalogue_arguments(parser)


def add_catalogue_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what says which queries are made of what."""
    amounts, limits = SynthesisConfig(), CandidateConfig()
    parser.add_argument(
        "--manifest", type=Path, required=True, help="JSONL or CSV with attributes, as for a build"
    )
    parser.add_argument(
        "--validation", type=Path,
        help="another manifest to measure with; without it, some references of the first",
    )  # fmt: skip
    parser.add_argument(
        "--validation-share", type=float, default=amounts.validation_share,
        help="of the references, if both are one manifest (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--context-facets", nargs="*", default=["setting"], metavar="FACET",
        help="attributes that say where, not what (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--noun-facet", metavar="FACET", help="the attribute that names the thing (category)"
    )
    parser.add_argument(
        "--queries", type=int, default=amounts.training, help="at most (default %(default)s)"
    )
    parser.add_argument(
        "--validation-queries", type=int, default=amounts.validation,
        help="at most (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--caption-share", type=float, default=amounts.caption_share,
        help="of the queries, made from captions where there are some (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--candidates", type=int, default=limits.candidates, help="per query (default %(default)s)"
    )
    parser.add_argument(
        "--coarse", default="demo", metavar="PRESET",
        help="whose encoder finds hard negatives; `none`: attributes alone (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--coarse-depth", type=int, default=limits.coarse_depth,
        help="of its ranks, so many first ones are hard (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--duplicate-similarity", type=float, default=limits.duplicate_similarity,
        help="cosine from which such a picture counts as a right one (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=amounts.seed, help="default %(default)s")


def run(options: argparse.Namespace) -> None:
    """Make the queries and say what they are."""
    examples = synthesize(options, read_catalogues(options), options.out)
    print("\n".join([*summary(examples), f"wrote {options.out / QUERIES}"]))


def read_catalogues(options: argparse.Namespace) -> dict[Part, Catalogue]:
    """The catalogue of each part; the same object twice where there is one.

    Raises:
        ManifestError: A manifest cannot be read, or no queries can be made of it.
    """
    training = read_catalogue(options.manifest, options.context_facets, options.noun_facet)
    if options.validation is None:
        return {"training": training, "validation": training}
    other = read_catalogue(options.validation, options.context_facets, options.noun_facet)
    return {"training": training, "validation": other}


def synthesize(
    options: argparse.Namespace, catalogues: Mapping[Part, Catalogue], folder: Path
) -> list[RerankExample]:
    """Make the queries of both parts and write them into a folder.

    Raises:
        ManifestError: The attributes are too sparse.
    """
    folder.mkdir(parents=True, exist_ok=True)
    amounts = SynthesisConfig(
        options.queries, options.validation_queries, options.validation_share,
        options.caption_share, options.seed,
    )  # fmt: skip
    limits = CandidateConfig(options.candidates, options.coarse_depth, options.duplicate_similarity)
    examples = make_examples(catalogues, _coarse(options, catalogues, folder), amounts, limits)
    write_examples(folder / QUERIES, examples, catalogues)
    return examples


def synthesized(
    options: argparse.Namespace, catalogues: Mapping[Part, Catalogue], folder: Path
) -> list[RerankExample]:
    """The queries in a folder, made first if there are none.

    Raises:
        ManifestError: The attributes are too sparse, or the queries are of another catalogue.
    """
    if not (folder / QUERIES).exists():
        return synthesize(options, catalogues, folder)
    print(f"the queries are those of {folder / QUERIES}; without it they are made anew")
    return read_examples(folder / QUERIES, catalogues)


def _coarse(
    options: argparse.Namespace, catalogues: Mapping[Part, Catalogue], folder: Path
) -> dict[Part, InMemoryRetriever | None]:
    if options.coarse == "none":
        return {"training": None, "validation": None}
    preset = load_preset(options.coarse)
    encoder = ImageTextEncoder(preset.encoder)
    stages: dict[int, InMemoryRetriever] = {}
    for part, catalogue in catalogues.items():
        if id(catalogue) not in stages:
            gallery = embed(encoder, catalogue.rows, folder / f"embeddings-{part}.npz")
            stages[id(catalogue)] = InMemoryRetriever(encoder, preset, gallery)
    return {part: stages[id(catalogue)] for part, catalogue in catalogues.items()}
