"""Makes composed queries of a catalogue's attributes and captions, with right and wrong answers.

What `reranker` trains on, written as JSONL: to be looked at, and corrected, before hours are spent.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.datasets.phrasings import Part
from models.encoder.encoder import ImageTextEncoder
from models.presets import load_preset
from models.training.options import CatalogueOptions, SynthesizeOptions
from models.training.reranker.catalogue import Catalogue, decode_row, read_catalogue
from models.training.reranker.examples import (
    RerankExample,
    SynthesisConfig,
    make_examples,
    read_examples,
    summary,
    write_examples,
)
from models.training.reranker.negatives import CandidateConfig
from models.training.retrieval import InMemoryRetriever, embed_once

QUERIES = "queries.jsonl"


def run(options: SynthesizeOptions) -> None:
    """Make the queries and say what they are."""
    examples = synthesize(options, read_catalogues(options), options.out)
    print("\n".join([*summary(examples), f"wrote {options.out / QUERIES}"]))


def read_catalogues(options: CatalogueOptions) -> dict[Part, Catalogue]:
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
    options: CatalogueOptions, catalogues: Mapping[Part, Catalogue], folder: Path
) -> list[RerankExample]:
    """Make the queries of both parts and write them into a folder.

    Raises:
        ManifestError: The attributes are too sparse.
    """
    folder.mkdir(parents=True, exist_ok=True)
    synthesis = SynthesisConfig(
        training=options.queries,
        validation=options.validation_queries,
        validation_share=options.validation_share,
        caption_share=options.caption_share,
        seed=options.seed,
    )
    sampling = CandidateConfig(
        candidates=options.candidates,
        coarse_depth=options.coarse_depth,
        duplicate_similarity=options.duplicate_similarity,
    )
    examples = make_examples(catalogues, _coarse(options, catalogues, folder), synthesis, sampling)
    write_examples(folder / QUERIES, examples, catalogues)
    return examples


def synthesized(
    options: CatalogueOptions, catalogues: Mapping[Part, Catalogue], folder: Path
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
    options: CatalogueOptions, catalogues: Mapping[Part, Catalogue], folder: Path
) -> dict[Part, InMemoryRetriever | None]:
    if options.coarse == "none":
        return {"training": None, "validation": None}
    preset = load_preset(options.coarse)
    encoder = ImageTextEncoder(preset.encoder)
    stages: dict[int, InMemoryRetriever] = {}
    for part, catalogue in catalogues.items():
        if id(catalogue) not in stages:
            gallery = _embed_catalogue(encoder, catalogue, folder / f"embeddings-{part}.npz")
            stages[id(catalogue)] = InMemoryRetriever(encoder, preset, gallery)
    return {part: stages[id(catalogue)] for part, catalogue in catalogues.items()}


def _embed_catalogue(
    encoder: ImageTextEncoder, catalogue: Catalogue, kept: Path
) -> NDArray[np.float32]:
    def decode(number: int) -> Image.Image:
        return decode_row(catalogue.rows[number])

    return embed_once(encoder, [row.location for row in catalogue.rows], decode, kept)
