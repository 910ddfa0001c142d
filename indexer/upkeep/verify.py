"""`python -m indexer verify`: whether the gallery in service is what it was when it was published.

The engine checks its own data; here every image is read, its values are held against the schema,
its copies are looked at, and a sample of embeddings is computed again from the copies.
"""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import GalleryError, ServiceError
from indexer.gallery.image_store import ImageStore
from indexer.gallery.ports import GalleryWriter, KeptGeneration, StoredImage
from indexer.settings import IndexerSettings
from indexer.upkeep.options import VerifyOptions
from models.contracts.gallery import AttributeValue, Facet, GalleryImage
from models.datasets.disk_map import DiskMap
from models.datasets.images import ImageLimits, InvalidImage, decode_image
from models.errors import JobError
from models.settings import read_settings

if TYPE_CHECKING:
    from models.encoder.encoder import ImageTextEncoder

# of an image's embedding to that of its copy, which is smaller and compressed; of two pictures that
# have nothing to do with each other it is far below
_LEAST_COSINE = 0.85
_NAMED = 20  # problems that are named one by one


class GalleryUnsound(JobError):
    """Something is wrong with the gallery in service; what, has been said."""


def run(options: VerifyOptions) -> Iterator[str]:
    """Check the gallery in service; yields the lines to print.

    Raises:
        InputError: The settings are wrong.
        GalleryUnsound: Something is wrong with it.
        JobError: There is no gallery, or the engine fails.
    """
    settings = read_settings(IndexerSettings)
    with closing(open_writer(settings.gallery)) as writer:
        kept = next((each for each in writer.generations() if each.state == "in service"), None)
        if kept is None:
            raise GalleryError("there is no gallery to verify yet; `build` makes one")
        yield f"{kept.name}: {kept.images} images"
        problems = writer.check(kept.name)
        found = _Found(kept, settings, options.sample)
        problems += found.problems_of(writer)
    if found.sampled:
        problems += _wrong_embeddings(found.sampled, kept, settings)
        yield f"embeddings computed again: {len(found.sampled)}"
    if orphans := found.count_orphans():
        yield f"copies of no image of it: {orphans} (`prune` removes what nobody needs)"
    yield from problems[:_NAMED]
    if len(problems) > _NAMED:
        yield f"… and {len(problems) - _NAMED} more"
    if problems:
        raise GalleryUnsound(
            f"{len(problems)} problems in {kept.name}; `build` with the manifest makes it anew, "
            "`sync` makes copies that are gone"
        )
    yield "nothing is wrong"


class _Found:
    """What one reading of all images finds.

    Attributes:
        sampled: Ids of some images, each as likely as any other.
    """

    def __init__(self, kept: KeptGeneration, settings: IndexerSettings, sample: int) -> None:
        self._kept, self._settings = kept, settings
        self._store = ImageStore(settings.image_store)
        self._sides_px = {kept.spec.thumbnail_px, kept.spec.rerank_px}
        self._facets = {facet.name: facet for facet in kept.spec.facets}
        self._first_with, self._wanted = DiskMap(), sample if settings.make_copies else 0
        self.sampled: list[str] = []

    def problems_of(self, writer: GalleryWriter) -> list[str]:
        """Read all images; what is wrong with them, a sentence each."""
        problems, count, rng = list[str](), 0, random.Random(0)
        for image in writer.images(self._kept.name):
            count += 1
            problems += self._problems_of_image(image)
            if len(self.sampled) < self._wanted:
                self.sampled.append(image.image_id)
            elif (at := rng.randrange(count)) < self._wanted:
                self.sampled[at] = image.image_id
        if count != self._kept.images:
            problems.append(f"it counts {self._kept.images} images and has {count}")
        return problems

    def count_orphans(self) -> int:
        """Copies that no image of this generation has."""
        return self._store.count_others(self._first_with, self._sides_px)

    def _problems_of_image(self, image: GalleryImage) -> Iterator[str]:
        own = image.image_id.encode()
        if (first := self._first_with.setdefault(image.content_hash, own)) != own:
            yield f"{image.image_id}: the same bytes as {first.decode()}"
        for name, value in image.attributes.items():
            if not _fits(value, self._facets.get(name)):
                yield f"{image.image_id}: {name} is {value!r}, which the schema does not have"
        if self._settings.make_copies:
            for side_px in sorted(self._sides_px):
                state = self._store.state(image.content_hash, side_px)
                if state != "whole":
                    yield f"{image.image_id}: its copy at {side_px} px is {state}"


def _fits(value: AttributeValue, facet: Facet | None) -> bool:
    """Whether a value is one of those that the schema has."""
    if facet is None:
        return False
    if isinstance(value, bool):
        return facet.kind == "flag"
    if isinstance(value, int | float):
        return facet.kind == "number"
    words: Collection[str] = value if isinstance(value, list) else [value]
    return facet.kind == "keyword" and (not facet.values or set(words) <= set(facet.values))


def _wrong_embeddings(
    image_ids: Sequence[str], kept: KeptGeneration, settings: IndexerSettings
) -> list[str]:
    """Embed the copies of some images; those whose stored embedding is another's."""
    from models.encoder.encoder import ImageTextEncoder  # noqa: PLC0415  # takes seconds

    encoder = ImageTextEncoder(settings.encoder)
    if encoder.fingerprint != kept.spec.encoder_fingerprint:
        return [
            f"it was embedded by {kept.spec.encoder_fingerprint}, the settings name "
            f"{encoder.fingerprint}"
        ]
    with closing(open_reader(settings.gallery)) as reader:
        try:
            stored = reader.fetch(reader.current(), image_ids)
        except ServiceError as error:
            raise JobError(str(error)) from error
    return [problem for each in stored for problem in _wrong(each, encoder, kept, settings)]


def _wrong(
    stored: StoredImage,
    encoder: "ImageTextEncoder",
    kept: KeptGeneration,
    settings: IndexerSettings,
) -> Iterator[str]:
    side_px = max(kept.spec.thumbnail_px, kept.spec.rerank_px)
    path = ImageStore(settings.image_store).path_of(stored.image.content_hash, side_px)
    try:
        picture = decode_image(path.read_bytes(), ImageLimits())
    except (OSError, InvalidImage) as error:
        yield f"{stored.image.image_id}: its copy cannot be read: {error}"
        return
    (again,) = encoder.encode_images([picture])  # (D,)
    if (cosine := float(again @ stored.embedding)) < _LEAST_COSINE:
        yield (
            f"{stored.image.image_id}: its embedding is not its picture's: the cosine to that of "
            f"its copy is {cosine:.2f}"
        )
