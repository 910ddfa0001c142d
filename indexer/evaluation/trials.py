"""Trial searches for tuning: the same queries again and again, with other weights."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.evaluation.client import SearchClient, request_of
from indexer.evaluation.contracts import Benchmark, Configuration, Query
from indexer.evaluation.scoring import score
from models.composition.vector import CompositionWeights

Intents = Mapping[str, Mapping[str, Any]]  # query id → roles
_ROLES = ("target", "preserve", "desired", "forbidden")


@dataclass(frozen=True)
class Judged:
    """One result with the scores of both stages; the second is None where it was not judged."""

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
        self._room = asyncio.Semaphore(concurrency)

    async def intents(self, source: str) -> Intents | None:
        """The intents of all queries, composed by `facets` or `mllm`.

        Returns:
            None if that source composed less than half of them: there is no such source here.
        """
        contents = await self._all(Configuration(source, 0), {})
        found = {
            query_id: {role: content["composition"]["intent"][role] for role in _ROLES}
            for query_id, content in contents.items()
            if content["composition"]["intent"]["source"] in (source, "facets")
        }
        made = sum(c["composition"]["intent"]["source"] == source for c in contents.values())
        return found if 2 * made >= len(contents) else None

    async def worth(
        self, composition: str, weights: CompositionWeights, intents: Intents | None
    ) -> list[float]:
        """The headline of every query, without re-ranking; with these intents, if given."""
        contents = await self._all(
            Configuration(composition, 0), {"weights": weights.model_dump()}, intents
        )
        return self.headline({i: _image_ids(content) for i, content in contents.items()})

    async def judged(
        self, composition: str, weights: CompositionWeights, intents: Intents, depth: int
    ) -> dict[str, list[Judged]]:
        """The candidates of every query in coarse order, with both scores."""
        more = {"weights": weights.model_dump(), "rerank_weight": 0.0, "top_k": depth}
        contents = await self._all(Configuration(composition, depth), more, intents)
        return {
            query_id: [
                Judged(r["image_id"], r["retrieval_score"], r["rerank_score"])
                for r in content["results"]
            ]
            for query_id, content in contents.items()
        }

    def headline(self, ranked: Mapping[str, Sequence[str]]) -> list[float]:
        """The benchmark's headline of every query, in a fixed order."""
        values = score(self._benchmark, ranked)[self._benchmark.headline]
        return [values[q.query_id] for q in self._benchmark.queries if q.query_id in values]

    async def _all(
        self,
        configuration: Configuration,
        more: Mapping[str, Any],
        intents: Intents | None = None,
    ) -> dict[str, dict[str, Any]]:
        async def one(query: Query) -> dict[str, Any]:
            body = request_of(query, configuration, self._benchmark.depth, self._timeout_ms)
            if intents is not None and query.query_id in intents:
                body.pop("intent_source", None)
                body["intent"] = dict(intents[query.query_id])
            async with self._room:
                return (await self._client.search({**body, **more}))[0]

        queries = self._benchmark.queries
        contents = await asyncio.gather(*(one(query) for query in queries))
        return {q.query_id: content for q, content in zip(queries, contents, strict=True)}


def _image_ids(content: Mapping[str, Any]) -> list[str]:
    return [result["image_id"] for result in content["results"]]
