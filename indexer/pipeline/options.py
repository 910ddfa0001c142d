"""What `python -m indexer build` takes, of which typer makes flags. Light to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from models.command_line import one_at_most
from models.datasets.manifest import AsAttributes
from models.datasets.records import ATTRIBUTE_PREFIX, KNOWN_COLUMNS
from models.errors import InputError


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """`build`."""

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
        others = {
            "--manifest": self.manifest,
            "--archives": self.archives,
            "--embeddings": self.embeddings,
        }
        # with --embeddings, a folder of images is what their paths are relative to
        folder = {} if self.embeddings is not None else {"--images": self.images}
        one_at_most(**folder, **others)
        if all(given is None for given in (self.images, *others.values())):
            raise InputError("a build needs --images or --manifest, or --archives, or --embeddings")
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
