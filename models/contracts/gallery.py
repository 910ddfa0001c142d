"""What a gallery holds, whichever engine keeps it: names, ids, payload, metadata.

The indexer writes it, the API reads it. Knows no engine; names and ids are such that Qdrant
takes them.
"""

import re
import unicodedata
import uuid
from typing import Any, Literal
from urllib.parse import quote

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

ALIAS = "gallery"  # the default; the only name that readers know, moved when a build is published
VECTOR_NAME = "image"
MAX_IMAGE_ID_CHARS = 512
MAX_FACET_VALUES, MAX_FACET_VALUE_CHARS = 200, 40  # of a facet that offers its values
MAX_QUERY_LIMIT = 10_000  # most points one request may ask for; servers refuse more

AttributeValue = str | bool | int | float | list[str]

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_NAMESPACE = uuid.UUID("6d0a3f4e-6f0b-5d0c-9b3e-0a5c1d2e3f40")


class GalleryImage(BaseModel):
    """One searchable image: exactly this is the payload of its point.

    Attributes:
        image_id: The catalogue's own name for the image, unique in the gallery.
        content_hash: SHA-256 of the file's bytes, hex; names its copies in the image store.
        width: Of the upright image, in pixels.
        height: Of the upright image, in pixels.
        caption: The catalogue's caption, if it has one.
        attributes: Facet → value or values; what filters and intents from facets work with.
        payload: Whatever else the manifest's row held; returned, never interpreted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: str = Field(min_length=1, max_length=MAX_IMAGE_ID_CHARS)
    content_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    caption: str | None = None
    attributes: dict[str, AttributeValue] = {}
    payload: dict[str, Any] = {}


class Facet(BaseModel):
    """One attribute of the gallery's schema.

    Attributes:
        name: The attribute's name.
        kind: `keyword` (words), `number`, or `flag` (true/false).
        values: The words, most frequent first; empty for other kinds, and for facets with too
            many or too long words, which are text rather than facets.
        context: Where or how something is shown rather than what it is: dropped from an intent
            unless the modification text names it.
        multi_valued: Some image has more than one value: it may show several things.
        synonyms: Value → the catalogue's other words for it, in any language.
        made: Its values are words of our lexicon that the encoder sees in the gallery's images, not
            the catalogue's: no image has them as attributes, and no filter takes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: str
    kind: Literal["keyword", "number", "flag"]
    values: tuple[str, ...] = ()
    context: bool = False
    # `several` in galleries of schema_version 1
    multi_valued: bool = Field(False, validation_alias=AliasChoices("multi_valued", "several"))
    synonyms: dict[str, tuple[str, ...]] = {}
    made: bool = False


class GallerySpec(BaseModel):
    """A generation's metadata: what a reader must know before it searches.

    Attributes:
        schema_version: Of this contract. 1, still read, calls `multi_valued` `several`; written
            is 2.
        encoder_fingerprint: The encoder that made the embeddings; a query embedded by any other
            would find confident nonsense.
        embedding_dim: D, of every embedding.
        facets: The attribute schema, in the order adjectives are put in a phrase.
        noun_facet: The facet that names the thing ("category"); the others describe it.
        preset: The one it was built with, by `models.presets.preset_name`; queries should be
            composed and re-ranked as that was tuned.
        rerank_px: Longer side of its copies for re-ranking, in pixels; uploads are brought to the
            same.
        thumbnail_px: Longer side of its thumbnails, in pixels.
        built_at: When the build began, ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1, 2] = 2
    encoder_fingerprint: str
    embedding_dim: int
    facets: tuple[Facet, ...] = ()
    noun_facet: str | None = None
    preset: str
    rerank_px: int = Field(ge=1)
    thumbnail_px: int = Field(ge=1)
    built_at: str


def catalogue_facets(spec: GallerySpec) -> tuple[Facet, ...]:
    """The facets that the catalogue's own attributes are; those that were made are left out."""
    return tuple(facet for facet in spec.facets if not facet.made)


def with_made_of(spec: GallerySpec, earlier: GallerySpec) -> GallerySpec:
    """A spec with the facets that were made for an earlier generation of the gallery, unless the
    catalogue has a noun or attributes of their names by now.
    """
    made = tuple(facet for facet in earlier.facets if facet.made)
    if not made or spec.noun_facet is not None:
        return spec
    taken = {facet.name for facet in spec.facets}
    if earlier.noun_facet in taken:
        return spec
    kept = tuple(facet for facet in made if facet.name not in taken)
    return spec.model_copy(
        update={"facets": (*spec.facets, *kept), "noun_facet": earlier.noun_facet}
    )


def point_id_for(image_id: str) -> str:
    """The point's id: the same image always lands on the same point, so builds can be repeated."""
    return str(uuid.uuid5(_NAMESPACE, image_id))


def collection_name(alias: str, encoder_fingerprint: str, generation: int) -> str:
    """Collections name the encoder that filled them, and count the builds."""
    return f"{_prefix(alias, encoder_fingerprint)}{generation:04d}"


def generation_of(collection: str, alias: str, encoder_fingerprint: str) -> int | None:
    """Which build of this encoder made a collection; None: its name is none of theirs."""
    prefix = _prefix(alias, encoder_fingerprint)
    number = collection.removeprefix(prefix)
    return int(number) if collection.startswith(prefix) and number.isdecimal() else None


IMAGE_ID_RULE = (
    f"must be text of 1 to {MAX_IMAGE_ID_CHARS} characters, none of them a control character, and "
    "neither `.` nor `..`"
)
ATTRIBUTE_NAME_RULE = 'must not be empty, nor hold a quote ("), a backslash or a control character'


def is_image_id(text: str) -> bool:
    """Whether this can be an image's id: 1 to 512 characters that a URL can hold.

    Control characters and lone surrogates cannot be in one, and `.` and `..` mean a folder.
    """
    return 1 <= len(text) <= MAX_IMAGE_ID_CHARS and text not in (".", "..") and _is_printable(text)


def address_of(image_id: str) -> str:
    """An image's id as the end of an address's path.

    Slashes stay as they are, which proxies like best, unless they would make a step to another
    folder (`a/../b`), which clients resolve before they send.
    """
    return quote(image_id, safe="" if {".", ".."} & set(image_id.split("/")) else "/")


def is_attribute_name(text: str) -> bool:
    """Whether this can name an attribute: a JSON path cannot hold quotes and backslashes."""
    return bool(text) and not {'"', "\\"} & set(text) and _is_printable(text)


def _is_printable(text: str) -> bool:
    return all(unicodedata.category(character) not in ("Cc", "Cs") for character in text)


def attribute_key(name: str) -> str:
    """Where an attribute is in the payload, as a JSON path; names that are no words are quoted."""
    return f"attributes.{name}" if _WORD.fullmatch(name) else f'attributes."{name}"'


def _prefix(alias: str, encoder_fingerprint: str) -> str:
    return f"{alias}__{encoder_fingerprint}__"
