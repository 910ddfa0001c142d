"""Changes to the gallery in service: planned, and made by a new generation that begins as its copy.

A plan compares what a source lists with what the generation holds, by the bytes of the files and by
all that is said of them. Only what differs is prepared, embedded and put by the stages of a build;
the rest is copied by the engine. Where nothing differs, no generation is made.
"""

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm

from indexer.gallery.image_store import ImageStore
from indexer.gallery.ports import GalleryWriter
from indexer.pipeline.build import (
    Indexed,
    bounded_map,
    fill,
    image_preparer,
    spec_of_indexed,
)
from indexer.pipeline.changes.held import ChangeRefused, Held
from indexer.pipeline.prepare import IndexRecord, SkippedRow
from indexer.pipeline.report import BuildReport
from indexer.settings import IndexerSettings
from models.contracts.gallery import GalleryImage, GallerySpec, catalogue_facets, with_made_of
from models.datasets.disk_map import DiskMap
from models.datasets.rows import ImageRow, ImageRows
from models.datasets.schema import AttributeCounter, SchemaError
from models.encoder.encoder import ImageTextEncoder

_AHEAD = 256  # files that are read before they are compared
_NAMED = 5  # image ids of each kind that a plan names


@dataclass
class Affected:
    """Images that a change does one thing to.

    Attributes:
        count: How many.
        first: The ids of the first of them.
    """

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, image_id: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(image_id)


@dataclass
class Plan:
    """What a change does.

    Attributes:
        held: What is in service.
        spec: Of the gallery after it.
        after: Ids of the images that the gallery has after it.
        rows: What is put: new images, images of other bytes, images of which other things are said.
        added: Ids that are new.
        replaced: Ids whose bytes are others.
        rewritten: Ids of the same bytes, of which something else is said.
        removed: Ids that are gone.
        skipped: Rows that cannot be used.
    """

    held: Held
    spec: GallerySpec
    after: DiskMap
    rows: Collection[ImageRow] = ()
    added: Affected = field(default_factory=Affected)
    replaced: Affected = field(default_factory=Affected)
    rewritten: Affected = field(default_factory=Affected)
    removed: Affected = field(default_factory=Affected)
    skipped: list[SkippedRow] = field(default_factory=list)

    @property
    def changes_nothing(self) -> bool:
        """Whether the gallery in service is as it should be."""
        before = self.held.spec.model_copy(update={"built_at": self.spec.built_at})
        return before == self.spec and not (len(self.rows) or self.removed.count)

    def lines(self) -> Iterator[str]:
        """The plan in sentences."""
        for does, images in (
            ("added", self.added),
            ("replaced", self.replaced),
            ("rewritten, not embedded", self.rewritten),
            ("removed", self.removed),
        ):
            if images.count:
                more = ", …" if images.count > len(images.first) else ""
                yield f"{does}: {images.count} ({', '.join(images.first)}{more})"
        yield from BuildReport(rows=0, skipped=self.skipped).skip_lines()
        yield f"images: {len(self.held)} in {self.held.generation}, {len(self.after)} after"

    def as_dict(self) -> dict[str, Any]:
        """Its counts, for the report file."""
        names = ("added", "replaced", "rewritten", "removed")
        return {name: getattr(self, name).count for name in names}


def plan_sync(
    rows: Collection[ImageRow],
    held: Held,
    encoder: ImageTextEncoder,
    settings: IndexerSettings,
    *,
    max_removed: float = 1.0,
    dry_run: bool = False,
) -> Plan:
    """What makes the gallery equal to its source; reads every file once.

    Args:
        rows: All images the gallery should hold.
        held: What it holds.
        encoder: What new images will be embedded by.
        settings: Limits, sizes and the image store, into which missing copies are written.
        max_removed: The largest share of the images in service that may go.
        dry_run: Nothing is written.

    Raises:
        SchemaError: The settings name an attribute that no image has.
        ChangeRefused: Too many images cannot be used, or would be removed.
    """
    indexed, skipped = Indexed(), list[SkippedRow]()
    examined = _examine(rows, held, indexed, skipped, settings, dry_run)
    failed = sum(skip.reason != "duplicate" for skip in skipped)
    if failed > settings.max_failed_share * len(rows):
        raise ChangeRefused(
            f"{failed} of {len(rows)} images cannot be used, more than the limit of "
            f"{settings.max_failed_share:.0%}, such as {skipped[0].image_id}: {skipped[0].detail}"
        )
    spec = spec_of_indexed(indexed.attributes, encoder, settings, _now())
    spec = with_made_of(spec, held.spec) if settings.auto_facets else spec
    plan = Plan(held, spec, indexed.ids, skipped=skipped)
    _take_over(plan, examined, rows)
    _find_removed(plan)
    if plan.removed.count > max_removed * len(held):
        raise ChangeRefused(
            f"{plan.removed.count} of {len(held)} images would be removed, more than "
            f"{max_removed:.0%}; --dry-run shows which, --max-removed allows it"
        )
    return plan


