"""Searches the weights of composition and fusion on validation queries, over HTTP.

One weight at a time, the others as they are (coordinate ascent), by the mean of the benchmark's
headline. Where texts are understood by attributes, weights are searched apart for references whose
attributes are known (gallery images) and for those that are read (the same, uploaded). For all
else, intents are composed once and sent back with every trial; the weight of the reranker takes one
pass, because the answers hold both scores of every candidate.

What a text refuses is never weighed against it: the alternatives of a target leave it out.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, get_args

from tqdm import tqdm

from indexer.evaluation.client import SearchClient, open_client, request_of
from indexer.evaluation.scoring import score
from indexer.evaluation.types import Benchmark, BenchmarkError, Configuration, Query
from models.metrics.bootstrap import paired
from models.presets import Preset, Reranking
from models.query.fusion import fused_order
from models.query.weights import CompositionWeights, RoleWeights, UnderstoodWeights

GRID: Mapping[str, Sequence[float]] = {
    "desired": (0.0, 0.1, 0.2),
    "preserve": (0.0, 0.1, 0.2, 0.4, 0.8),
    "text": (0.0, 0.1, 0.2, 0.35),
}
UNION_GRID = {"union_reference": tuple(round(0.1 * step, 1) for step in range(1, 10))}
RERANK_WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
_ROUNDS = 2
Reading = Literal["known", "read"]  # how the reference's attributes came about


@dataclass
class Tuned:
    """A preset with tuned weights.

    Attributes:
        preset: The preset.
        scores: Step → mean of the headline over the validation queries.
    """

    preset: Preset
    scores: dict[str, float] = field(default_factory=dict)


def tune(
    api: str, benchmark: Benchmark, preset: Preset, concurrency: int, timeout_ms: int
) -> Tuned:
    """Tune a preset.

    Args:
        api: Address of an API that runs the preset.
        benchmark: Validation queries.
        preset: What to start from.
        concurrency: Requests at a time.
        timeout_ms: The deadline of each search.

    Raises:
        BenchmarkError: These are test queries, or their answers are secret.
        SearchFailed: The API went away or refused a query.
    """
    if not benchmark.headline:
        raise BenchmarkError(f"{benchmark.name} keeps its answers secret: nothing to tune by")
    if benchmark.name.rpartition("-")[2].startswith("test"):
        raise BenchmarkError(
            f"{benchmark.name} are test queries; weights are tuned on validation queries, so that "
            "the test still says something"
        )

    async def run() -> Tuned:
        async with open_client(api, concurrency, timeout_ms) as client:
            trials = Trials(client, benchmark, concurrency, timeout_ms)
            tuned = Tuned(preset)
            await _tune_understood(trials, tuned)
            await _tune_composition(trials, tuned)
            await _tune_reranking(trials, tuned)
            return tuned

    return asyncio.run(run())


Intents = Mapping[str, Mapping[str, Any]]  # query id → intent, as the API takes it


@dataclass(frozen=True)
class ScoredResult:
    """One result with the scores of both stages.

    Attributes:
        image_id: The image.
        retrieval_score: Of the coarse stage, a cosine.
        rerank_score: Of the reranker, in [0, 1]; None where it was not re-ranked.
    """

    image_id: str
    retrieval_score: float
    rerank_score: float | None


class Trials:
    """Asks an API all queries of a benchmark."""

    def __init__(
        self, client: SearchClient, benchmark: Benchmark, concurrency: int, timeout_ms: int
    ) -> None:
        self._client, self._benchmark = client, benchmark
        self._timeout_ms = timeout_ms
        self._pictures: dict[str, str] = {}  # image id → base64
        self._slots = asyncio.Semaphore(concurrency)

    async def intents(self, source: str) -> Intents | None:
        """The intents of all queries, composed by `facets` or `mllm`.

        Returns:
            None if that source composed less than half of them: there is no such source here.
        """
        contents = await self._all(Configuration(source, 0), {})
        found = {
            query_id: {name: content["composition"]["intent"][name] for name in _INTENT_FIELDS}
            for query_id, content in contents.items()
            if content["composition"]["intent"]["source"] in (source, "facets")
        }
        made = sum(c["composition"]["intent"]["source"] == source for c in contents.values())
        return found if 2 * made >= len(contents) else None

    async def headline_scores(
        self, composition: str, weights: CompositionWeights, intents: Intents | None
    ) -> list[float]:
        """The headline of every query, without re-ranking; with these intents, if given."""
        contents = await self._all(
            Configuration(composition, 0), {"weights": weights.model_dump()}, intents
        )
        return self.headline({i: _image_ids(content) for i, content in contents.items()})

    async def understood_scores(self, reading: Reading, weights: RoleWeights) -> list[float]:
        """The headline of every query whose text is understood by attributes, those of the
        reference being known, or read from its picture.

        Without the attribute check, which hides what a query embedding gets wrong, but only as far
        as candidates have attributes.
        """
        more, way = {"weights": weights.model_dump()}, Configuration("facets", 0, False)
        contents = await self._all(way, more, uploaded=reading == "read")
        values = score(self._benchmark, {i: _image_ids(c) for i, c in contents.items()})
        return [
            values[self._benchmark.headline][query_id]
            for query_id, content in contents.items()
            if content["composition"]["intent"]["alternatives"]
            and query_id in values[self._benchmark.headline]
        ]

    async def rerank_scores(
        self, composition: str, weights: CompositionWeights, intents: Intents | None, depth: int
    ) -> dict[str, list[ScoredResult]]:
        """The candidates of every query in coarse order, with both scores."""
        more = {"weights": weights.model_dump(), "rerank_weight": 0.0, "top_k": depth}
        contents = await self._all(Configuration(composition, depth), more, intents)
        return {
            query_id: [
                ScoredResult(r["image_id"], r["retrieval_score"], r["rerank_score"])
                for r in content["results"]
            ]
            for query_id, content in contents.items()
        }

    def headline(self, ranked: Mapping[str, Sequence[str]]) -> list[float]:
        """The benchmark's headline of every query, in a fixed order."""
        values = score(self._benchmark, ranked)[self._benchmark.headline]
        return [values[q.query_id] for q in self._benchmark.queries if q.query_id in values]

    async def _picture(self, image_id: str) -> str:
        if image_id not in self._pictures:
            picture = await self._client.picture(image_id)
            self._pictures[image_id] = base64.b64encode(picture).decode()
        return self._pictures[image_id]

    async def _all(
        self,
        configuration: Configuration,
        more: Mapping[str, Any],
        intents: Intents | None = None,
        uploaded: bool = False,
    ) -> dict[str, dict[str, Any]]:
        depth = self._benchmark.depth + uploaded  # an upload may find the reference itself

        async def one(query: Query) -> dict[str, Any]:
            body = request_of(query, configuration, depth, self._timeout_ms)
            if uploaded:
                body["reference_image"] = {"base64": await self._picture(query.reference_id)}
            if intents is not None and query.query_id in intents:
                body.pop("intent_source", None)
                body["intent"] = dict(intents[query.query_id])
            async with self._slots:
                return (await self._client.search({**body, **more}))[0]

        queries = self._benchmark.queries
        contents = await asyncio.gather(*(one(query) for query in queries))
        return {q.query_id: content for q, content in zip(queries, contents, strict=True)}


