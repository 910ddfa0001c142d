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

from models.contracts.intent import Roles
from models.datasets.manifest import ManifestError
from models.datasets.phrasings import Part
from models.training.reranker.catalogue import Catalogue
from models.training.reranker.negatives import Candidate, CoarseStage, Limits, choose
from models.training.reranker.queries import Query, compose_queries, part_of

FEWEST = {"training": 20, "validation": 10}


@dataclass(frozen=True)
class Lesson:
    """A query with candidates; pictures are numbers in the catalogue of its part."""

    part: Part
    edit: str
    facets: tuple[str, ...]
    reference: int
    text: str
    roles: Roles
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Amounts:
    """How many queries to make, and of what.

    Attributes:
        training: The most queries to train on.
        validation: The most to measure with.
        validation_share: Of the references, kept for validation where both parts are one catalogue.
        caption_share: Of the queries, made from captions.
        seed: Same catalogue, amounts and limits give the same lessons.
    """

    training: int = 2000
    validation: int = 300
    validation_share: float = 0.15
    caption_share: float = 0.2
    seed: int = 0


def make_lessons(
    catalogues: Mapping[Part, Catalogue],
    coarse: Mapping[Part, CoarseStage | None],
    amounts: Amounts,
    limits: Limits,
) -> list[Lesson]:
    """Make the lessons of both parts.

    Args:
        catalogues: Of each part; the same object twice has its references split between them.
        coarse: Each catalogue's coarse stage, for hard negatives.
        amounts: How many.
        limits: Of candidates.

    Raises:
        ManifestError: The attributes are too sparse to make queries of.
    """
    lessons = []
    whole = catalogues["training"] is not catalogues["validation"]
    counts: dict[Part, int] = {"training": amounts.training, "validation": amounts.validation}
    for part, count in counts.items():
        catalogue = catalogues[part]
        references = [
            number
            for number, row in enumerate(catalogue.rows)
            if whole or part_of(row.image_id, amounts.validation_share) == part
        ]
        queries = compose_queries(
            catalogue, part, references, count, amounts.seed, amounts.caption_share
        )
        made = _with_candidates(part, queries, catalogue, coarse[part], limits, amounts.seed)
        if len(made) < FEWEST[part]:
            raise ManifestError(
                f"{catalogue.name}: the attributes are too sparse for {part}: "
                f"{len(references)} references and the facets {', '.join(catalogue.core)} give "
                f"{len(made)} queries with right and wrong answers, and it takes {FEWEST[part]}. "
                "Facets with fewer, more common values help, and so do more pictures"
            )
        lessons += made
    return lessons


def _with_candidates(
    part: Part, queries: Sequence[Query], catalogue: Catalogue, coarse: CoarseStage | None,
    limits: Limits, seed: int,
) -> list[Lesson]:  # fmt: skip
    rng = random.Random(f"candidates/{part}/{seed}")
    lessons = []
    if coarse is not None:
        coarse.read(queries)
    for query in tqdm(queries, f"candidates for {part}", unit="query"):
        candidates = choose(query, catalogue.labels, coarse, limits, rng)
        if len({candidate.fits for candidate in candidates}) == 2:
            lessons.append(
                Lesson(
                    part, query.edit, query.facets, query.reference, query.text, query.roles,
                    tuple(candidates),
                )
            )  # fmt: skip
    return lessons


def write_lessons(
    path: Path, lessons: Iterable[Lesson], catalogues: Mapping[Part, Catalogue]
) -> None:
    """One JSON object per line; pictures by their ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    with unfinished.open("w", encoding="utf-8") as file:
        for lesson in lessons:
            rows = catalogues[lesson.part].rows
            file.write(json.dumps(_as_row(lesson, rows), ensure_ascii=False) + "\n")
    unfinished.replace(path)


def read_lessons(path: Path, catalogues: Mapping[Part, Catalogue]) -> list[Lesson]:
    """What `write_lessons` wrote, perhaps with lines taken out or corrected.

    Raises:
        ManifestError: A line cannot be read, or names a picture that is not in the catalogue.
    """
    numbers = {
        part: {row.image_id: number for number, row in enumerate(catalogue.rows)}
        for part, catalogue in catalogues.items()
    }
    lessons = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(text)
            lessons.append(_from_row(row, numbers[row["part"]]))
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"{path}, line {line}: not a query of this catalogue ({error!r}); "
                "`python -m models.training synthesize` writes them anew"
            ) from None
    return lessons


def summary(lessons: Sequence[Lesson]) -> list[str]:
    """How many of what, in lines for people."""
    lines = []
    for part in FEWEST:
        mine = [lesson for lesson in lessons if lesson.part == part]
        candidates = [candidate for lesson in mine for candidate in lesson.candidates]
        sources = Counter(c.why.split(" rank")[0] for c in candidates).most_common()
        lines.append(
            f"{part}: {len(mine)} queries, {len(candidates)} candidates: "
            + ", ".join(f"{count} {why}" for why, count in sources)
        )
    return lines


def _as_row(lesson: Lesson, rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "part": lesson.part,
        "edit": lesson.edit,
        "facets": lesson.facets,
        "reference": rows[lesson.reference].image_id,
        "modification_text": lesson.text,
        **lesson.roles.model_dump(mode="json"),
        "candidates": [
            {"image_id": rows[c.picture].image_id, "fits": c.fits, "why": c.why}
            for c in lesson.candidates
        ],
    }


def _from_row(row: dict[str, Any], numbers: Mapping[str, int]) -> Lesson:
    return Lesson(
        part=row["part"],
        edit=row["edit"],
        facets=tuple(row["facets"]),
        reference=numbers[row["reference"]],
        text=row["modification_text"],
        roles=Roles(**{name: row[name] for name in Roles.model_fields}),
        candidates=tuple(
            Candidate(numbers[c["image_id"]], bool(c["fits"]), c["why"]) for c in row["candidates"]
        ),
    )
