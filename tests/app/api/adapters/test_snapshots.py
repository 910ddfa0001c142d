"""Which gallery answers: before there is one, through swaps, and when it is not for our encoder."""

import asyncio

import pytest

from app.api.adapters.snapshots import SnapshotWatcher
from app.api.search.ports import PublishedGeneration
from app.web.errors import OtherEncoder
from indexer.gallery.errors import GalleryNotFound, GalleryUnavailable
from models.contracts.gallery import GallerySpec
from models.query.composition import Composer
from models.query.weights import CompositionWeights
from tests.fakes import SPEC, FakeGallery


def generation(encoder: str = "fake-1") -> FakeGallery:
    made = FakeGallery([])
    made.spec = SPEC.model_copy(update={"encoder_fingerprint": encoder})
    return made


class FakeSource:
    """Gives the generation, or raises the error, that is set."""

    def __init__(self, named: PublishedGeneration | GalleryUnavailable) -> None:
        self.named = named

    async def current(self) -> PublishedGeneration:
        if isinstance(self.named, GalleryUnavailable):
            raise self.named
        return self.named


class SlowComposerFactory:
    """Prepares a composer when it is let; knows one encoder."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()

    def check_encoder(self, spec: GallerySpec) -> None:
        if spec.encoder_fingerprint != "fake-1":
            raise OtherEncoder(f"built with {spec.encoder_fingerprint}")

    async def prepare_composer(self, spec: GallerySpec) -> Composer:
        await self.let.wait()
        return Composer(spec, CompositionWeights())


def test_the_old_generation_serves_until_the_new_one_is_prepared() -> None:
    async def main() -> None:
        old, new = generation(), generation()
        source, composers = FakeSource(old), SlowComposerFactory()
        gallery = SnapshotWatcher(source, composers, "demo")
        with pytest.raises(GalleryUnavailable, match="not opened its gallery yet"):
            gallery.snapshot()
        await gallery.update()
        taken = gallery.snapshot()
        assert taken.generation is old

        composers.let.clear()
        source.named = new
        swapping = asyncio.create_task(gallery.update())
        await asyncio.sleep(0)
        await gallery.check_ready()
        assert gallery.snapshot() is taken
        composers.let.set()
        await swapping
        await gallery.check_ready()
        assert gallery.snapshot().generation is new
        assert taken.generation is old

    asyncio.run(main())


def test_a_gallery_of_another_encoder_is_refused_from_when_it_is_seen() -> None:
    async def main() -> None:
        source, composers = FakeSource(generation()), SlowComposerFactory()
        gallery = SnapshotWatcher(source, composers, "demo")
        await gallery.refuse_other_encoder()
        await gallery.update()
        source.named = generation("other-1")
        with pytest.raises(OtherEncoder, match="built with other-1"):
            await gallery.refuse_other_encoder()
        for asked in (gallery.check_ready(), gallery.update()):
            with pytest.raises(OtherEncoder, match="built with other-1"):
                await asked
            with pytest.raises(OtherEncoder, match="built with other-1"):
                gallery.snapshot()

        source.named = back = generation()
        await gallery.update()
        assert gallery.snapshot().generation is back
        composers.let.clear()  # and one that comes while the next is prepared
        source.named = generation()
        swapping = asyncio.create_task(gallery.update())
        await asyncio.sleep(0)
        source.named = generation("other-2")
        composers.let.set()
        with pytest.raises(OtherEncoder, match="built with other-2"):
            await swapping
        with pytest.raises(OtherEncoder, match="built with other-2"):
            gallery.snapshot()

    asyncio.run(main())


def test_what_cannot_be_seen_now_serves_on_and_what_is_gone_does_not() -> None:
    async def main() -> None:
        source = FakeSource(GalleryUnavailable("Qdrant is down"))
        gallery = SnapshotWatcher(source, SlowComposerFactory(), "demo")
        await gallery.refuse_other_encoder()
        with pytest.raises(GalleryUnavailable, match="Qdrant is down"):
            gallery.snapshot()
        source.named = there = generation()
        await gallery.update()
        source.named = GalleryUnavailable("Qdrant is down")
        with pytest.raises(GalleryUnavailable, match="Qdrant is down"):
            await gallery.check_ready()
        assert gallery.snapshot().generation is there
        source.named = GalleryNotFound("there is no gallery")
        with pytest.raises(GalleryNotFound):
            await gallery.check_ready()
        with pytest.raises(GalleryNotFound, match="there is no gallery"):
            gallery.snapshot()

    asyncio.run(main())
