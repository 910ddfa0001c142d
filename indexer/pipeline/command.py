"""`python -m indexer build`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from indexer.gallery import open_writer
from indexer.pipeline.options import BuildOptions
from indexer.pipeline.source import check, read_rows
from indexer.pipeline.synonyms import beside
from indexer.settings import IndexerSettings
from models.errors import JobError
from models.settings import read_settings


def run(options: BuildOptions) -> Iterator[str]:
    """Build a gallery, or only check its input; yields the lines to print.

    Raises:
        InputError: Settings or input are wrong; nothing was written.
        JobError: The gallery was not put in service, or the report cannot be written.
    """
    named: dict[str, Any] = {"noun_facet": options.noun} if options.noun else {}
    if options.encoder is not None:
        named["encoder"] = {"model": options.encoder}
    settings = read_settings(IndexerSettings, **named)
    if settings.synonyms is None:
        settings = settings.model_copy(update={"synonyms": beside(options.manifest)})
    rows = read_rows(
        options.images,
        options.manifest,
        options.as_attributes,
        archives=options.archives,
        embeddings=options.embeddings,
        columns=options.column_names,
    )
    if options.check:
        yield from check(rows, settings)
        return
    # torch and open_clip take seconds to import: not before the input is known to be sound
    from indexer.pipeline.build import BuildFailed, build_gallery  # noqa: PLC0415
    from indexer.pipeline.given_embeddings import check_embeddings  # noqa: PLC0415
    from models.encoder.encoder import ImageTextEncoder  # noqa: PLC0415

    writer = open_writer(settings.gallery)
    try:
        if options.if_none and (generation := writer.published()) is not None:
            yield f"{generation} is in service; --if-none leaves it as it is"
            return
        encoder = ImageTextEncoder(settings.encoder)
        yield f"{len(rows)} images; encoder {encoder.fingerprint} on {encoder.device_reason}"
        if options.embeddings is not None:
            yield check_embeddings(rows, encoder, settings)
        report = build_gallery(rows, encoder, writer, settings)
    except BuildFailed as error:
        _write_report(options.report, error.report.as_dict())
        yield from error.report.skip_lines()
        raise
    finally:
        writer.close()
    _write_report(options.report, report.as_dict())
    yield from report.lines()


def _write_report(path: Path, report: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1), encoding="utf-8")
    except OSError as error:
        raise JobError(f"the report {path} cannot be written: {error}") from error
