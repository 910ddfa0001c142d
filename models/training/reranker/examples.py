"""Queries with their candidates: made of catalogues, written as JSONL for people to look at, and
read back for training.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from models.contracts.intent import Intent
from models.datasets.manifest import ManifestError
from models.datasets.phrasings import Part
from models.training.reranker.catalogue import Catalogue
from models.training.reranker.negatives import (
    Candidate,
    CandidateConfig,
    sample_candidates,
)
from models.training.reranker.queries import Query, compose_queries, part_of
from models.training.retrieval import InMemoryRetriever

FEWEST = {"training": 20, "validation": 10}


@dataclass(frozen=True)
class RerankExample:
    """A query with candidates to score; pictures are numbers in the catalogue of its part.

    Attributes:
        part: Whether it is trained on or measured with.
        edit: The kind of query in words, such as "change colour" or "caption".
        facets: The facets that change; none for captions.
        reference: The reference picture.
        text: The modification text.
        intent: What the query means.
        candidates: Right and wrong ones, at least one of each.
    """

    part: Part
    edit: str
    facets: tuple[str, ...]
    reference: int
    text: str
    intent: Intent
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class SynthesisConfig:
    """How many queries to make, and of what.

    Attributes:
        training: The most queries to train on.
        validation: The most to measure with.
        validation_share: Of the references, kept for validation where both parts are one catalogue.
        caption_share: Of the queries, made from captions.
        seed: Same catalogues and configs give the same examples.
    """

    training: int
    validation: int
    validation_share: float
    caption_share: float
    seed: int


def make_examples(
    catalogues: Mapping[Part, Catalogue],
    coarse: Mapping[Part, InMemoryRetriever | None],
    synthesis: SynthesisConfig,
    sampling: CandidateConfig,
) -> list[RerankExample]:
    """Make the examples of both parts.

    Args:
        catalogues: Of each part; the same object twice has its references split between them.
        coarse: Each catalogue's coarse stage, for hard negatives.
        synthesis: How many queries, and of what.
        sampling: Of candidates.

    Raises:
        ManifestError: The attributes are too sparse to make queries of.
    """
    examples = []
    whole = catalogues["training"] is not catalogues["validation"]
    counts: dict[Part, int] = {"training": synthesis.training, "validation": synthesis.validation}
    for part, count in counts.items():
        catalogue = catalogues[part]
        references = [
            number
            for number, row in enumerate(catalogue.rows)
            if whole or part_of(row.image_id, synthesis.validation_share) == part
        ]
        queries = compose_queries(
            catalogue, part, references, count, synthesis.seed, synthesis.caption_share
        )
        made = _with_candidates(part, queries, catalogue, coarse[part], sampling, synthesis.seed)
        if len(made) < FEWEST[part]:
            raise ManifestError(
                f"{catalogue.name}: the attributes are too sparse for {part}: "
                f"{len(references)} references and the facets {', '.join(catalogue.core)} give "
                f"{len(made)} queries with right and wrong answers, and it takes {FEWEST[part]}. "
                "Facets with fewer, more common values help, and so do more pictures"
            )
        examples += made
    return examples


def _with_candidates(
    part: Part, queries: Sequence[Query], catalogue: Catalogue, coarse: InMemoryRetriever | None,
    sampling: CandidateConfig, seed: int,
) -> list[RerankExample]:  # fmt: skip
    rng = random.Random(f"candidates/{part}/{seed}")
    examples = []
    if coarse is not None:
        coarse.embed_texts((query.text, query.intent) for query in queries)
    for query in tqdm(queries, f"candidates for {part}", unit="query"):
        candidates = sample_candidates(query, catalogue.attribute_table, coarse, sampling, rng)
        if len({candidate.relevant for candidate in candidates}) == 2:
            examples.append(
                RerankExample(
                    part, query.edit, query.facets, query.reference, query.text, query.intent,
                    tuple(candidates),
                )
            )  # fmt: skip
    return examples


def write_examples(
    path: Path, examples: Iterable[RerankExample], catalogues: Mapping[Part, Catalogue]
) -> None:
    """One JSON object per line; pictures by their ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    with unfinished.open("w", encoding="utf-8") as file:
        for example in examples:
            rows = catalogues[example.part].rows
            file.write(json.dumps(_as_row(example, rows), ensure_ascii=False) + "\n")
    unfinished.replace(path)


def read_examples(path: Path, catalogues: Mapping[Part, Catalogue]) -> list[RerankExample]:
    """What `write_examples` wrote, perhaps with lines taken out or corrected.

    Raises:
        ManifestError: A line cannot be read, or names a picture that is not in the catalogue.
    """
    numbers = {
        part: {row.image_id: number for number, row in enumerate(catalogue.rows)}
        for part, catalogue in catalogues.items()
    }
    examples = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(text)
            examples.append(_from_row(row, numbers[row["part"]]))
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"{path}, line {line}: not a query of this catalogue ({error!r}); "
                "`python -m models.training synthesize` writes them anew"
            ) from None
    return examples


def summary(examples: Sequence[RerankExample]) -> list[str]:
    """How many of what, in lines for people."""
    lines = []
    for part in FEWEST:
        mine = [example for example in examples if example.part == part]
        candidates = [candidate for example in mine for candidate in example.candidates]
        sources = Counter(c.origin.split(" rank")[0] for c in candidates).most_common()
        lines.append(
            f"{part}: {len(mine)} queries, {len(candidates)} candidates: "
            + ", ".join(f"{count} {origin}" for origin, count in sources)
        )
    return lines


def _as_row(example: RerankExample, rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "part": example.part,
        "edit": example.edit,
        "facets": example.facets,
        "reference": rows[example.reference].image_id,
        "modification_text": example.text,
        **example.intent.model_dump(mode="json"),
        "candidates": [
            {"image_id": rows[c.picture].image_id, "relevant": c.relevant, "origin": c.origin}
            for c in example.candidates
        ],
    }


def _from_row(row: dict[str, Any], numbers: Mapping[str, int]) -> RerankExample:
    return RerankExample(
        part=row["part"],
        edit=row["edit"],
        facets=tuple(row["facets"]),
        reference=numbers[row["reference"]],
        text=row["modification_text"],
        intent=Intent(**{name: row[name] for name in Intent.model_fields if name in row}),
        candidates=tuple(
            Candidate(numbers[c["image_id"]], bool(c["relevant"]), c["origin"])
            for c in row["candidates"]
        ),
    )
