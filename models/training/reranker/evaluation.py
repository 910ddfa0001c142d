"""Scores of held-out examples, prompted as in service, and how good they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.datasets.manifest import ImageRow
from models.metrics.bootstrap import Interval, draw_counts, percentile_interval
from models.reranker.loading import load_reranker
from models.reranker.reranker import Reranker
from models.settings import RerankerSettings
from models.training.reranker.catalogue import decode_row
from models.training.reranker.examples import RerankExample
from models.training.reranker.features import FeatureFile

PROMPT_MODES = {"target named": True, "target hidden": False}
_RESAMPLES = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LoadedReranker:
    """A reranker as a worker loads it, and where it runs."""

    reranker: Reranker
    device: torch.device
    dtype: torch.dtype


def load(settings: RerankerSettings) -> LoadedReranker:
    """Load base and adapter, merged.

    Raises:
        RerankerLoadError: They cannot be loaded, or do not belong together.
    """
    loaded = load_reranker(settings)
    return LoadedReranker(Reranker(settings, loaded), loaded.device, loaded.model.dtype)


@dataclass(frozen=True)
class Comparison:
    """Two rerankers on the same examples.

    Attributes:
        group: Which examples and candidates count, in words.
        mode: One of `PROMPT_MODES`.
        queries: How many count.
        auc_before: AUC over all pairs of a right and a wrong candidate, 0 to 1.
        auc_after: The same of the other reranker.
        gain: AUC after minus before, resampled together.
        first_before: Share of queries whose best candidate is right, 0 to 1: recall@1.
        first_after: The same of the other reranker.
    """

    group: str
    mode: str
    queries: int
    auc_before: Interval
    auc_after: Interval
    gain: Interval
    first_before: Interval
    first_after: Interval


def score_held_out(
    loaded: LoadedReranker,
    examples: Sequence[RerankExample],
    rows: Sequence[ImageRow],
    feature_file: FeatureFile,
) -> dict[str, list[list[float]]]:
    """Scores of every example's candidates.

    Args:
        loaded: The reranker.
        examples: Held-out ones; `rows` is their catalogue.
        rows: The catalogue's pictures.
        feature_file: Visual tokens of the candidates.

    Returns:
        For each of `PROMPT_MODES`, one list of scores per example, each from 0 to 1, in the order
        of its candidates.
    """
    reranker = loaded.reranker
    found: dict[str, list[list[float]]] = {mode: [] for mode in PROMPT_MODES}
    for example in tqdm(examples, "score", unit="query"):
        prefix = reranker.prefill(
            reranker.prepare(decode_row(rows[example.reference])), example.text
        )
        pictures = [
            feature_file.features(rows[c.picture].location, loaded.device, loaded.dtype)
            for c in example.candidates
        ]
        for mode, shows in PROMPT_MODES.items():
            asked = reranker.with_target(prefix, example.intent.target) if shows else prefix
            found[mode].append(reranker.score(asked, pictures))
    return found


def compare(
    examples: Sequence[RerankExample],
    before: Mapping[str, list[list[float]]],
    after: Mapping[str, list[list[float]]],
) -> list[Comparison]:
    """All examples; those about each facet; and right answers against pictures that only one facet
    makes wrong, which says most about what a reranker knows of that facet. Each in both modes.
    """
    facets = sorted({facet for example in examples for facet in example.facets})
    all_candidates = [[True] * len(example.candidates) for example in examples]
    groups: dict[str, list[list[bool]]] = {"all": all_candidates}
    for facet in facets:
        groups[f"about {facet}"] = [
            row if facet in example.facets else []
            for row, example in zip(all_candidates, examples, strict=True)
        ]
    groups["by caption"] = [
        row if example.edit == "caption" else []
        for row, example in zip(all_candidates, examples, strict=True)
    ]
    for facet in facets:
        groups[f"against wrong {facet}"] = [
            _against(example, f"wrong {facet}") for example in examples
        ]
    return [
        _compare(group, mode, examples, shown, before[mode], after[mode])
        for mode in PROMPT_MODES
        for group, shown in groups.items()
        if any(shown)
    ]


def _against(example: RerankExample, origin: str) -> list[bool]:
    """Which candidates are right or of this origin; none if none is of it."""
    if all(candidate.origin != origin for candidate in example.candidates):
        return []
    return [candidate.relevant or candidate.origin == origin for candidate in example.candidates]


def _compare(
    group: str,
    mode: str,
    examples: Sequence[RerankExample],
    shown: Sequence[Sequence[bool]],
    before: Sequence[Sequence[float]],
    after: Sequence[Sequence[float]],
) -> Comparison:
    """`shown`: per example, which of its candidates count; empty where the example does not."""
    asked = [number for number, row in enumerate(shown) if row]
    relevant = [list(compress(_answers(examples[n]), shown[n])) for n in asked]
    drawn = draw_counts(len(asked), resamples=_RESAMPLES)
    areas, firsts = [], []
    for scored in (before, after):
        scores = [list(compress(scored[n], shown[n])) for n in asked]
        areas.append(_areas(relevant, scores, drawn))
        firsts.append(_means(_first_is_right(relevant, scores), drawn))
    return Comparison(
        group, mode, len(asked),
        *map(percentile_interval, (*areas, areas[1] - areas[0], *firsts)),
    )  # fmt: skip


def _answers(example: RerankExample) -> list[bool]:
    return [candidate.relevant for candidate in example.candidates]


def _areas(
    relevant: Sequence[Sequence[bool]], scores: Sequence[Sequence[float]], drawn: NDArray[np.int64]
) -> Floats:
    """The area under the ROC curve over all pairs, for every resample: how often a right candidate
    scores above a wrong one, of any query; ties count half (Mann–Whitney U).
    """
    query = np.repeat(np.arange(len(relevant)), [len(row) for row in relevant])
    right = np.concatenate([np.asarray(row, bool) for row in relevant])
    levels, level = np.unique(np.concatenate([np.asarray(r) for r in scores]), return_inverse=True)
    areas = []
    for weights in drawn[:, query]:
        yes = np.bincount(level, weights * right, len(levels))
        no = np.bincount(level, weights * ~right, len(levels))
        below = np.cumsum(no) - no
        areas.append(float(yes @ (below + no / 2)) / max(yes.sum() * no.sum(), 1))
    return np.array(areas)


def _first_is_right(
    relevant: Sequence[Sequence[bool]], scores: Sequence[Sequence[float]]
) -> Floats:
    """Per query, whether the candidate with the highest score is right: recall@1 among them."""
    return np.array(
        [float(row[int(np.argmax(own))]) for row, own in zip(relevant, scores, strict=True)]
    )


def _means(values: Floats, drawn: NDArray[np.int64]) -> Floats:
    means: Floats = drawn @ values / len(values)
    return means
