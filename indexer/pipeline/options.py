"""What `python -m indexer build`, `sync`, `add` and `remove` take, of which typer makes flags.

Light to import.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from indexer.pipeline.shards import shard_of
from models.command_line import one_at_most
from models.datasets.manifest import AsAttributes
from models.datasets.records import ATTRIBUTE_PREFIX, KNOWN_COLUMNS
from models.errors import InputError

LIST_FLAGS = ("--ids",)

_Noun = Annotated[
    str | None,
    Option(
        help="the attribute that names the thing, instead of CIR_INDEXER__NOUN_FACET",
        metavar="NAME",
    ),
]
_DryRun = Annotated[bool, Option("--dry-run", help="only say what would change; writes nothing")]
_Report = Annotated[Path, Option(help="everything that was done and skipped, as JSON")]
_REPORT = Path("data/change-report.json")


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where images are, and what their columns mean."""

    images: Annotated[
        Path | None,
        Option(help="a folder of images; with --embeddings: what their paths are relative to"),
    ] = None
    manifest: Annotated[
        str | None, Option(help="a JSONL, CSV or Parquet manifest, or its URL", metavar="FILE")
    ] = None
    archives: Annotated[
        str | None,
        Option(
            help="tar archives in WebDataset's layout: one, a folder, a pattern such as "
            "'{000..127}.tar', or a URL of these",
            metavar="PATTERN",
        ),
    ] = None
    embeddings: Annotated[
        Path | None,
        Option(help="a folder of embeddings that exist already, .npy with .parquet", metavar="DIR"),
    ] = None
    encoder: Annotated[
        str | None,
        Option(
            help="the encoder that made the embeddings, instead of CIR_INDEXER__ENCODER__MODEL; "
            "checked on a sample",
            metavar="NAME",
        ),
    ] = None
    columns: Annotated[
        str,
        Option(
            help="what columns are called in this source, where it is not as they should be: "
            "image=file,image_id=sku",
            metavar="NAME=COLUMN,…", show_default=False,
        ),
    ] = ""  # fmt: skip
    attributes: Annotated[
        str,
        Option(
            help="columns of the manifest that are attributes although they are not called so; "
            "`all`: every column that has no meaning of its own",
            metavar="A,B,C", show_default=False,
        ),
    ] = ""  # fmt: skip

    def __post_init__(self) -> None:
        others = {
            "--manifest": self.manifest,
            "--archives": self.archives,
            "--embeddings": self.embeddings,
        }
        # with --embeddings, a folder of images is what their paths are relative to
        folder = {} if self.embeddings is not None else {"--images": self.images}
        one_at_most(**folder, **others)
        if all(given is None for given in (self.images, *others.values())):
            raise InputError(
                "say where the images are: --images or --manifest, or --archives, or --embeddings"
            )
        if self.encoder is not None and self.embeddings is None:
            raise InputError("--encoder says what made the embeddings of --embeddings")

    @property
    def as_attributes(self) -> AsAttributes:
        """The columns that `attributes` names."""
        if self.attributes == "all":
            return "all"
        return tuple(name for name in self.attributes.split(",") if name)

    @property
    def column_names(self) -> dict[str, str]:
        """What `columns` says: what a column means → what it is called.

        Raises:
            InputError: It says something else.
        """
        named = {}
        for part in filter(None, self.columns.split(",")):
            ours, equals, theirs = (text.strip() for text in part.partition("="))
            known = ours in KNOWN_COLUMNS or ours.startswith(ATTRIBUTE_PREFIX)
            if not (known and equals and theirs):
                raise InputError(
                    f"--columns: {part!r} should be NAME=COLUMN, with a NAME of "
                    f"{', '.join(KNOWN_COLUMNS)}"
                )
            named[ours] = theirs
        return named


@dataclass(frozen=True, kw_only=True)
class BuildOptions(SourceOptions):
    """`build`."""

    noun: _Noun = None
    shards: Annotated[
        str | None,
        Option(
            help="on a server, embed one part of many, and publish nothing: 3/8; when all parts "
            "are embedded: `publish`",
            metavar="I/N|publish",
        ),
    ] = None
    ray: Annotated[
        str | None,
        Option(
            help="on a server, embed on the nodes of a Ray cluster: its address, or `local`",
            metavar="ADDRESS",
        ),
    ] = None
    no_auto_facets: Annotated[
        bool,
        Option(
            "--no-auto-facets",
            help="make no facets for a gallery whose attributes do not name what is shown",
        ),
    ] = False
    check: Annotated[
        bool,
        Option(
            "--check",
            help="only say what is wrong with the input, and what its attributes are; "
            "writes nothing",
        ),
    ] = False
    if_none: Annotated[
        bool, Option("--if-none", help="do nothing where there is a gallery already")
    ] = False
    report: Annotated[Path, Option(help="everything that was done and skipped, as JSON")] = Path(
        "data/build-report.json"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        one_at_most(**{"--ray": self.ray, "--shards": self.shards})

    @property
    def shard(self) -> Literal["all", "publish"] | tuple[int, int]:
        """Which part of the source is embedded; raises `InputError`."""
        if self.ray is not None:
            return "publish"
        if self.shards is None:
            return "all"
        return "publish" if self.shards == "publish" else shard_of(self.shards)


@dataclass(frozen=True, kw_only=True)
class SyncOptions(SourceOptions):
    """`sync`."""

    noun: _Noun = None
    dry_run: _DryRun = False
    report: _Report = _REPORT
    max_removed: Annotated[
        str,
        Option(
            help="the largest share of the images in service that may be removed; more is refused",
            metavar="PERCENT",
        ),
    ] = "20%"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?%?", self.max_removed) or self.share > 1:
            raise InputError(f"--max-removed is a percentage, like 20%; found {self.max_removed!r}")

    @property
    def share(self) -> float:
        """`max_removed` of 1."""
        return float(self.max_removed.removesuffix("%")) / 100


@dataclass(frozen=True, kw_only=True)
class AddOptions(SourceOptions):
    """`add`."""

    dry_run: _DryRun = False
    report: _Report = _REPORT


@dataclass(frozen=True, kw_only=True)
class RemoveOptions:
    """`remove`."""

    ids: Annotated[list[str] | None, Option(help="images, by their ids")] = None
    filter: Annotated[
        str | None,
        Option(
            help='images that fit a filter, as searches take it: \'{"colour": "red"}\'',
            metavar="JSON",
        ),
    ] = None
    dry_run: _DryRun = False
    report: _Report = _REPORT

    def __post_init__(self) -> None:
        one_at_most(**{"--ids": self.ids or None, "--filter": self.filter})
        if not any(self.ids or ()) and self.filter is None:
            raise InputError("say what goes: --ids or --filter")
