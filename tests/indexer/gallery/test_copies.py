"""Generations that begin as a copy of the one in service, on every engine: what they hold, and what
a killed change leaves to the next.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import GalleryError
from indexer.gallery.ports import GalleryWriter, StoredImage
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import GalleryImage
from tests.conftest import qdrant_settings
from tests.indexer.gallery.test_server import at, build, embeddings, picture, spec
from tests.qdrant_shim import qdrant_shim

COUNT = 12


@pytest.fixture(params=["default", "wire"])
def gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GalleryWriterSettings]:
    """A gallery of twelve images: on the engine that the suite runs on, and over the wire."""
    with qdrant_shim() as shim:
        settings = at(shim) if request.param == "wire" else qdrant_settings(tmp_path)
        build(settings, COUNT)
        yield settings


@contextmanager
def writing(settings: GalleryWriterSettings) -> Iterator[GalleryWriter]:
    writer = open_writer(settings)
    try:
        yield writer
    finally:
        writer.close()


def held(settings: GalleryWriterSettings) -> dict[str, StoredImage]:
    """What the generation in service holds."""
    reader = open_reader(settings)
    current = reader.current()
    ids = [image.image_id for image in reader.scroll(current, 1000).images]
    images = reader.fetch(current, ids)
    reader.close()
    return {each.image.image_id: each for each in images}


def same(one: StoredImage, other: StoredImage) -> bool:
    """The same image and embedding; Cosine engines bring what they store to unit length anew."""
    return one.image == other.image and np.allclose(one.embedding, other.embedding, atol=1e-6)


def in_service(writer: GalleryWriter) -> str:
    name = writer.published()
    assert name is not None
    return name


def replaced(number: int) -> GalleryImage:
    """The picture of that number, of other bytes."""
    return picture(number).model_copy(update={"content_hash": "f" * 64})


def test_a_copy_holds_what_was_neither_put_nor_deleted(gallery: GalleryWriterSettings) -> None:
    before = held(gallery)
    changed = picture(0).model_copy(update={"caption": "a new caption"})
    with writing(gallery) as writer:
        generation = writer.open_generation(spec(), copy_of=in_service(writer))
        same_bytes = generation.reusable("image-0", changed.content_hash)
        assert same_bytes is not None
        generation.put([changed, picture(COUNT)], [same_bytes, embeddings(1, seed=9)[0]])
        generation.delete(["image-1"])
        ids = [f"image-{number}" for number in (0, *range(2, COUNT + 1))]
        generation.publish(ids, spec())
        assert writer.published() == generation.name
    after = held(gallery)
    assert set(after) == set(ids)
    assert all(same(after[f"image-{n}"], before[f"image-{n}"]) for n in range(2, COUNT))
    assert after["image-0"].image == changed
    assert np.allclose(after["image-0"].embedding, before["image-0"].embedding, atol=1e-6)
    np.testing.assert_allclose(
        after[f"image-{COUNT}"].embedding, embeddings(1, seed=9)[0], atol=1e-6
    )


def test_what_a_killed_change_left_is_no_part_of_the_next_but_can_be_reused(
    gallery: GalleryWriterSettings,
) -> None:
    before = held(gallery)
    new = embeddings(2, seed=5)
    with writing(gallery) as writer:
        killed = writer.open_generation(spec(), copy_of=in_service(writer))
        killed.put([replaced(3), picture(COUNT)], list(new))
    with writing(gallery) as writer:  # another change, which knows nothing of that
        generation = writer.open_generation(spec(), copy_of=in_service(writer))
        assert generation.reusable("image-3", replaced(3).content_hash) is not None
        assert generation.reusable(f"image-{COUNT}", picture(COUNT).content_hash) is not None
        generation.delete(["image-7"])
        generation.publish([image_id for image_id in before if image_id != "image-7"], spec())
    after = held(gallery)
    assert set(after) == set(before) - {"image-7"}
    assert all(same(after[image_id], before[image_id]) for image_id in after)


def test_the_next_change_takes_over_what_a_killed_one_embedded(
    gallery: GalleryWriterSettings,
) -> None:
    with writing(gallery) as writer:
        killed = writer.open_generation(spec(), copy_of=in_service(writer))
        killed.put([replaced(3)], list(embeddings(1, seed=5)))
    with writing(gallery) as writer:
        generation = writer.open_generation(spec(), copy_of=in_service(writer))
        stored = generation.reusable("image-3", replaced(3).content_hash)
        assert stored is not None
        generation.put([replaced(3)], [stored])
        generation.publish([f"image-{number}" for number in range(COUNT)], spec())
    after = held(gallery)["image-3"]
    assert after.image == replaced(3)
    np.testing.assert_allclose(after.embedding, embeddings(1, seed=5)[0], atol=1e-6)


def test_generations_are_listed_read_and_dropped(gallery: GalleryWriterSettings) -> None:
    with writing(gallery) as writer:
        name = in_service(writer)
        unfinished = writer.open_generation(spec(), copy_of=name).name
    with writing(gallery) as writer:
        kept = {each.name: each for each in writer.generations()}
        assert {each.name: each.state for each in kept.values()} == {
            name: "in service",
            unfinished: "unfinished",
        }
        assert kept[name].images == COUNT
        assert kept[name].spec == spec()
        assert {image.image_id: image for image in writer.images(name)} == {
            image_id: each.image for image_id, each in _pictures().items()
        }
        assert writer.drop(unfinished)
        assert [each.name for each in writer.generations()] == [name]
        with pytest.raises(GalleryError, match="in service"):
            writer.drop(name)
    assert len(held(gallery)) == COUNT


def _pictures() -> dict[str, StoredImage]:
    rows = embeddings(COUNT)
    return {f"image-{n}": StoredImage(picture(n), rows[n]) for n in range(COUNT)}


def test_another_encoders_gallery_is_not_copied(gallery: GalleryWriterSettings) -> None:
    other = spec().model_copy(update={"encoder_fingerprint": "wire-2"})
    with writing(gallery) as writer:
        name = in_service(writer)
        with pytest.raises(GalleryError, match="is not in service with the encoder wire-2"):
            writer.open_generation(other, copy_of=name)
        assert [each.name for each in writer.generations()] == [name]
