"""What a judge makes of held-out lessons, asked as it is asked in service; and how good that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.datasets.manifest import ImageRow
from models.reranker.loading import load_judge
from models.reranker.reranker import Judge
from models.settings import JudgeSettings
from models.training.reranker.catalogue import decode_row
from models.training.reranker.examples import Lesson
from models.training.reranker.features import FeatureFile

WAYS = {"target named": True, "target hidden": False}
_RESAMPLES, _LEVEL = 1000, 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Served:
    """A judge as a worker loads it, and where it runs."""

    judge: Judge
    device: torch.device
    dtype: torch.dtype


def serve(settings: JudgeSettings) -> Served:
    """Load base and adapter, merged.

    Raises:
        JudgeUnavailable: They cannot be loaded, or do not belong together.
    """
    loaded = load_judge(settings)
    return Served(Judge(settings, loaded), loaded.device, loaded.model.dtype)


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval over queries."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Comparison:
    """Two judges on the same lessons; `gain` is that of the AUC."""

    group: str
    way: str
    queries: int
    auc_before: Interval
    auc_after: Interval
    gain: Interval
    first_before: Interval
    first_after: Interval


def examine(
    served: Served, lessons: Sequence[Lesson], rows: Sequence[ImageRow], seen: FeatureFile
) -> dict[str, list[list[float]]]:
    """Scores of every lesson's candidates.

    Args:
        served: The judge.
        lessons: Held-out ones; `rows` is their catalogue.
        rows: The catalogue's pictures.
        seen: Visual tokens of the candidates.

    Returns:
        For each of `WAYS`, one list of scores per lesson, in the order of its candidates.
    """
    judge = served.judge
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for lesson in tqdm(lessons, "examine", unit="query"):
        prefix = judge.begin(judge.prepare(decode_row(rows[lesson.reference])), lesson.text)
        pictures = [
            seen.features(rows[c.picture].location, served.device, served.dtype)
            for c in lesson.candidates
        ]
        for way, shows in WAYS.items():
            asked = judge.with_target(prefix, lesson.roles.target) if shows else prefix
            found[way].append(judge.score(asked, pictures))
    return found


def compare(
    lessons: Sequence[Lesson],
    before: Mapping[str, list[list[float]]],
    after: Mapping[str, list[list[float]]],
) -> list[Comparison]:
    """All lessons; those about each facet; and right answers against pictures that only one facet
    makes wrong, which says most about what a judge knows of that facet. Each in both ways.
    """
    facets = sorted({facet for lesson in lessons for facet in lesson.facets})
    everyone = [[True] * len(lesson.candidates) for lesson in lessons]
    groups: dict[str, list[list[bool]]] = {"all": everyone}
    for facet in facets:
        groups[f"about {facet}"] = [
            row if facet in lesson.facets else []
            for row, lesson in zip(everyone, lessons, strict=True)
        ]
    groups["by caption"] = [
        row if lesson.edit == "caption" else []
        for row, lesson in zip(everyone, lessons, strict=True)
    ]
    for facet in facets:
        groups[f"against wrong {facet}"] = [
            _against(lesson, f"wrong {facet}") for lesson in lessons
        ]
    return [
        _compare(group, way, lessons, shown, before[way], after[way])
        for way in WAYS
        for group, shown in groups.items()
        if any(shown)
    ]


def _against(lesson: Lesson, why: str) -> list[bool]:
    """Which candidates fit or are wrong for this reason; none if none is wrong for it."""
    if all(candidate.why != why for candidate in lesson.candidates):
        return []
    return [candidate.fits or candidate.why == why for candidate in lesson.candidates]


def _compare(
    group: str,
    way: str,
    lessons: Sequence[Lesson],
    shown: Sequence[Sequence[bool]],
    before: Sequence[Sequence[float]],
    after: Sequence[Sequence[float]],
) -> Comparison:
    """`shown`: per lesson, which of its candidates count; empty where the lesson does not."""
    asked = [number for number, row in enumerate(shown) if row]
    fits = [list(compress(_answers(lessons[n]), shown[n])) for n in asked]
    drawn = _resamples(len(asked))
    areas, firsts = [], []
    for judged in (before, after):
        scores = [list(compress(judged[n], shown[n])) for n in asked]
        areas.append(_areas(fits, scores, drawn))
        firsts.append(_means(_first_is_right(fits, scores), drawn))
    return Comparison(
        group, way, len(asked),
        _interval(areas[0]), _interval(areas[1]), _interval(areas[1] - areas[0]),
        _interval(firsts[0]), _interval(firsts[1]),
    )  # fmt: skip


def _answers(lesson: Lesson) -> list[bool]:
    return [candidate.fits for candidate in lesson.candidates]


def _resamples(queries: int) -> NDArray[np.int64]:
    """How often each query is drawn, int64 (1 + resamples, queries); the first row is once each."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(queries, np.full(queries, 1 / queries), size=_RESAMPLES)
    return np.vstack([np.ones((1, queries), np.int64), drawn])


def _areas(
    fits: Sequence[Sequence[bool]], scores: Sequence[Sequence[float]], drawn: NDArray[np.int64]
) -> Floats:
    """The area under the ROC curve over all pairs, for every resample: how often a right candidate
    scores above a wrong one, of any query; ties count half (Mann–Whitney U).
    """
    query = np.repeat(np.arange(len(fits)), [len(row) for row in fits])
    right = np.concatenate([np.asarray(row, bool) for row in fits])
    levels, level = np.unique(np.concatenate([np.asarray(r) for r in scores]), return_inverse=True)
    areas = []
    for weights in drawn[:, query]:
        yes = np.bincount(level, weights * right, len(levels))
        no = np.bincount(level, weights * ~right, len(levels))
        below = np.cumsum(no) - no
        areas.append(float(yes @ (below + no / 2)) / max(yes.sum() * no.sum(), 1))
    return np.array(areas)


def _first_is_right(fits: Sequence[Sequence[bool]], scores: Sequence[Sequence[float]]) -> Floats:
    """Per query, whether the candidate with the highest score fits: recall@1 among them."""
    return np.array(
        [float(row[int(np.argmax(own))]) for row, own in zip(fits, scores, strict=True)]
    )


def _means(values: Floats, drawn: NDArray[np.int64]) -> Floats:
    means: Floats = drawn @ values / len(values)
    return means


def _interval(resampled: Floats) -> Interval:
    low, high = np.quantile(resampled[1:], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(resampled[0]), float(low), float(high))
