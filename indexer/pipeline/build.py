"""The runner of a build: reader → preparer → encoder → writer, overlapped and timed.

Files are prepared by threads a few batches ahead, the encoder works in this thread, and a thread of
its own writes to Qdrant; so the encoder, which is the expensive part, waits for nobody.
"""

import time
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from indexer.gallery.image_store import ImageStore
from indexer.gallery.server.writer import GalleryError, GalleryWriter
from indexer.pipeline.prepare import ImagePreparer, IndexRecord, SkippedRow
from indexer.pipeline.report import BuildReport, _Timer
from indexer.pipeline.source import facets_of
from indexer.settings import IndexerSettings
from models.contracts.gallery import GallerySpec
from models.datasets.images import ImageLimits
from models.datasets.manifest import ImageRow, passed_through
from models.datasets.schema import SchemaError
from models.encoder.encoder import ImageTextEncoder
from models.presets import preset_name

_BATCHES_AHEAD = 3  # prepared before the encoder asks, and waiting for Qdrant at most


class BuildFailed(GalleryError):
    """The new gallery was not put in service.

    Attributes:
        report: What was done until then, and what was skipped.
    """

    def __init__(self, report: BuildReport) -> None:
        super().__init__(report.refused)
        self.report = report


def build_gallery(
    rows: Sequence[ImageRow],
    encoder: ImageTextEncoder,
    writer: GalleryWriter,
    settings: IndexerSettings,
) -> BuildReport:
    """Embed images and put the new gallery in service.

    Args:
        rows: All images the gallery should hold.
        encoder: What embeds them.
        writer: Where they go.
        settings: Limits, sizes and the image store.

    Returns:
        What was done. Rows that could not be used are in `skipped`; the job goes on without them.

    Raises:
        SchemaError: The settings name an attribute that no image has, or the noun facet has no
            words.
        BuildFailed: Too many images failed or the new gallery is not sound; the gallery in
            service, if there is one, is untouched.
    """
    report = BuildReport(rows=len(rows), passed_through=passed_through(rows))
    began = time.monotonic()
    try:
        _build(rows, encoder, writer, settings, report)
    except GalleryError as error:
        report.refused = str(error)
        raise BuildFailed(report) from error
    finally:
        report.seconds["total"] = time.monotonic() - began
    return report


def _build(
    rows: Sequence[ImageRow],
    encoder: ImageTextEncoder,
    writer: GalleryWriter,
    settings: IndexerSettings,
    report: BuildReport,
) -> None:
    """Do it, and keep the report."""
    began = time.monotonic()
    began_at = datetime.now(UTC).isoformat(timespec="seconds")
    spec = _spec(rows, encoder, settings, began_at)
    writer.begin(spec)
    store = ImageStore(settings.image_store)
    store.remove_partials()
    preparer = ImagePreparer(
        store=store,
        limits=ImageLimits(settings.max_image_bytes, settings.max_image_pixels),
        preprocess=encoder.preprocess,
        sides_px={spec.thumbnail_px, spec.rerank_px},
        known=writer.known,
        read_timeout_s=settings.read_timeout_s,
    )
    report.seconds["start"] = time.monotonic() - began
    images = _run(rows, preparer, encoder, writer, settings, report)
    if report.failed > settings.max_failed_share * len(rows):
        raise GalleryError(
            f"{report.failed} of {len(rows)} images could not be used, more than the limit of "
            f"{settings.max_failed_share:.0%}; the gallery in service was left as it is"
        )
    with _Timer(report, "finish"):
        ids = set(images.values())
        indexed = [row for row in rows if row.image_id in ids]
        try:
            spec = _spec(indexed, encoder, settings, began_at)
        except SchemaError as error:  # all rows had it, so those that do were skipped
            raise GalleryError(
                f"of the images that could be used, {error}; the gallery in service was left as "
                "it is"
            ) from error
        writer.finish(ids, spec)
        report.unused_copies = store.count_besides(images, {spec.thumbnail_px, spec.rerank_px})
    report.indexed = len(images)


