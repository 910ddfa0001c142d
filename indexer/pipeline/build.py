"""A build: rows → prepared → embedded → put → published; overlapped and timed.

Files are prepared by threads a few batches ahead, the encoder works in the caller's thread, and a
thread of its own puts what is done into the generation: all that an engine is asked between opening
and publishing, it is asked by that one thread. So the encoder, the costliest part, rarely waits.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Literal, TypeVar

import torch
from PIL.Image import Image
from tqdm import tqdm

from indexer.gallery.errors import GalleryError
from indexer.gallery.image_store import ImageStore
from indexer.gallery.ports import GalleryWriter, Generation, ReusableEmbedding
from indexer.pipeline.auto_facets import EmbeddingSample, with_made_facets
from indexer.pipeline.prepare import ImagePreparer, IndexRecord, SkippedRow
from indexer.pipeline.report import BuildReport
from indexer.pipeline.shards import Embedded, Shard
from indexer.pipeline.source import facets_of_counted
from indexer.settings import IndexerSettings
from models.contracts.gallery import GalleryImage, GallerySpec
from models.datasets.disk_map import DiskMap
from models.datasets.images import ImageLimits
from models.datasets.rows import ImageRow, attributes_of, passed_through
from models.datasets.schema import AttributeCounter, SchemaError
from models.encoder.encoder import ImageTextEncoder
from models.encoder.types import Embedding
from models.presets import preset_name

Item = TypeVar("Item")
Result = TypeVar("Result")
Record = IndexRecord[torch.Tensor]

_BATCHES_AHEAD = 3  # prepared before the encoder needs them, and waiting for the engine at most


class BuildFailed(GalleryError):
    """The new gallery was not put in service.

    Attributes:
        report: What was done until then, and what was skipped.
    """

    def __init__(self, report: BuildReport) -> None:
        super().__init__(report.refused)
        self.report = report


def build_gallery(
    rows: Collection[ImageRow],
    encoder: ImageTextEncoder,
    writer: GalleryWriter,
    settings: IndexerSettings,
    *,
    shards: Literal["all", "publish"] | tuple[int, int] = "all",
) -> BuildReport:
    """Embed images and put the new gallery in service.

    Args:
        rows: All images the gallery should hold; iterated once or twice, never held together.
        encoder: What embeds them.
        writer: Where they go.
        settings: Limits, sizes and the image store.
        shards: `(3, 8)`: only embed the third of eight parts, and leave the gallery unpublished;
            `publish`: embed what no part did, without a look at the files of the others.

    Returns:
        What was done. Rows that could not be used are in `skipped`; the job goes on without them.

    Raises:
        SchemaError: The settings name an attribute that no image has, or the noun facet has no
            words.
        StoreUnwritable: A copy cannot be written.
        BuildFailed: Too many images failed or the new gallery is not sound; the gallery in
            service, if there is one, is untouched.
    """
    part = Shard(rows, *shards) if isinstance(shards, tuple) else rows
    report = BuildReport(rows=len(part), passed_through=passed_through(rows))
    started = time.monotonic()
    try:
        _build(rows, part, encoder, writer, settings, report, shards == "publish")
    except GalleryError as error:
        report.refused = str(error)
        raise BuildFailed(report) from error
    finally:
        report.seconds["total"] = time.monotonic() - started
    return report


def _build(
    rows: Collection[ImageRow],
    part: Collection[ImageRow],
    encoder: ImageTextEncoder,
    writer: GalleryWriter,
    settings: IndexerSettings,
    report: BuildReport,
    trust_embedded: bool,
) -> None:
    """Open, fill with a part of the rows, publish if that is all of them; and keep the report."""
    built_at = datetime.now(UTC).isoformat(timespec="seconds")
    with report.timed("start"):
        spec = _spec(attributes_of(rows), encoder, settings, built_at)
        generation = writer.open_generation(spec)
        store, sides_px = ImageStore(settings.image_store), {spec.thumbnail_px, spec.rerank_px}
        store.remove_partials()
        preparer = image_preparer(store, encoder.preprocess, generation.reusable, settings)
        if trust_embedded:
            preparer.embedded = Embedded(writer, generation.name).of
    indexed, sample = Indexed(), EmbeddingSample() if settings.auto_facets else None
    fill(generation, part, preparer, encoder, settings, indexed, report, sample)
    if report.failed > settings.max_failed_share * len(part):
        raise GalleryError(
            f"{report.failed} of {len(part)} images could not be used, more than the limit of "
            f"{settings.max_failed_share:.0%}; the gallery in service was left as it is"
        )
    if part is rows:
        final = spec_of_indexed(indexed.attributes, encoder, settings, built_at)
        if sample is not None:
            with report.timed("facets"):
                final = with_made_facets(final, sample, generation, encoder)
            report.made = [facet for facet in final.facets if facet.made]
        with report.timed("finish"):
            generation.publish(indexed.ids.keys(), final)
            report.unused_copies = store.count_others(indexed.first_with, sides_px)
    report.indexed = len(indexed.ids)


def image_preparer(
    store: ImageStore,
    preprocess: Callable[[Image], Result],
    reusable: Callable[[str, str], ReusableEmbedding | None],
    settings: IndexerSettings,
) -> ImagePreparer[Result]:
    """A preparer with the limits and sizes of the settings; see `ImagePreparer`."""
    return ImagePreparer(
        store=store,
        limits=ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
        preprocess=preprocess,
        sides_px={settings.thumbnail_px, settings.rerank_px},
        reusable=reusable,
        read_timeout_s=settings.read_timeout_s,
        make_copies=settings.make_copies,
        decode_workers=settings.decode_workers,
        reads_per_host=settings.reads_per_host,
    )


class Indexed:
    """What is in the generation by now, on disk as far as it grows with it.

    Attributes:
        first_with: Content hash → id of the first image with these bytes.
        ids: The ids of these images.
        attributes: Their attributes.
    """

    def __init__(self) -> None:
        self.first_with, self.ids = DiskMap(), DiskMap()
        self.attributes = AttributeCounter()

    def add(self, image: GalleryImage) -> str:
        """Take in an image, unless there is one of these bytes; returns the first one's id."""
        first = self.first_with.setdefault(image.content_hash, image.image_id.encode()).decode()
        if first == image.image_id:
            self.ids.setdefault(image.image_id, b"")
            self.attributes.add(image.attributes)
        return first