def plan_addition(
    rows: ImageRows,
    held: Held,
    writer: GalleryWriter,
    settings: IndexerSettings,
    *,
    dry_run: bool = False,
) -> Plan:
    """What adds images, or replaces those of the same ids; all others stay.

    New bytes that an image in service has are its duplicate, even if that is replaced as well.
    The schema follows from what is stored and the new images. Copies are as large as those in
    service.

    Raises:
        SchemaError: An attribute has words where the gallery has numbers, or true and false.
    """
    rows.attributes.join(catalogue_facets(held.spec))
    sizes = {"rerank_px": held.spec.rerank_px, "thumbnail_px": held.spec.thumbnail_px}
    settings = settings.model_copy(update=sizes)
    indexed, skipped = Indexed(), list[SkippedRow]()
    examined = _examine(rows, held, indexed, skipped, settings, dry_run, others_stay=True)
    attributes, after = AttributeCounter(catalogue_facets(held.spec)), DiskMap()
    for image in writer.images(held.generation):
        after.setdefault(image.image_id, b"")
        if image.image_id not in indexed.ids:
            attributes.add(image.attributes)
    for row in rows:
        if row.image_id in indexed.ids:
            after.setdefault(row.image_id, b"")
            attributes.add(row.attributes)
    plan = Plan(held, _changed_spec(held.spec, attributes, settings), after, skipped=skipped)
    _take_over(plan, examined, rows)
    return plan


def plan_removal(
    image_ids: Iterable[str], held: Held, writer: GalleryWriter, settings: IndexerSettings
) -> Plan:
    """What removes images; ids that the gallery does not have change nothing.

    Raises:
        ChangeRefused: No image would be left.
    """
    going, attributes, after = DiskMap(), AttributeCounter(catalogue_facets(held.spec)), DiskMap()
    for image_id in image_ids:
        going.setdefault(image_id, b"")
    for image in writer.images(held.generation):
        if image.image_id not in going:
            after.setdefault(image.image_id, b"")
            attributes.add(image.attributes)
    if not after:
        raise ChangeRefused(f"none of the {len(held)} images would be left; nothing was removed")
    plan = Plan(held, _changed_spec(held.spec, attributes, settings), after)
    _find_removed(plan)
    return plan


def apply(
    plan: Plan, encoder: ImageTextEncoder | None, writer: GalleryWriter, settings: IndexerSettings
) -> BuildReport:
    """Make a change: a new generation, a copy of the last but for what differs, in service.

    Args:
        plan: What is changed.
        encoder: What embeds new images; needed if the plan puts some.
        writer: Where the gallery is.
        settings: Limits and the image store.

    Raises:
        ChangeRefused: Files could be read when the change was planned and cannot be now.
        GalleryError: The engine fails.
    """
    report = BuildReport(rows=len(plan.after), skipped=list(plan.skipped))
    with report.timed("total"):
        with report.timed("start"):
            generation = writer.open_generation(plan.spec, copy_of=plan.held.generation)
        if encoder is not None and plan.rows:
            sizes = {"rerank_px": plan.spec.rerank_px, "thumbnail_px": plan.spec.thumbnail_px}
            settings = settings.model_copy(update=sizes)
            store = ImageStore(settings.image_store)
            store.remove_partials()
            preparer = image_preparer(store, encoder.preprocess, generation.reusable, settings)
            fill(generation, plan.rows, preparer, encoder, settings, Indexed(), report)
        if lost := report.skipped[len(plan.skipped) :]:
            raise ChangeRefused(
                f"{len(lost)} files changed while they were read, such as {lost[0].image_id}: "
                f"{lost[0].detail}; the gallery in service was left as it is"
            )
        with report.timed("finish"):
            generation.publish(plan.after.keys(), plan.spec)
    report.indexed = len(plan.after)
    return report


