"""`python -m indexer build`."""

from collections.abc import Iterator

from indexer.gallery import open_writer
from indexer.pipeline.command.ray_cluster import embed_on_cluster
from indexer.pipeline.options import BuildOptions
from indexer.pipeline.report import write_report
from indexer.pipeline.source import check, open_source
from models.errors import InputError


def run(options: BuildOptions) -> Iterator[str]:
    """Build a gallery, or only check its input; yields the lines to print.

    Raises:
        InputError: Settings or input are wrong; nothing was written.
        JobError: The gallery was not put in service, or the report cannot be written.
    """
    settings, rows = open_source(options, options.noun)
    shards = options.shard
    if shards != "all" and settings.gallery.url is None:
        raise InputError(
            "--shards and --ray are for galleries on a server (CIR_INDEXER__GALLERY__URL): the "
            "embedded one is a folder of one machine"
        )
    if options.no_auto_facets:
        settings = settings.model_copy(update={"auto_facets": False})
    if options.check:
        yield from check(rows, settings)
        return
    if options.ray is not None:
        yield from embed_on_cluster(options, options.ray, run)
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
        report = build_gallery(rows, encoder, writer, settings, shards=shards)
    except BuildFailed as error:
        write_report(options.report, error.report.as_dict())
        yield from error.report.skip_lines()
        raise
    finally:
        writer.close()
    write_report(options.report, report.as_dict())
    yield from report.lines()
    if isinstance(shards, tuple):
        yield f"part {shards[0]} of {shards[1]}; when all are embedded: --shards publish"
