"""A small finished evaluation, with every figure known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from indexer.evaluation.results import Results, Run
from indexer.evaluation.types import Answer, Benchmark, Configuration, Measure, Query
from models.metrics.retrieval import recall_at_k

TEXT, IMAGE, UNION = Configuration("text", 0), Configuration("image", 0), Configuration("union", 20)
SCRIPT = "wider <script>alert('x')</script> & größer"


def recall(k: int) -> Measure:
    return Measure(f"recall@{k}", lambda query, ranked: recall_at_k(ranked, query.relevant_ids, k))


def query(number: int, *kinds: str, text: str = "in red") -> Query:
    return Query(f"q{number}", f"reference-{number}", text, (f"right-{number}",), kinds)


def answer(
    number: int, rank: int | None, latency_ms: float = 10.0, reasons: Sequence[str] = ()
) -> Answer:
    """Ten results with the right answer at that rank (None: nowhere), the reference on top."""
    ids = [f"wrong-{i}" for i in range(10)]
    if rank:
        ids[rank - 1] = f"right-{number}"
    return Answer(f"q{number}", (f"reference-{number}", *ids), latency_ms, tuple(reasons))


BENCHMARK = Benchmark(
    name="four queries",
    queries=[
        query(0, "colour"),
        query(1, "colour", text=SCRIPT),
        query(2, "colour", "size | <b>length</b>"),
        query(3),
    ],
    measures=[recall(1), recall(5)],
    depth=10,
    headline="recall@5",
    notes=["The reference <i>does not</i> count."],
    averages={"mean recall": ("recall@1", "recall@5")},
)
_COLOURS = {"reference": "black", "right": "blue", "wrong": "white"}
# the rank of each query's right answer
RANKS: Mapping[Configuration, tuple[int | None, ...]] = {
    TEXT: (1, None, 7, 2),
    IMAGE: (1, 3, None, None),
    UNION: (1, 1, 1, 4),
}


def finished(reasons: Sequence[str] = (), benchmark: Benchmark = BENCHMARK) -> Results:
    """Three configurations; `reasons` are those of `union-20`'s first answer."""
    runs = []
    for configuration, ranks in RANKS.items():
        answers = [answer(i, rank, latency_ms=10.0 * (i + 1)) for i, rank in enumerate(ranks)]
        if configuration == UNION:
            answers[0] = replace(answers[0], reasons=tuple(reasons))
        runs.append(Run.scored(benchmark, configuration, answers))
    return Results(benchmark, runs)


def secret() -> Results:
    """The same of a benchmark that keeps its answers: rankings, and no figure."""
    queries = [replace(query, relevant_ids=()) for query in BENCHMARK.queries]
    benchmark = replace(BENCHMARK, queries=queries, measures=[], headline="", averages={})
    return finished(benchmark=benchmark)


def picture(image_id: str) -> Image.Image | None:
    """Its colour says what the image is; `wrong-1` has no picture."""
    if image_id == "wrong-1":
        return None
    return Image.new("RGB", (300, 200), _COLOURS[image_id.split("-")[0]])