async def _tune_understood(trials: Trials, tuned: Tuned) -> None:
    """The weights where texts are understood, one kind of reading after the other."""
    found: dict[Reading, RoleWeights] = {}
    for reading in get_args(Reading):
        weights: RoleWeights = getattr(tuned.preset.understood, reading)
        before = await trials.understood_scores(reading, weights)
        if not before:
            raise BenchmarkError(
                "no text is understood: the gallery has no facet that names the thing; "
                "see CIR_INDEXER__NOUN_FACET"
            )
        tuned.scores[f"{reading} reference, weights as they were"] = fmean(before)
        weights = weights.model_copy(update={"forbidden": 0.0})
        for name, values in GRID.items():
            scores = {}
            for value in tqdm(values, f"{reading}, {name}"):
                trial = weights.model_copy(update={name: value})
                scores[value] = fmean(await trials.understood_scores(reading, trial))
            best = max(scores, key=lambda value: (scores[value], -value))
            weights = weights.model_copy(update={name: best})
        tuned.scores[f"{reading} reference"] = scores[best]
        found[reading] = weights
    tuned.preset = tuned.preset.model_copy(update={"understood": UnderstoodWeights(**found)})


async def _tune_composition(trials: Trials, tuned: Tuned) -> None:
    weights = tuned.preset.composition.model_copy(update={"forbidden": 0.0})
    intents = await trials.intents("facets")
    if intents is None:
        raise BenchmarkError(
            "the gallery gives no intents: it has no facet that names the thing; "
            "see CIR_INDEXER__NOUN_FACET"
        )
    before = await trials.headline_scores("facets", weights, intents)
    tuned.scores["intents sent back, weights as they were"] = fmean(before)
    weights = await _ascend(trials, "union", weights, UNION_GRID, None)
    for _ in range(_ROUNDS):
        weights = await _ascend(trials, "facets", weights, GRID, intents)
    tuned.scores["intents sent back"] = fmean(
        await trials.headline_scores("facets", weights, intents)
    )
    tuned.preset = tuned.preset.model_copy(update={"composition": weights})


