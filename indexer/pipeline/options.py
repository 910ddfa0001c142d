"""What `python -m indexer build` takes, of which typer makes flags. Light to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from models.command_line import one_at_most
from models.datasets.manifest import AsAttributes
from models.errors import InputError


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """`build`."""

    images: Annotated[Path | None, Option(help="a folder of images")] = None
    manifest: Annotated[Path | None, Option(help="a JSONL or CSV manifest")] = None
    attributes: Annotated[
        str,
        Option(
            help="columns of the manifest that are attributes although they are not called so; "
            "`all`: every column that has no meaning of its own",
            metavar="A,B,C", show_default=False,
        ),
    ] = ""  # fmt: skip
    noun: Annotated[
        str | None,
        Option(
            help="the attribute that names the thing, instead of CIR_INDEXER__NOUN_FACET",
            metavar="NAME",
        ),
    ] = None
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
        one_at_most(**{"--images": self.images, "--manifest": self.manifest})
        if self.images is None and self.manifest is None:
            raise InputError("a build needs --images or --manifest")

    @property
    def as_attributes(self) -> AsAttributes:
        """The columns that `attributes` names."""
        if self.attributes == "all":
            return "all"
        return tuple(name for name in self.attributes.split(",") if name)
