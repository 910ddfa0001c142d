"""The image store: has it the copies of the gallery's images, and are they pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from app.doctor.report import Finding
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import GalleryImage, GallerySpec
from models.datasets.images import ImageLimits, InvalidImage, decode_image

_DECODED = 20  # images whose copies are decoded; of the others both ends are looked at


def check_copies(
    sample: Sequence[GalleryImage], spec: GallerySpec, image_store: Path, build: str
) -> Iterator[Finding]:
    """Report the copies of some images.

    Args:
        sample: The images to look at.
        spec: Of their gallery; says which copies there are.
        image_store: Where the copies should be.
        build: The command that makes them.
    """
    store, sides_px = ImageStore(image_store), (spec.thumbnail_px, spec.rerank_px)
    states: dict[str, list[str]] = {"whole": [], "absent": [], "damaged": []}
    for number, image in enumerate(sample):
        found = {store.state(image.content_hash, side_px) for side_px in sides_px}
        if found == {"whole"} and number < _DECODED and not _decodes(store, image, sides_px):
            found = {"damaged"}
        worst = next(state for state in ("absent", "damaged", "whole") if state in found)
        states[worst].append(image.image_id)
    if absent := states["absent"]:
        yield Finding(
            "images", "warn",
            f"{image_store} lacks copies of {len(absent)} of {len(sample)} images looked at, e.g. "
            f"{absent[0]}: they are neither shown nor re-ranked",
            f"set CIR_API__IMAGE_STORE to the folder the gallery was built with, or {build}",
        )  # fmt: skip
    if damaged := states["damaged"]:
        yield Finding(
            "images", "warn",
            f"{image_store} has damaged copies of {len(damaged)} of {len(sample)} images looked "
            f"at, e.g. {damaged[0]}: they are neither shown nor re-ranked",
            f"{build}, which makes them anew",
        )  # fmt: skip
    if not absent and not damaged:
        yield Finding("images", "ok", f"{image_store} has the copies of the images looked at")


def _decodes(store: ImageStore, image: GalleryImage, sides_px: Sequence[int]) -> bool:
    try:
        for side_px in sides_px:
            path = store.path_of(image.content_hash, side_px)
            decode_image(path.read_bytes(), ImageLimits())
    except (InvalidImage, OSError):
        return False
    return True
