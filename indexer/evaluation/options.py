"""What `python -m indexer evaluate` takes, of which typer makes flags. Light to import."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import BadParameter, Option

from indexer.evaluation.types import COMPOSITIONS
from models.command_line import one_at_most

BenchmarkName = Literal["demo", "attributes", "cirr", "circo", "fashioniq", "genecis"]
LIST_FLAGS = ("--compositions", "--rerank", "--attribute-check", "--families")


def _known(*there_are: str) -> Callable[[Sequence[str]], list[str]]:
    """A check that values are among those there are."""

    def check(names: Sequence[str]) -> list[str]:
        for name in names:
            if name not in there_are:
                known = ", ".join(map(repr, there_are))
                raise BadParameter(f"{name!r} is not one of {known}.")
        return list(names)

    return check


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """`evaluate`."""

    benchmark: Annotated[BenchmarkName, Option()]
    source: Annotated[
        Path | None,
        Option(
            help="demo: the catalogue's folder; published benchmarks: the folder of annotations; "
            "attributes: none, the gallery in service is the source"
        ),
    ] = None
    split: Annotated[str | None, Option(help="of a published benchmark or of attributes")] = None
    api: str = "http://127.0.0.1:8000"
    compositions: Annotated[
        list[str],
        Option(
            help=f"one or more of {', '.join(COMPOSITIONS)}", metavar="NAME [NAME ...]",
            default_factory=lambda: [*COMPOSITIONS], show_default="all",
            callback=_known(*COMPOSITIONS),
        ),
    ]  # fmt: skip
    rerank: Annotated[
        list[int],
        Option(
            help="candidates to re-rank, one or more depths; 0: none",
            metavar="DEPTH [DEPTH ...]", default_factory=lambda: [0, 10, 50],
            show_default="0 10 50",
        ),
    ]  # fmt: skip
    attribute_check: Annotated[
        list[str],
        Option(
            help="whether candidates whose attributes contradict the query go behind the others, "
            "one or both ways; off is measured for facets",
            metavar="demote|off [...]", default_factory=lambda: ["demote"],
            show_default="demote", callback=_known("demote", "off"),
        ),
    ]  # fmt: skip
    baseline: Annotated[
        str, Option(help="such as union-0; default: the first", show_default=False)
    ] = ""
    queries: Annotated[
        int | None,
        Option(
            help="ask only the first N (attributes: make N, and half as many typed ones)",
            metavar="N",
        ),
    ] = None
    families: Annotated[
        list[str],
        Option(
            help="only queries of these families of phrasings, such as negation",
            metavar="NAME [NAME ...]", default_factory=list, show_default="all",
        ),
    ]  # fmt: skip
    seed: Annotated[int, Option(help="of attributes")] = 0
    concurrency: Annotated[int, Option(help="requests at a time")] = 4
    timeout_ms: Annotated[int, Option(help="the deadline of each search")] = 60_000
    out: Annotated[Path, Option(help="folder of answers and report")] = Path("data/evaluation")
    predictions: Annotated[
        Path | None, Option(help="score stored top-k lists (JSON) instead of asking an API")
    ] = None
    tune: Annotated[Path | None, Option(help="tune weights; write this preset", metavar="FILE")] = (
        None
    )
    gallery: Annotated[
        tuple[Path, Path] | None,
        Option(
            help="write the manifest of a published benchmark's gallery, for `indexer build`",
            metavar="IMAGES MANIFEST",
        ),
    ] = None
    preset: Annotated[str, Option(help="what --tune starts from")] = "demo"

    def __post_init__(self) -> None:
        one_at_most(
            **{
                "--predictions": self.predictions,
                "--tune": self.tune,
                "--gallery": self.gallery,
            }
        )
