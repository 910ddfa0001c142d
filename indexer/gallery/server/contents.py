"""What a server stores of a gallery: its collections, and their points.

Reads only. What Qdrant fails at comes out as the client raises it.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from qdrant_client import QdrantClient, models

from indexer.gallery.ports import KeptGeneration, ReusableEmbedding
from models.contracts.gallery import GalleryImage, GallerySpec, generation_of

PAGE = 1000  # points per request
BATCH = 256  # with vectors: more gain nothing, and a late answer costs more


@dataclass(frozen=True)
class Stored:
    """A point of the collection as it was found at the opening; `digest` is of its payload."""

    embedding: ReusableEmbedding
    digest: str


def alias_target(client: QdrantClient, alias: str) -> str | None:
    """The collection that an alias names."""
    aliases = client.get_aliases().aliases
    return next((a.collection_name for a in aliases if a.alias_name == alias), None)


def generations(client: QdrantClient, alias: str, encoder: str) -> dict[int, str]:
    """The collections of an alias and an encoder, by the number of their build."""
    names = [collection.name for collection in client.get_collections().collections]
    numbers = [generation_of(name, alias, encoder) for name in names]
    return {n: name for n, name in zip(numbers, names, strict=True) if n is not None}


def kept(client: QdrantClient, name: str, alias: str, target: str | None) -> KeptGeneration:
    """What there is to say of a collection.

    One that another encoder has not finished looks like one that it has, and counts as unfinished.
    """
    spec = GallerySpec.model_validate(client.get_collection(name).config.metadata)
    encoder = spec.encoder_fingerprint
    published = generation_of(target or "", alias, encoder) or 0
    state: Literal["in service", "replaced", "unfinished"] = "unfinished"
    if name == target:
        state = "in service"
    elif (generation_of(name, alias, encoder) or 0) < published:
        state = "replaced"
    return KeptGeneration(name, spec, client.count(name, exact=True).count, state, None)


def images(client: QdrantClient, collection: str) -> Iterator[Stored]:
    """Every image of a collection: where its embedding is, and its payload's digest."""
    for point in scroll(client, collection):
        yield as_stored(point, collection)


def as_stored(point: models.Record, collection: str) -> Stored:
    """A point, as what a collection holds."""
    image = GalleryImage.model_validate(point.payload)
    embedding = ReusableEmbedding(
        image.content_hash, image.width, image.height, collection, image.image_id
    )
    return Stored(embedding, digest(image))


def scroll(
    client: QdrantClient, collection: str, *, with_vectors: bool = False
) -> Iterator[models.Record]:
    """Every point of a collection, with its payload."""
    offset = None
    while True:
        points, offset = client.scroll(
            collection, limit=PAGE, offset=offset, with_payload=True, with_vectors=with_vectors
        )
        yield from points
        if offset is None:
            return


def batches(points: Iterator[models.Record]) -> Iterator[list[models.Record]]:
    """Points in groups of `BATCH`, the last of fewer."""
    while batch := list(islice(points, BATCH)):
        yield batch


def digest(image: GalleryImage) -> str:
    """SHA-256 of an image's payload, hex."""
    payload = json.dumps(image.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(payload.encode()).hexdigest()