async def _tune_reranking(trials: Trials, tuned: Tuned) -> None:
    """Whether the reranker composes, and what its scores weigh; unchanged where there is no
    reranker.

    Asking the reranker costs every search time, so it composes only where that is surely better:
    the paired interval of the difference lies above zero.
    """
    by_reranker = await trials.intents("mllm")
    if by_reranker is None:
        return
    weights, stage = tuned.preset.composition, tuned.preset.reranking
    with_reranker = await trials.headline_scores("mllm", weights, by_reranker)
    tuned.scores["mllm"] = fmean(with_reranker)
    known = CompositionWeights(**tuned.preset.understood.known.model_dump())
    by_facets = await trials.headline_scores("facets", known, None)
    tuned.scores["facets"] = fmean(by_facets)
    composes = paired(with_reranker, by_facets).low > 0
    source, chosen = ("mllm", by_reranker) if composes else ("facets", None)
    weights = weights if composes else known
    depth = stage.rerank_depth
    scored = await trials.rerank_scores(source, weights, chosen, depth)
    by_weight = {
        weight: fmean(trials.headline({i: fused(found, weight) for i, found in scored.items()}))
        for weight in RERANK_WEIGHTS
    }
    best = max(by_weight, key=lambda weight: (by_weight[weight], -weight))
    tuned.scores |= {
        f"{source}, re-ranked {depth} deep, w = {weight}": value
        for weight, value in by_weight.items()
    }
    stage = Reranking(reranker_composes=composes, rerank_depth=depth, rerank_weight=best)
    tuned.preset = tuned.preset.model_copy(update={"reranking": stage})


async def _ascend(
    trials: Trials,
    composition: str,
    weights: CompositionWeights,
    grid: Mapping[str, Sequence[float]],
    intents: Intents | None,
) -> CompositionWeights:
    """The best value of each weight of the grid in turn; what was there wins ties."""
    for name, values in grid.items():
        now = getattr(weights, name)
        found = {}
        for value in tqdm((now, *(v for v in values if v != now)), f"{composition}, {name}"):
            trial = weights.model_copy(update={name: value})
            found[value] = fmean(await trials.headline_scores(composition, trial, intents))
        weights = weights.model_copy(update={name: max(found, key=lambda value: found[value])})
    return weights


def fused(found: Sequence[ScoredResult], weight: float) -> list[str]:
    """Image ids by both scores, ordered as the service does; `found` as it was retrieved."""
    retrieved = [one.retrieval_score for one in found]
    reranked = [one.rerank_score for one in found]
    return [found[place].image_id for place in fused_order(retrieved, reranked, weight)]


_INTENT_FIELDS = ("target", "preserve", "desired", "forbidden")


def _image_ids(content: Mapping[str, Any]) -> list[str]:
    return [result["image_id"] for result in content["results"]]
