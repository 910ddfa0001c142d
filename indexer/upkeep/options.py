"""What `status`, `verify` and `prune` take, of which typer makes flags. Light to import."""

from dataclasses import dataclass
from typing import Annotated

from typer import Option


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """`status`."""

    json: Annotated[bool, Option("--json", help="as JSON")] = False


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """`verify`."""

    sample: Annotated[
        int, Option(min=0, max=10_000, help="images whose embeddings are computed again")
    ] = 32


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """`prune`."""

    unfinished: Annotated[
        bool,
        Option("--unfinished", help="also remove builds and changes that were not finished"),
    ] = False
    min_age_h: Annotated[
        float,
        Option(
            min=0,
            help="hours that a copy has been there at least to be removed: a build under way "
            "writes copies before its gallery names them",
        ),
    ] = 24
    dry_run: Annotated[
        bool, Option("--dry-run", help="only say what would be removed; writes nothing")
    ] = False
