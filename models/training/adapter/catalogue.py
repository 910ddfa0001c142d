"""A manifest as training reads it: rows, the facets that are words, and who has which values."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from models.contracts.gallery import Facet
from models.images import ImageLimits, InvalidImage, decode_image
from models.manifest import ImageRow, ManifestError, read_manifest
from models.schema import schema_of
from models.training.adapter.wishes import Labels, values_of


def decode_row(row: ImageRow) -> Image.Image:
    """A row's picture, upright RGB.

    Raises:
        ManifestError: It cannot be read.
    """
    try:
        return decode_image(row.read_bytes(), ImageLimits())
    except (OSError, InvalidImage) as error:
        raise ManifestError(
            f"the image {row.location} cannot be read ({error}); repair it or take its row out"
        ) from error


@dataclass(frozen=True)
class Catalogue:
    """Pictures with attributes.

    Attributes:
        name: The manifest's path, for messages.
        rows: All pictures.
        facets: Facets with words for values, in the order adjectives are put in a phrase.
        noun_facet: The facet that names the thing.
    """

    name: str
    rows: Sequence[ImageRow]
    facets: tuple[Facet, ...]
    noun_facet: str

    @cached_property
    def labels(self) -> Labels:
        """The pictures' values of those facets."""
        return Labels([values_of(row.attributes, self.facets) for row in self.rows])

    @property
    def core(self) -> list[str]:
        """Facets that say what a thing is."""
        return [facet.name for facet in self.facets if not facet.context]

    @property
    def context(self) -> list[str]:
        """Facets that say where it is shown."""
        return [facet.name for facet in self.facets if facet.context]


def read_catalogue(
    manifest: Path, context_facets: Sequence[str], noun_facet: str | None
) -> Catalogue:
    """Read a manifest that queries can be made of.

    Args:
        manifest: JSONL or CSV, see `models.manifest`.
        context_facets: Facets that say where something is shown; those the manifest lacks are
            passed over, as a default names one.
        noun_facet: The facet that names the thing; None takes `category`.

    Raises:
        ManifestError: The manifest is unreadable, images of it are missing, it has no attributes
            that are words, or none that names the thing.
        SchemaError: The noun facet is no attribute, or has no words.
    """
    rows = read_manifest(manifest)
    missing = [row for row in rows if "://" not in row.location and not Path(row.location).exists()]
    if missing:
        raise ManifestError(
            f"{manifest}: {len(missing)} of {len(rows)} images are not there, the first is "
            f"{missing[0].location}; paths are relative to the manifest"
        )
    attributes = [row.attributes for row in rows]
    there = {name for each in attributes for name in each}
    context = [name for name in context_facets if name in there]
    facets, noun = schema_of(attributes, context, noun_facet)
    words = tuple(facet for facet in facets if facet.kind == "keyword" and len(facet.values) > 1)
    if len([facet for facet in words if not facet.context]) < 2:
        raise ManifestError(
            f"{manifest} has no attributes to make queries of: it takes two facets or more with "
            "a few words for values, such as `category` and `colour`; "
            f"found {', '.join(sorted(there)) or 'none'}"
        )
    if noun is None or noun not in {facet.name for facet in words}:
        raise ManifestError(
            f"{manifest}: no facet names the thing that is shown; call it `category`, or say which "
            f"it is with --noun-facet (there are: {', '.join(facet.name for facet in words)})"
        )
    return Catalogue(str(manifest), rows, words, noun)