def _spec(
    rows: Sequence[ImageRow], encoder: ImageTextEncoder, settings: IndexerSettings, built_at: str
) -> GallerySpec:
    """What a gallery of these rows says of itself."""
    facets, noun = facets_of(rows, settings)
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


def _run(
    rows: Sequence[ImageRow],
    preparer: ImagePreparer[torch.Tensor],
    encoder: ImageTextEncoder,
    writer: GalleryWriter,
    settings: IndexerSettings,
    report: BuildReport,
) -> dict[str, str]:
    """Push all rows through; returns content hash → image id of those that made it."""
    size = encoder.batch_size
    first_with: dict[str, str] = {}  # content hash → image id
    writes: deque[Future[None]] = deque()
    with (
        ThreadPoolExecutor(settings.decode_workers, "prepare") as preparers,
        ThreadPoolExecutor(1, "write") as writes_in_order,
        tqdm(total=len(rows), desc="build", unit="image") as bar,
        closing(_ahead(preparers, preparer.prepare, rows, _BATCHES_AHEAD * size)) as results,
    ):
        while True:
            with _Timer(report, "images"):
                batch = list(islice(results, size))
            if not batch:
                break
            fresh = _without_duplicates(batch, first_with, report)
            new = [p for p in fresh if not writer.is_stored(p.image)]
            report.reused += len(fresh) - len(new)
            with _Timer(report, "encode"):
                embeddings = _embed(new, encoder, writer, report)
            with _Timer(report, "write"):
                while len(writes) >= _BATCHES_AHEAD:
                    writes.popleft().result()
            images = [prepared.image for prepared in new]
            writes.append(writes_in_order.submit(writer.upsert, images, embeddings))
            bar.update(len(batch))
            bar.set_postfix(skipped=len(report.skipped))
        with _Timer(report, "write"):
            for write in writes:
                write.result()
    return first_with


def _ahead(
    pool: ThreadPoolExecutor,
    prepare: Any,
    rows: Sequence[ImageRow],
    most: int,
) -> Generator[IndexRecord[torch.Tensor] | SkippedRow, None, None]:
    """Like `pool.map`, but never more than `most` results ahead: pictures are large.

    What is waiting when this ends early is not begun.
    """
    waiting: deque[Future[IndexRecord[torch.Tensor] | SkippedRow]] = deque()
    try:
        for row in rows:
            waiting.append(pool.submit(prepare, row))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _without_duplicates(
    batch: Sequence[IndexRecord[torch.Tensor] | SkippedRow],
    first_with: dict[str, str],
    report: BuildReport,
) -> list[IndexRecord[torch.Tensor]]:
    """Images whose bytes were not seen before in this build; the rest goes into the report."""
    fresh = []
    for result in batch:
        if isinstance(result, SkippedRow):
            report.skipped.append(result)
            continue
        image = result.image
        first = first_with.setdefault(image.content_hash, image.image_id)
        if first == image.image_id:
            fresh.append(result)
        else:
            report.skipped.append(
                SkippedRow(image.image_id, "", "duplicate", f"the same bytes as {first}")
            )
    return fresh


def _embed(
    batch: Sequence[IndexRecord[torch.Tensor]],
    encoder: ImageTextEncoder,
    writer: GalleryWriter,
    report: BuildReport,
) -> np.ndarray:
    """Embeddings of a batch, (B, D): computed, or copied where an earlier build has them."""
    inputs = [prepared.model_input for prepared in batch if prepared.model_input is not None]
    computed = iter(encoder.encode_preprocessed(inputs))
    stored = iter(writer.embeddings_of([p.known for p in batch if p.known is not None]))
    report.embedded += len(inputs)
    report.reused += len(batch) - len(inputs)
    rows = [next(computed if prepared.known is None else stored) for prepared in batch]
    return np.stack(rows) if rows else np.zeros((0, encoder.embedding_dim), np.float32)
