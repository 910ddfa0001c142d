"""Single queries worth a look, the best and the worst; and how many a run wins and loses."""

import math
import zlib
from dataclasses import dataclass

from indexer.evaluation.results import Results, Run, first_right_rank
from indexer.evaluation.types import Query, Ranked

ALL_QUERIES = "all queries"


@dataclass(frozen=True)
class ShownResult:
    """One image of a ranking.

    Attributes:
        image_id: The image.
        rank: 1-based; None if the ranking does not have it.
        is_right: Whether it is among the right answers.
    """

    image_id: str
    rank: int | None
    is_right: bool


@dataclass(frozen=True)
class Example:
    """One query as pictures show it.

    Attributes:
        query: The query.
        value: Its headline value.
        shown: The first results.
        missing: The best-ranked right answer that is not among them; None if all are shown.
    """

    query: Query
    value: float
    shown: tuple[ShownResult, ...]
    missing: ShownResult | None


@dataclass(frozen=True)
class Balance:
    """Queries whose headline value is higher than, equal to and lower than the baseline's."""

    wins: int
    ties: int
    losses: int

    @property
    def queries(self) -> int:
        """All of them."""
        return self.wins + self.ties + self.losses


def best(results: Results, run: Run, count: int, ranks: int) -> list[Example]:
    """The queries with the highest headline values, best first; empty without a headline.

    Ties go to the better rank of the first right answer, then to an order that only looks random:
    benchmarks list their queries kind by kind, and the first few would all be of one kind.

    Args:
        results: The evaluation.
        run: One of its runs.
        count: The most queries to give.
        ranks: How many results of each to show.
    """
    return [_example(results, run, query, ranks) for query in _sorted(results, run)[:count]]


def worst(results: Results, run: Run, count: int, ranks: int) -> list[Example]:
    """The queries with the lowest headline values, worst first; else as `best`."""
    ordered = _sorted(results, run)[::-1]
    return [_example(results, run, query, ranks) for query in ordered[:count]]


def balance(results: Results, run: Run) -> dict[str, Balance]:
    """Kind → wins and losses of a run against the baseline; first of all, `ALL_QUERIES`.

    Only queries that both have a value for count; a kind without any is left out.
    """
    values, baseline = results.headline_of(run), results.headline_of(results.baseline)
    differences = {i: values[i] - baseline[i] for i in values if i in baseline}
    groups = {ALL_QUERIES: tuple(differences), **results.kinds}
    shared = {
        kind: [differences[i] for i in ids if i in differences] for kind, ids in groups.items()
    }
    return {kind: _balance(group) for kind, group in shared.items() if group}


def _balance(differences: list[float]) -> Balance:
    wins = sum(difference > 0 for difference in differences)
    losses = sum(difference < 0 for difference in differences)
    return Balance(wins, len(differences) - wins - losses, losses)


def _sorted(results: Results, run: Run) -> list[Query]:
    values = results.headline_of(run)

    def order(query: Query) -> tuple[float, float, int]:
        rank = first_right_rank(query, run.ranking(query))
        return -values[query.query_id], rank or math.inf, zlib.crc32(query.query_id.encode())

    return sorted((q for q in results.benchmark.queries if q.query_id in values), key=order)


def _example(results: Results, run: Run, query: Query, ranks: int) -> Example:
    ranking = run.ranking(query)
    relevant = set(query.relevant_ids)
    shown = tuple(
        ShownResult(image_id, rank, image_id in relevant)
        for rank, image_id in enumerate(ranking[:ranks], 1)
    )
    return Example(
        query=query,
        value=results.headline_of(run)[query.query_id],
        shown=shown,
        missing=_missing(query, ranking, ranks),
    )


def _missing(query: Query, ranking: Ranked, ranks: int) -> ShownResult | None:
    relevant = set(query.relevant_ids)
    for rank, image_id in enumerate(ranking[ranks:], ranks + 1):
        if image_id in relevant:
            return ShownResult(image_id, rank, is_right=True)
    unranked = [image_id for image_id in query.relevant_ids if image_id not in set(ranking)]
    return ShownResult(unranked[0], None, is_right=True) if unranked else None
