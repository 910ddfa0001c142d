"""A finished evaluation: what every configuration answered, and what that was worth."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Self

import numpy as np
from numpy.typing import NDArray

from indexer.evaluation.scoring import score, under_protocol
from indexer.evaluation.types import Answer, Benchmark, BenchmarkError, Configuration, Query, Ranked
from models.metrics.bootstrap import Interval, Latency, interval, latency, macro_interval, paired

Values = Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """What one configuration answered, and how good that was.

    Attributes:
        configuration: The way to search.
        answers: Query id → answer.
        values: Measure → query id → value; a query that a measure does not apply to is absent.
    """

    configuration: Configuration
    answers: Mapping[str, Answer]
    values: Mapping[str, Values]

    @classmethod
    def scored(
        cls, benchmark: Benchmark, configuration: Configuration, answers: Iterable[Answer]
    ) -> Self:
        """A run from its answers, one to every query.

        Raises:
            BenchmarkError: Not exactly one answer without repetitions per query.
        """
        by_id = {answer.query_id: answer for answer in answers}
        ranked = {query_id: answer.ranked_ids for query_id, answer in by_id.items()}
        return cls(configuration, by_id, score(benchmark, ranked))

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.configuration.name

    def ranking(self, query: Query) -> list[str]:
        """The answer's ids as the benchmark's protocol counts them, best first."""
        return under_protocol(query, self.answers[query.query_id].ranked_ids)


@dataclass(frozen=True)
class Score:
    """A mean with its interval, and how many queries it is the mean of."""

    interval: Interval
    queries: int


def averages(parts: Mapping[str, Sequence[str]], values: Mapping[str, Values]) -> dict[str, Score]:
    """Unweighted means of measures.

    Args:
        parts: Name of the average → its measures.
        values: Measure → query id → value.

    Returns:
        Name → score, over all queries that any of its measures applies to; an average with a
        measure that applied to no query is left out.
    """
    made = {}
    for name, measures in parts.items():
        columns = [values.get(measure, {}) for measure in measures]
        ids = list(dict.fromkeys(query_id for column in columns for query_id in column))
        if all(columns):
            table = [[column.get(query_id, np.nan) for column in columns] for query_id in ids]
            made[name] = Score(macro_interval(table), len(ids))
    return made


def difference(values: Values, baseline: Values) -> Score | None:
    """Values minus the baseline's over the queries both have; None if there are none."""
    shared = [query_id for query_id in values if query_id in baseline]
    if not shared:
        return None
    pairs = paired([values[i] for i in shared], [baseline[i] for i in shared])
    return Score(pairs, len(shared))


@dataclass(frozen=True)
class Row:
    """One configuration's line in the tables.

    Attributes:
        configuration: The way to search.
        queries: How many were answered.
        measures: Measure → score; a measure that applied to no query is absent.
        averages: Average of measures → score; as `measures`.
        latency: Per query.
        degraded: How many answers were degraded.
        reasons: Reason → how many answers named it, the most frequent first; an answer may name
            several.
        difference: Headline minus the baseline's, over the queries both have a value for; None for
            the baseline itself and without a headline.
        kinds: Kind of query → score of the headline, the largest kind first.
    """

    configuration: Configuration
    queries: int
    measures: Mapping[str, Score]
    averages: Mapping[str, Score]
    latency: Latency
    degraded: int
    reasons: Mapping[str, int]
    difference: Score | None
    kinds: Mapping[str, Score]


@dataclass(frozen=True)
class FlagRates:
    """How often first results say that they may not be what was meant.

    The first result to a text that asks for what no attribute holds is never right.

    Attributes:
        wrong: First results that are wrong.
        wrong_flagged: How many of them say so.
        right: First results that are right.
        right_flagged: How many of them are flagged all the same.
    """

    wrong: int
    wrong_flagged: int
    right: int
    right_flagged: int

    @property
    def of_wrong(self) -> float | None:
        """Share of the wrong first results that are flagged; None: there are none."""
        return self.wrong_flagged / self.wrong if self.wrong else None

    @property
    def of_right(self) -> float | None:
        """Share of the right first results that are flagged; None: there are none."""
        return self.right_flagged / self.right if self.right else None


@dataclass(frozen=True)
class FamilyFigures:
    """What one run is worth for one family of phrasings.

    Attributes:
        queries: How many.
        recalls: `recall@1` and recall at the benchmark's depth, as far as it measures them.
        flags: Of the first results.
    """

    queries: int
    recalls: Mapping[str, Score]
    flags: FlagRates


ALL_FAMILIES = "all families"


