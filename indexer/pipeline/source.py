"""The input of a build: its rows, the schema of their attributes, and `build --check` of both.

Nothing is decoded and nothing is written.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from indexer.pipeline import synonyms
from indexer.pipeline.options import SourceOptions
from indexer.settings import IndexerSettings
from models.contracts.gallery import Facet
from models.datasets.manifest import (
    AsAttributes,
    open_archives,
    open_embeddings,
    open_folder,
    open_manifest,
)
from models.datasets.records import Columns
from models.datasets.rows import ImageRow, ImageRows, attributes_of, passed_through
from models.datasets.schema import AttributeCounter
from models.errors import InputError
from models.settings import read_settings

_MAX_WORDS = 8  # of a facet, or missing files, in a line of `check`


def read_rows(
    folder: Path | None,
    manifest: Path | str | None,
    as_attributes: AsAttributes,
    *,
    archives: str | None = None,
    embeddings: Path | None = None,
    columns: Columns | None = None,
) -> ImageRows:
    """The images of a folder, of a manifest, of archives, or of embeddings that exist already.

    Args:
        folder: The folder; with `embeddings`, what their images' paths are relative to.
        manifest: The manifest, or its URL.
        as_attributes: Its columns that are attributes although they are not called so.
        archives: Tar archives, see `models.datasets.manifest.open_archives`.
        embeddings: The folder of embeddings.
        columns: What a column means → what it is called.

    Raises:
        InputError: They cannot be listed; the message names everything that is wrong.
    """
    if embeddings is not None:
        return open_embeddings(embeddings, folder, as_attributes, columns)
    if manifest is not None:
        return open_manifest(manifest, as_attributes, columns)
    if archives is not None:
        if columns:
            raise InputError("--columns names columns of a manifest; archives have none")
        return open_archives(archives, as_attributes)
    if as_attributes or columns:
        flag = "--attributes" if as_attributes else "--columns"
        raise InputError(f"{flag} names columns of a manifest; a folder has none")
    return open_folder(folder or Path())


def open_source(
    options: SourceOptions, noun: str | None = None
) -> tuple[IndexerSettings, ImageRows]:
    """The settings, as the flags of a command override them, and the rows of its source.

    Raises:
        InputError: Settings or flags are wrong, or the images cannot be listed.
    """
    named: dict[str, Any] = {"noun_facet": noun} if noun else {}
    if options.encoder is not None:
        named["encoder"] = {"model": options.encoder}
    settings = read_settings(IndexerSettings, **named)
    if settings.synonyms is None:
        settings = settings.model_copy(update={"synonyms": synonyms.beside(options.manifest)})
    rows = read_rows(
        options.images,
        options.manifest,
        options.as_attributes,
        archives=options.archives,
        embeddings=options.embeddings,
        columns=options.column_names,
    )
    return settings, rows


def facets_of(
    rows: Iterable[ImageRow], settings: IndexerSettings
) -> tuple[tuple[Facet, ...], str | None]:
    """The schema and the noun facet of a gallery of these rows; raises as `facets_of_counted`."""
    return facets_of_counted(attributes_of(rows), settings)


def facets_of_counted(
    attributes: AttributeCounter, settings: IndexerSettings
) -> tuple[tuple[Facet, ...], str | None]:
    """The schema and the noun facet of a gallery of images with these attributes.

    Raises:
        SchemaError: The settings name a noun facet that no image has, or that has no words.
        SynonymsError: The catalogue's words for its values cannot be used.
    """
    context = [name for name in settings.context_facets if name in attributes.names]
    facets, noun = attributes.schema(context, settings.noun_facet)
    if settings.synonyms is not None:
        words = synonyms.read_synonyms(settings.synonyms)
        facets = synonyms.with_synonyms(facets, words, settings.synonyms)
    return facets, noun


def column_lines(names: Sequence[str]) -> Iterator[str]:
    """A line about the columns that are passed through, if there are any."""
    if names:
        joined = ",".join(names)
        yield f"no attributes, so nothing is found by them: {', '.join(names)}"
        yield f"  (--attributes {joined!r} makes them attributes, --attributes all every column)"


def check(rows: Collection[ImageRow], settings: IndexerSettings) -> list[str]:
    """What a build of these rows would make of them, in lines.

    Raises:
        SchemaError: See `facets_of`.
        InputError: So many files are missing that the build would be refused.
    """
    facets, noun = facets_of(rows, settings)
    missing, first_missing = 0, list[str]()
    for row in rows:
        if row.host is None and not Path(row.location).is_file():
            missing += 1
            first_missing += [row.location] if missing <= _MAX_WORDS else []
    if missing > settings.max_failed_share * len(rows):
        raise InputError(
            f"{missing} of {len(rows)} files are not there, the first is "
            f"{first_missing[0]}; paths are relative to the manifest"
        )
    lines = [f"{len(rows)} images", "attributes:" if facets else "no attributes"]
    lines += [f"  {facet.name}: {_facet_text(facet, noun)}" for facet in facets]
    if noun is None:
        lines.append(
            "no attribute names the thing that is shown (--noun NAME), so intents cannot be read "
            "from attributes"
        )
    if settings.synonyms is not None:
        lines += synonyms.lines(facets, synonyms.read_synonyms(settings.synonyms))
    lines += column_lines(passed_through(rows))
    lines += [f"not there: {location}" for location in first_missing]
    if missing > _MAX_WORDS:
        lines.append(f"… and {missing - _MAX_WORDS} more files that are not there")
    return lines


def _facet_text(facet: Facet, noun: str | None) -> str:
    if facet.kind != "keyword":
        return "numbers" if facet.kind == "number" else "true or false"
    if not facet.values:
        return "text (too many or too long values to offer)"
    words = ", ".join(facet.values[:_MAX_WORDS]) + (", …" if facet.values[_MAX_WORDS:] else "")
    part = "; names the thing" if facet.name == noun else "; context" if facet.context else ""
    return f"{len(facet.values)} values ({words}){part}"
