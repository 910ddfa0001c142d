"""What `python -m indexer demo` takes, of which typer makes flags. Light to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from indexer.demo.scene import Split


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """`demo`."""

    out: Annotated[Path, Option(help="folder to write into")]
    images: Annotated[int, Option(help="how many")] = 2500
    seed: int = 7
    split: Split = "test"
    size: Annotated[int, Option(help="pixels")] = 160
    queries: Annotated[int, Option(help="of templates, at most")] = 800
    typed_queries: Annotated[
        int, Option(help="in the words people type, at most; the split train has none")
    ] = 560
    families: Annotated[
        bool | None,
        Option(
            help="scenes with near neighbours, or independent ones "
            "(default: independent for training, families otherwise)",
            show_default=False,
        ),
    ] = None
    questions: Annotated[
        int, Option(help="yes-or-no questions per image, for training a reranker")
    ] = 0
    finishes: Annotated[
        bool,
        Option(
            "--finishes",
            help="give items a finish (matte, metallic, …), which the shipped models do not know",
        ),
    ] = False
