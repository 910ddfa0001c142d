"""The input of a build: its rows, the schema of their attributes, and `build --check` of both.

Nothing is decoded and nothing is written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from indexer.pipeline import synonyms
from indexer.settings import IndexerSettings
from models.contracts.gallery import Facet
from models.datasets.manifest import (
    AsAttributes,
    ImageRow,
    passed_through,
    read_folder,
    read_manifest,
)
from models.datasets.schema import schema_of
from models.errors import InputError

_MAX_WORDS = 8  # of a facet, or missing files, in a line of `check`


def read_rows(
    folder: Path | None, manifest: Path | None, as_attributes: AsAttributes
) -> list[ImageRow]:
    """The images of a folder, or of a manifest with these columns as attributes.

    Raises:
        InputError: They cannot be listed; the message names everything that is wrong.
    """
    if manifest is not None:
        return read_manifest(manifest, as_attributes)
    if as_attributes:
        raise InputError("--attributes names columns of a manifest; a folder has none")
    return read_folder(folder or Path())


def facets_of(
    rows: Sequence[ImageRow], settings: IndexerSettings
) -> tuple[tuple[Facet, ...], str | None]:
    """The schema and the noun facet of a gallery of these rows.

    Raises:
        SchemaError: The settings name a noun facet that no image has, or that has no words.
        SynonymsError: The catalogue's words for its values cannot be used.
    """
    attributes = [row.attributes for row in rows]
    named = {name for each in attributes for name in each}
    context = [name for name in settings.context_facets if name in named]
    facets, noun = schema_of(attributes, context, settings.noun_facet)
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


def check(rows: Sequence[ImageRow], settings: IndexerSettings) -> list[str]:
    """What a build of these rows would make of them, in lines.

    Raises:
        SchemaError: See `facets_of`.
        InputError: So many files are missing that the build would be refused.
    """
    facets, noun = facets_of(rows, settings)
    missing = [row for row in rows if row.host is None and not Path(row.location).is_file()]
    if len(missing) > settings.max_failed_share * len(rows):
        raise InputError(
            f"{len(missing)} of {len(rows)} files are not there, the first is "
            f"{missing[0].location}; paths are relative to the manifest"
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
    lines += [f"not there: {row.location}" for row in missing[:_MAX_WORDS]]
    if len(missing) > _MAX_WORDS:
        lines.append(f"… and {len(missing) - _MAX_WORDS} more files that are not there")
    return lines


def _facet_text(facet: Facet, noun: str | None) -> str:
    if facet.kind != "keyword":
        return "numbers" if facet.kind == "number" else "true or false"
    if not facet.values:
        return "text (too many or too long values to offer)"
    words = ", ".join(facet.values[:_MAX_WORDS]) + (", …" if facet.values[_MAX_WORDS:] else "")
    part = "; names the thing" if facet.name == noun else "; context" if facet.context else ""
    return f"{len(facet.values)} values ({words}){part}"
