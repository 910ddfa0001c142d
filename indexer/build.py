"""The runner of a build: reader → preparer → encoder → writer, overlapped and timed.

Files are prepared by threads a few batches ahead, the encoder works in this thread, and a thread of
its own writes to Qdrant; so the encoder, which is the expensive part, waits for nobody.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from indexer.preparer import Prepared, Preparer, Skipped
from indexer.settings import IndexerSettings
from indexer.source import about_columns, facets_of
from indexer.writer import GalleryError, GalleryWriter
from models.contracts.gallery import GallerySpec
from models.encoder import ImageTextEncoder
from models.image_store import ImageStore
from models.images import ImageLimits
from models.manifest import ImageRow, passed_through
from models.presets import preset_name
from models.schema import SchemaError

_BATCHES_AHEAD = 3  # prepared before the encoder asks, and waiting for Qdrant at most


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        rows: Images the source lists.
        indexed: Images in the gallery now.
        embedded: Of these, embedded in this run.
        reused: Of these, taken over from earlier builds with the embedding they had.
        refused: Why the gallery was not put in service; None: it was.
        passed_through: The manifest's columns that could be attributes and are none.
        unused_copies: Copies in the image store that this gallery does not use: of images that are
            gone, at other sizes, or of another gallery.
        skipped: Rows not indexed, with reasons; `duplicate` are byte-identical to an earlier row.
        seconds: Where the time of this thread went: `start` (resume, schema), `images` (waiting for
            files), `encode`, `write` (waiting for Qdrant), `finish` (verify, swap), `total`.
    """

    rows: int
    indexed: int = 0
    embedded: int = 0
    reused: int = 0
    refused: str | None = None
    passed_through: list[str] = field(default_factory=list)
    unused_copies: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def failed(self) -> int:
        """Rows whose file could not be used; duplicates are not failures."""
        return sum(skip.reason != "duplicate" for skip in self.skipped)

    def as_dict(self) -> dict[str, Any]:
        """For the report file."""
        return {
            "rows": self.rows,
            "indexed": self.indexed,
            "embedded": self.embedded,
            "reused": self.reused,
            "refused": self.refused,
            "passed_through": self.passed_through,
            "unused_copies": self.unused_copies,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "skipped": [asdict(skip) for skip in self.skipped],
        }

    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        total = max(self.seconds["total"], 1e-9)
        yield (
            f"{self.indexed} of {self.rows} images in the gallery "
            f"({self.embedded} embedded, {self.reused} taken over) in {total:.1f} s"
        )
        if self.embedded and self.seconds["encode"]:
            yield (
                f"{self.embedded / total:.0f} images/s over all; the encoder alone "
                f"{self.embedded / self.seconds['encode']:.0f} images/s"
            )
        shares = ("start", "images", "encode", "write", "finish")
        yield "time: " + ", ".join(f"{k} {self.seconds[k] / total:.0%}" for k in shares)
        if self.unused_copies:
            yield (
                f"{self.unused_copies} copies in the image store are of no image in this gallery, "
                "or at other sizes than its own"
            )
        yield from about_columns(self.passed_through)
        yield from self.skip_lines()

    def skip_lines(self) -> Iterator[str]:
        """What was skipped and why, in sentences."""
        for reason, count in Counter(skip.reason for skip in self.skipped).most_common():
            yield f"skipped, {reason.replace('_', ' ')}: {count}"
            for skip in islice((s for s in self.skipped if s.reason == reason), 5):
                yield f"  {skip.image_id}: {skip.sentence}"
            if count > 5:
                yield f"  … and {count - 5} more, see the report file"


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
    preparer = Preparer(
        store=store,
        limits=ImageLimits(settings.max_bytes, settings.max_pixels),
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
        rerank_px=settings.effective_preset().rerank_px,
        thumbnail_px=settings.thumbnail_px,
        built_at=built_at,
    )


def _run(
    rows: Sequence[ImageRow],
    preparer: Preparer[torch.Tensor],
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
) -> Generator[Prepared[torch.Tensor] | Skipped, None, None]:
    """Like `pool.map`, but never more than `most` results ahead: pictures are large.

    What is waiting when this ends early is not begun.
    """
    waiting: deque[Future[Prepared[torch.Tensor] | Skipped]] = deque()
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
    batch: Sequence[Prepared[torch.Tensor] | Skipped],
    first_with: dict[str, str],
    report: BuildReport,
) -> list[Prepared[torch.Tensor]]:
    """Images whose bytes were not seen before in this build; the rest goes into the report."""
    fresh = []
    for result in batch:
        if isinstance(result, Skipped):
            report.skipped.append(result)
            continue
        image = result.image
        first = first_with.setdefault(image.content_hash, image.image_id)
        if first == image.image_id:
            fresh.append(result)
        else:
            report.skipped.append(
                Skipped(image.image_id, "", "duplicate", f"the same bytes as {first}")
            )
    return fresh


def _embed(
    batch: Sequence[Prepared[torch.Tensor]],
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


class _Timer:
    """Adds the time spent inside to one of a report's columns."""

    def __init__(self, report: BuildReport, column: str) -> None:
        self._report, self._column = report, column

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._report.seconds[self._column] += time.monotonic() - self._began