def _spec(
    attributes: AttributeCounter,
    encoder: ImageTextEncoder,
    settings: IndexerSettings,
    built_at: str,
) -> GallerySpec:
    """The spec of a gallery of images with these attributes; raises `SchemaError`."""
    facets, noun = facets_of_counted(attributes, settings)
    return GallerySpec(
        encoder_fingerprint=encoder.fingerprint,
        embedding_dim=encoder.embedding_dim,
        facets=facets,
        noun_facet=noun,
        preset=preset_name(settings.preset),
        rerank_px=settings.rerank_px,
        thumbnail_px=settings.thumbnail_px,
        built_at=built_at,
    )


def spec_of_indexed(
    attributes: AttributeCounter,
    encoder: ImageTextEncoder,
    settings: IndexerSettings,
    built_at: str,
) -> GallerySpec:
    """The spec of the images that are in the gallery, which offers no value that only skipped rows
    had.

    Raises:
        GalleryError: An attribute that the settings name is left in none of them.
    """
    try:
        return _spec(attributes, encoder, settings, built_at)
    except SchemaError as error:
        raise GalleryError(
            f"of the images that could be used, {error}; the gallery in service was left as it is"
        ) from error


def fill(
    generation: Generation,
    rows: Collection[ImageRow],
    preparer: ImagePreparer[torch.Tensor],
    encoder: ImageTextEncoder,
    settings: IndexerSettings,
    indexed: Indexed,
    report: BuildReport,
    sample: EmbeddingSample | None = None,
) -> None:
    """Put all rows that can be used, and sample their embeddings."""
    size, threads = encoder.batch_size, max(settings.decode_workers, settings.reads_per_host)
    puts: deque[Future[None]] = deque()
    with (
        ThreadPoolExecutor(threads, "prepare") as preparers,
        ThreadPoolExecutor(1, "put") as engine,
        tqdm(total=len(rows), desc="build", unit="image") as bar,
        closing(bounded_map(preparers, preparer.prepare, rows, _BATCHES_AHEAD * size)) as results,
    ):
        while True:
            with report.timed("images"):
                batch = list(islice(results, size))
            if not batch:
                break
            records = _without_duplicates(batch, indexed, report)
            with report.timed("encode"):
                embeddings = _embed(records, encoder, report)
            if sample is not None:
                sample.add(embeddings)
            with report.timed("write"):
                while len(puts) >= _BATCHES_AHEAD:
                    puts.popleft().result()
            images = [record.image for record in records]
            puts.append(engine.submit(generation.put, images, embeddings))
            bar.update(len(batch))
            bar.set_postfix(skipped=len(report.skipped))
        with report.timed("write"):
            for put in puts:
                put.result()


def bounded_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], limit: int
) -> Generator[Result, None, None]:
    """Like `pool.map`, in order, but at most `limit` results ahead: decoded images are large.

    What has not been started when the generator is closed never is.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= limit:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _without_duplicates(
    batch: Sequence[Record | SkippedRow], indexed: Indexed, report: BuildReport
) -> list[Record]:
    """Images whose bytes are new in this build; the rest goes into the report."""
    unique = []
    for result in batch:
        if isinstance(result, SkippedRow):
            report.skipped.append(result)
            continue
        image = result.image
        first = indexed.add(image)
        if first == image.image_id:
            unique.append(result)
        else:
            report.skipped.append(
                SkippedRow(image.image_id, "", "duplicate", f"the same bytes as {first}")
            )
    return unique


def _embed(
    records: Sequence[Record], encoder: ImageTextEncoder, report: BuildReport
) -> list[Embedding | ReusableEmbedding]:
    """Each record's embedding, (D,): computed, given, or where it is stored already."""
    sources = [record.source for record in records]
    inputs = [source for source in sources if isinstance(source, torch.Tensor)]
    computed = iter(encoder.encode_preprocessed(inputs))  # (len(inputs), D)
    reused = sum(isinstance(source, ReusableEmbedding) for source in sources)
    report.embedded += len(inputs)
    report.reused += reused
    report.given += len(sources) - len(inputs) - reused
    return [next(computed) if isinstance(source, torch.Tensor) else source for source in sources]
