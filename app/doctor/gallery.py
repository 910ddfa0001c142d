"""The gallery and the image store: are they there, and do they fit the encoder and each other."""

from collections.abc import Iterator
from pathlib import Path

from app.doctor.images import check_copies
from app.doctor.report import Finding
from indexer.gallery import open_reader
from indexer.gallery.errors import GalleryNotFound, GalleryUnavailable
from indexer.gallery.settings import GallerySettings
from models.contracts.gallery import GallerySpec
from models.encoder.encoder import ImageTextEncoder, fingerprint_name
from models.errors import JobError
from models.settings import EncoderSettings

_SAMPLES = 500


def check_gallery(
    settings: GallerySettings, image_store: Path, encoder: EncoderSettings, load: bool, build: str
) -> list[Finding]:
    """Report gallery and image store.

    Args:
        settings: Where the gallery is.
        image_store: Where the prepared copies are.
        encoder: The one the API would run.
        load: Whether the encoder may be loaded for its fingerprint; else names are compared.
        build: The command that makes both.
    """
    where = settings.printed_url or f"the folder {settings.path}"
    reader = open_reader(settings)
    try:
        generation = reader.current()
        spec, count = generation.spec, reader.count(generation)
        sample = reader.scroll(generation, _SAMPLES).images
    except GalleryNotFound:
        return [Finding("gallery", "warn", f"there is none in {where} yet", build)]
    except GalleryUnavailable as error:
        of_servers = "start Qdrant, or mend CIR_API__GALLERY__URL and CIR_API__GALLERY__API_KEY"
        remedy = None if settings.url is None else of_servers
        return [Finding("gallery", "error", str(error), remedy)]
    finally:
        reader.close()
    if count == 0:
        return [Finding("gallery", "error", f"the one in {where} has lost its images", build)]
    there = Finding("gallery", "ok", f"{count:,} images in {where}, built {spec.built_at}")
    return [
        there,
        *_fingerprint(spec, encoder, load, build),
        *check_copies(sample, spec, image_store, build),
    ]


def _fingerprint(
    spec: GallerySpec, encoder: EncoderSettings, load: bool, build: str
) -> Iterator[Finding]:
    built_with = spec.encoder_fingerprint
    if load:
        try:
            here = ImageTextEncoder(encoder).fingerprint
        except JobError:
            return  # said where the encoder is looked at
        fits = here == built_with
    else:
        here = fingerprint_name(encoder)
        fits = built_with.rpartition("-")[0] == here
    if not fits:
        yield Finding(
            "gallery", "error",
            f"it was built with encoder {built_with}, but the API would run {here}",
            f"build it again ({build}), or set the preset it was built with",
        )  # fmt: skip
    elif load:
        yield Finding("gallery", "ok", f"built with this encoder, {here}")
    else:
        yield Finding("gallery", "ok", f"built with {built_with}; compare weights with --load")
