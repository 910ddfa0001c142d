"""What a benchmark is, and what the API answered: the words every part of the evaluation shares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import InputError

Ranked = Sequence[str]
TEMPLATES = "templates"  # the family of texts that are made, not typed

# baselines, then intersections by who composes the intent: the gallery's attributes, or the
# reranker
COMPOSITIONS = ("image", "text", "union", "facets", "mllm")
# by which an answer says that it may not be what was meant
FLAGS = ("not_understood", "nothing_fits")


@dataclass(frozen=True)
class Query:
    """A composed query with its right answers.

    Attributes:
        query_id: Unique in the benchmark.
        reference_id: The reference, an image of the gallery.
        text: The modification text.
        relevant_ids: The right answers, first the target that the text was written for; empty where
            the benchmark keeps them secret.
        kinds: What reports group by: a kind of edit, a semantic aspect, a category. A query may be
            of several kinds.
        family: The way its text is phrased; empty: the benchmark does not tell ways apart.
        unanswerable: Whether the text asks for what no attribute holds: an answer has to say so,
            whatever it finds.
        excludes_reference: Whether the protocol takes the reference out of the ranking.
        among: The protocol searches only among these images; empty: the whole gallery.
        filter: The same by attributes, as the API takes it.
    """

    query_id: str
    reference_id: str
    text: str
    relevant_ids: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    family: str = ""
    unanswerable: bool = False
    excludes_reference: bool = True
    among: tuple[str, ...] = ()
    filter: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measure:
    """A figure per query, averaged over the queries it applies to.

    Attributes:
        name: As tables print it, such as `recall@10`.
        of: Query and ranked ids → the value, or None where the measure does not apply (a subset
            measure on another query, say).
    """

    name: str
    of: Callable[[Query, Ranked], float | None]


@dataclass(frozen=True)
class Benchmark:
    """Queries and how they are scored.

    Attributes:
        name: Such as `circo-val`.
        queries: In the benchmark's order.
        measures: What is reported, in order; empty where the answers are secret.
        depth: How many ranks the measures, or the submission, look at.
        headline: Name of the measure that sorts wins and losses; empty without measures.
        notes: Sentences about the protocol that a reader of the report must know.
        averages: Name → measures whose means it is the unweighted mean of: FashionIQ's figure over
            its categories, say, which is not the mean over all queries.
        write_submission: (query id → ranked ids, folder) → the files written there; None where the
            benchmark has no server.
    """

    name: str
    queries: Sequence[Query]
    measures: Sequence[Measure]
    depth: int
    headline: str = ""
    notes: Sequence[str] = ()
    averages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    write_submission: Callable[[Mapping[str, Ranked], Path], list[Path]] | None = None


@dataclass(frozen=True)
class Answer:
    """What the API said to one query.

    Attributes:
        query_id: The query's.
        ranked_ids: Best first.
        latency_ms: As the client saw it.
        reasons: `coverage.reasons`; not empty: the answer was degraded.
        reranker: Version of the reranker that had a part in it.
        flags: Those of `FLAGS` that it says.
    """

    query_id: str
    ranked_ids: tuple[str, ...]
    latency_ms: float
    reasons: tuple[str, ...] = ()
    reranker: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """One way to search: a row of the report's table.

    Attributes:
        composition: One of `COMPOSITIONS`.
        rerank_depth: 0: coarse stage only.
        attribute_check: Whether candidates whose attributes contradict the query go behind.
    """

    composition: str
    rerank_depth: int
    attribute_check: bool = True

    @property
    def name(self) -> str:
        """As tables and files call it."""
        unchecked = "" if self.attribute_check else "-unchecked"
        return f"{self.composition}-{self.rerank_depth}{unchecked}"


class BenchmarkError(InputError):
    """A benchmark cannot be read or made; the message says what is missing and where it is from."""