class _Differing(Collection[ImageRow]):
    """The rows of a source that differ from what is held, found anew in it at each iteration."""

    def __init__(self, rows: Collection[ImageRow], ids: DiskMap) -> None:
        self._rows, self._ids = rows, ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[ImageRow]:
        return (row for row in self._rows if row.image_id in self._ids) if self._ids else iter(())

    def __contains__(self, row: object) -> bool:
        return isinstance(row, ImageRow) and row.image_id in self._ids


class _ReadOnlyStore(ImageStore):
    """An image store in which copies count as written."""

    def put(self, content_hash: str, side_px: int, data: bytes) -> None:
        """Leave it as it is."""


def _examine(
    rows: Collection[ImageRow],
    held: Held,
    indexed: Indexed,
    skipped: list[SkippedRow],
    settings: IndexerSettings,
    dry_run: bool,
    others_stay: bool = False,
) -> DiskMap:
    """Compare every row with what is held; returns image id → what is done, in one word.

    Args:
        rows: What is compared.
        held: With what.
        indexed: Takes in the images that can be used, without duplicates.
        skipped: Takes in the others.
        settings: Limits, sizes, the image store.
        dry_run: Copies are not written.
        others_stay: What has the bytes of another image that is held counts as its duplicate.
    """
    store = (_ReadOnlyStore if dry_run else ImageStore)(settings.image_store)
    preparer = image_preparer(store, lambda _: None, held.reusable, settings)
    differing = DiskMap()
    threads = max(settings.decode_workers, settings.reads_per_host)
    with (
        ThreadPoolExecutor(threads, "compare") as pool,
        closing(bounded_map(pool, preparer.prepare, rows, _AHEAD)) as results,
    ):
        for result in tqdm(results, total=len(rows), desc="compare", unit="image"):
            if isinstance(result, SkippedRow):
                skipped.append(result)
            elif (first := _first_of(result, held, indexed, others_stay)) != result.image.image_id:
                detail = f"the same bytes as {first}"
                skipped.append(SkippedRow(result.image.image_id, "", "duplicate", detail))
            elif what := _difference(result.image, held):
                differing.setdefault(result.image.image_id, what.encode())
    return differing


def _first_of(record: IndexRecord[None], held: Held, indexed: Indexed, others_stay: bool) -> str:
    """The id of the image that these bytes belong to; takes the image in if that is its own."""
    other = held.with_bytes(record.image.content_hash) if others_stay else None
    if other not in (None, record.image.image_id):
        return other
    return indexed.add(record.image)


def _difference(image: GalleryImage, held: Held) -> str:
    """What is done to an image; empty: nothing, it is held as it should be."""
    if image.image_id not in held:
        return "added"
    if held.holds(image):
        return ""
    same_bytes = held.reusable(image.image_id, image.content_hash) is not None
    return "rewritten" if same_bytes else "replaced"


def _take_over(plan: Plan, differing: DiskMap, rows: Collection[ImageRow]) -> None:
    """Put into a plan what was found by comparison."""
    plan.rows = _Differing(rows, differing)
    for image_id, what in differing.entries():
        affected: Affected = getattr(plan, what.decode())
        affected.add(image_id)


def _find_removed(plan: Plan) -> None:
    for image_id in plan.held:
        if image_id not in plan.after:
            plan.removed.add(image_id)


def _changed_spec(
    before: GallerySpec, attributes: AttributeCounter, settings: IndexerSettings
) -> GallerySpec:
    """The spec of a gallery after its images have changed, without its whole source.

    What was said of facets stays: context, the noun, synonyms. The noun is one no longer if no
    image has words for it. Facets that were made stay.
    """
    were = {facet.name: facet for facet in catalogue_facets(before)}
    named = before.noun_facet if before.noun_facet in were else None
    context = [
        name
        for name in attributes.names
        if (were[name].context if name in were else name in settings.context_facets)
    ]
    try:
        facets, noun = attributes.schema(context, named)
    except SchemaError:
        facets, noun = attributes.schema(context, None)
    kept = tuple(
        facet.model_copy(update={"synonyms": {v: w for v, w in said.items() if v in facet.values}})
        if facet.name in were and (said := were[facet.name].synonyms)
        else facet
        for facet in facets
    )
    changed = before.model_copy(update={"facets": kept, "noun_facet": noun, "built_at": _now()})
    return with_made_of(changed, before)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