@dataclass(frozen=True)
class Results:
    """Every configuration's run over one benchmark.

    Attributes:
        benchmark: What was asked.
        runs: In the order of the tables.
        baseline_name: The configuration the others are compared with; empty: the first one.

    Raises:
        BenchmarkError: There are no runs, one without answers, one twice, or no such baseline.
    """

    benchmark: Benchmark
    runs: Sequence[Run]
    baseline_name: str = ""

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs]
        if not names or len(set(names)) != len(names):
            raise BenchmarkError(f"results need runs of different configurations, got {names}")
        if empty := [run.name for run in self.runs if not run.answers]:
            raise BenchmarkError(f"no answers from {', '.join(empty)}")
        if self.baseline_name and self.baseline_name not in names:
            raise BenchmarkError(
                f"no {self.baseline_name} to compare with; runs: {', '.join(names)}"
            )

    @property
    def baseline(self) -> Run:
        """The run that the others are compared with."""
        return self.run(self.baseline_name or self.runs[0].name)

    @property
    def best(self) -> Run | None:
        """The run with the highest headline; None without a headline."""
        scored = [run for run in self.runs if self.headline_of(run)]
        return max(scored, key=lambda run: fmean(self.headline_of(run).values()), default=None)

    def run(self, name: str) -> Run:
        """The run of the configuration of that name.

        Raises:
            KeyError: There is none.
        """
        return {run.name: run for run in self.runs}[name]

    def headline_of(self, run: Run) -> Values:
        """Query id → value of the headline; empty without one."""
        return run.values.get(self.benchmark.headline, {})

    @cached_property
    def kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Kind → ids of its queries, the largest kind first."""
        members: dict[str, list[str]] = {}
        for query in self.benchmark.queries:
            for kind in query.kinds:
                members.setdefault(kind, []).append(query.query_id)
        by_size = sorted(members, key=lambda kind: (-len(members[kind]), kind))
        return {kind: tuple(members[kind]) for kind in by_size}

    @cached_property
    def families(self) -> Mapping[str, Mapping[str, FamilyFigures]]:
        """Run → family → figures, in the benchmark's order, `ALL_FAMILIES` last; empty where the
        benchmark tells no families apart.
        """
        members: dict[str, list[Query]] = {}
        for query in self.benchmark.queries:
            if query.family:
                members.setdefault(query.family, []).append(query)
        if not members:
            return {}
        members[ALL_FAMILIES] = [query for queries in members.values() for query in queries]
        return {
            run.name: {name: self._family(run, queries) for name, queries in members.items()}
            for run in self.runs
        }

    def _family(self, run: Run, queries: Sequence[Query]) -> FamilyFigures:
        names = ("recall@1", f"recall@{self.benchmark.depth}")
        values = {name: run.values[name] for name in names if name in run.values}
        return FamilyFigures(
            len(queries),
            scores(
                {
                    name: [by_query[q.query_id] for q in queries if q.query_id in by_query]
                    for name, by_query in values.items()
                }
            ),
            _flag_rates(run, queries),
        )

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One row per run, computed once: every interval takes thousands of resamples."""
        return tuple(self._row(run) for run in self.runs)

    def _row(self, run: Run) -> Row:
        degraded = [answer.reasons for answer in run.answers.values() if answer.reasons]
        reasons = Counter(reason for said in degraded for reason in dict.fromkeys(said))
        headline, baseline = self.headline_of(run), self.headline_of(self.baseline)
        return Row(
            configuration=run.configuration,
            queries=len(run.answers),
            measures=scores({name: by_query.values() for name, by_query in run.values.items()}),
            averages=averages(self.benchmark.averages, run.values),
            latency=latency([answer.latency_ms for answer in run.answers.values()]),
            degraded=len(degraded),
            reasons=dict(reasons.most_common()),
            difference=None if run is self.baseline else difference(headline, baseline),
            kinds=scores(
                {
                    kind: [headline[i] for i in ids if i in headline]
                    for kind, ids in self.kinds.items()
                }
            ),
        )


def _flag_rates(run: Run, queries: Sequence[Query]) -> FlagRates:
    flagged: dict[bool, list[bool]] = {True: [], False: []}  # is it right → is it flagged
    for query in queries:
        first = run.ranking(query)[:1]
        is_right = not query.unanswerable and not set(first).isdisjoint(query.relevant_ids)
        flagged[is_right].append(bool(run.answers[query.query_id].flags))
    return FlagRates(
        len(flagged[False]), sum(flagged[False]), len(flagged[True]), sum(flagged[True])
    )


def first_right_rank(query: Query, ranking: Ranked) -> int | None:
    """1-based rank of the first right answer; None if the ranking has none."""
    relevant = set(query.relevant_ids)
    return next((rank for rank, image_id in enumerate(ranking, 1) if image_id in relevant), None)


def recall_curve(results: Results, run: Run) -> NDArray[np.float64]:
    """recall@K for K = 1..depth, over the queries that the headline applies to.

    A benchmark may ask its queries in two ways, and one curve over both would be neither's.

    Returns:
        Shape (depth,), in [0, 1].
    """
    benchmark, headline = results.benchmark, results.headline_of(run)
    asked = [query for query in benchmark.queries if query.query_id in headline]
    ranks = [first_right_rank(query, run.ranking(query)) for query in asked]
    found = np.array([rank or benchmark.depth + 1 for rank in ranks])  # (queries,)
    recalls: NDArray[np.float64] = (found[:, None] <= np.arange(1, benchmark.depth + 1)).mean(
        axis=0
    )
    return recalls


def scores(values: Mapping[str, Iterable[float]]) -> dict[str, Score]:
    """Name → values per query to name → score; a name without any value is left out."""
    lists = {name: list(group) for name, group in values.items()}
    return {name: Score(interval(group), len(group)) for name, group in lists.items() if len(group)}
