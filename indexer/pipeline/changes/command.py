"""`python -m indexer sync`, `add` and `remove`."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import ServiceError
from indexer.gallery.ports import GalleryReader, GalleryWriter
from indexer.pipeline.options import AddOptions, RemoveOptions, SyncOptions
from indexer.pipeline.report import write_report
from indexer.pipeline.source import open_source
from indexer.settings import IndexerSettings
from models.contracts.filter import Filter
from models.errors import InputError, JobError
from models.settings import read_settings, sentences

if TYPE_CHECKING:
    from indexer.pipeline.changes.plan import Plan
    from models.datasets.rows import ImageRows
    from models.encoder.encoder import ImageTextEncoder

Options = SyncOptions | AddOptions | RemoveOptions

_PAGE = 1000


def run(options: Options) -> Iterator[str]:
    """Change the gallery in service, or only say what would change; yields the lines to print.

    Raises:
        InputError: Settings or input are wrong; nothing was written.
        JobError: The gallery was not changed, or the report cannot be written.
    """
    if isinstance(options, RemoveOptions):
        yield from _remove(options)
        return
    noun = options.noun if isinstance(options, SyncOptions) else None
    settings, rows = open_source(options, noun)
    # torch and open_clip take seconds to import: not before the input is known to be sound
    from indexer.pipeline.given_embeddings import check_embeddings  # noqa: PLC0415
    from models.encoder.encoder import ImageTextEncoder  # noqa: PLC0415

    with closing(open_writer(settings.gallery)) as writer:
        encoder = ImageTextEncoder(settings.encoder)
        if options.embeddings is not None:
            yield check_embeddings(rows, encoder, settings)
        if isinstance(options, SyncOptions):
            yield from _sync(options, rows, encoder, writer, settings)
        else:
            yield from _add(options, rows, encoder, writer, settings)


def _sync(
    options: SyncOptions,
    rows: "ImageRows",
    encoder: "ImageTextEncoder",
    writer: GalleryWriter,
    settings: IndexerSettings,
) -> Iterator[str]:
    from indexer.pipeline.build import build_gallery  # noqa: PLC0415
    from indexer.pipeline.changes.held import read_held  # noqa: PLC0415
    from indexer.pipeline.changes.plan import plan_sync  # noqa: PLC0415

    if writer.published() is None:
        yield f"there is no gallery yet; {len(rows)} images make one"
        if not options.dry_run:
            report = build_gallery(rows, encoder, writer, settings)
            write_report(options.report, report.as_dict())
            yield from report.lines()
        return
    held = read_held(writer, encoder.fingerprint)
    plan = plan_sync(
        rows, held, encoder, settings, max_removed=options.share, dry_run=options.dry_run
    )
    yield from _carry_out(plan, options, encoder, writer, settings)


def _add(
    options: AddOptions,
    rows: "ImageRows",
    encoder: "ImageTextEncoder",
    writer: GalleryWriter,
    settings: IndexerSettings,
) -> Iterator[str]:
    from indexer.pipeline.changes.held import read_held  # noqa: PLC0415
    from indexer.pipeline.changes.plan import plan_addition  # noqa: PLC0415

    held = read_held(writer, encoder.fingerprint)
    plan = plan_addition(rows, held, writer, settings, dry_run=options.dry_run)
    yield from _carry_out(plan, options, encoder, writer, settings)


def _remove(options: RemoveOptions) -> Iterator[str]:
    settings = read_settings(IndexerSettings)
    if options.filter is None:
        image_ids = [image_id for image_id in options.ids or () if image_id]
    else:
        where = _filter_of(options.filter)
        with closing(open_reader(settings.gallery)) as reader:
            try:
                image_ids = _matching(reader, where)
            except ServiceError as error:
                raise JobError(str(error)) from error
    from indexer.pipeline.changes.held import read_held  # noqa: PLC0415
    from indexer.pipeline.changes.plan import plan_removal  # noqa: PLC0415

    with closing(open_writer(settings.gallery)) as writer:
        held = read_held(writer, None)
        absent = [image_id for image_id in image_ids if image_id not in held]
        if absent:
            yield f"not in the gallery: {len(absent)}, such as {absent[0]}"
        plan = plan_removal(image_ids, held, writer, settings)
        yield from _carry_out(plan, options, None, writer, settings)


def _carry_out(
    plan: "Plan",
    options: Options,
    encoder: "ImageTextEncoder | None",
    writer: GalleryWriter,
    settings: IndexerSettings,
) -> Iterator[str]:
    """Say what the plan is; make the change, if it is one and not only to be said."""
    from indexer.pipeline.changes.plan import apply  # noqa: PLC0415

    yield from plan.lines()
    if plan.changes_nothing:
        yield f"nothing to do: {plan.held.generation} stays in service"
        return
    if options.dry_run:
        yield "nothing was written"
        return
    report = apply(plan, encoder, writer, settings)
    write_report(options.report, report.as_dict() | plan.as_dict())
    yield (
        f"{writer.published()} is in service: {report.indexed} images, {report.embedded} embedded, "
        f"in {report.seconds['total']:.1f} s"
    )


def _filter_of(text: str) -> Filter:
    """A filter as it is written in JSON.

    Raises:
        InputError: It is none, or every image fits it.
    """
    try:
        where: dict[str, Any] = TypeAdapter(Filter).validate_json(text)
    except ValidationError as error:
        said = next(sentences(error, lambda at: ".".join(map(str, at))))
        raise InputError(f"--filter is not one that searches take: {said}") from error
    if not where:
        raise InputError("--filter is empty, so every image fits it; nothing was removed")
    return where


def _matching(reader: GalleryReader, where: Filter) -> list[str]:
    """The ids of all images that fit a filter."""
    generation, offset = reader.current(), None
    found: list[str] = []
    while True:
        page = reader.scroll(generation, _PAGE, offset=offset, where=where)
        found += [image.image_id for image in page.images]
        offset = page.next_offset
        if offset is None:
            return found
