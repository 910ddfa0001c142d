"""The indexer's settings: environment variables with the prefix `CIR_INDEXER__`."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from indexer.gallery.settings import GalleryWriterSettings
from models.presets import Preset, RerankPx
from models.presets.source import PresetSettings
from models.settings import EncoderSettings


class IndexerSettings(PresetSettings):
    """What a build needs besides the images, preset included; command-line flags override it."""

    model_config = SettingsConfigDict(env_prefix="CIR_INDEXER__")
    old_names = {
        "QDRANT": "GALLERY",
        "MAX_BYTES": "MAX_IMAGE_BYTES",
        "MAX_PIXELS": "MAX_IMAGE_PIXELS",
    }

    encoder: EncoderSettings
    gallery: GalleryWriterSettings = GalleryWriterSettings()
    image_store: Path = Field(
        Path("data/images"), description="folder where prepared copies are written"
    )
    context_facets: tuple[str, ...] = Field(
        ("setting",),
        description="attributes that say where something is shown, not what it is, a JSON list; "
        "those that no image has are ignored",
    )
    noun_facet: str | None = Field(
        None,
        description="the attribute that names the thing; unset: `category` if there is one; "
        "`--noun` overrides",
    )
    synonyms: Path | None = Field(
        None,
        description="YAML file of the catalogue's other words for its values; unset: the file of "
        "the manifest's name that ends in `.yaml`, if there is one",
    )
    auto_facets: bool = Field(
        True,
        description="whether a gallery whose attributes do not name the things that are shown gets "
        "facets made of words that its encoder can see in its images; `--no-auto-facets` overrides",
    )
    decode_workers: int = Field(4, ge=1, le=64, description="threads that decode at once")
    reads_per_host: int = Field(
        16, ge=1, le=256, description="images that are read from one host at once, at most"
    )
    read_timeout_s: float = Field(
        60,
        gt=0,
        le=3600,
        description="longest wait for one image at a URL; a host that was silent five times in a "
        "row is not asked again",
    )
    thumbnail_px: int = Field(256, ge=16, le=4096, description="longer side of thumbnails")
    rerank_px: RerankPx
    make_copies: bool = Field(
        True,
        description="whether images are read although their embeddings are given; `false`: rows "
        "say `sha256`, `width` and `height` themselves, the page has no pictures, and nothing is "
        "re-ranked",
    )
    max_image_bytes: int = Field(
        100_000_000, ge=1, le=10_000_000_000, description="larger files are reported and left out"
    )
    max_image_pixels: int = Field(
        200_000_000,
        ge=1,
        le=10_000_000_000,
        description="images of more pixels, width × height, are reported and left out",
    )
    max_failed_share: float = Field(
        0.5, ge=0, le=1, description="a build is refused where a larger share of images is unusable"
    )

    @classmethod
    def of_preset(cls, preset: Preset) -> dict[str, Any]:
        """The encoder, and how large the copies are that the reranker sees."""
        return {"encoder": preset.encoder.model_dump(), "rerank_px": preset.rerank_px}
