"""A gallery on a Qdrant server: built, swapped and read over the wire, and what goes wrong there.

With `QDRANT_URL` the first half runs against that server; without, against an endpoint that speaks
its protocol (`qdrant_shim.py`), which is not the server. The second half is about failures, which
only that endpoint has on demand.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError
from qdrant_client import models

from app.api.adapters.gallery import AsyncGallery, AsyncGeneration
from app.api.main import create_app
from app.api.settings import ApiSettings
from app.web.errors import OtherEncoder
from indexer.gallery import open_reader, open_writer
from indexer.gallery.errors import GalleryError, GalleryUnavailable, ImageNotFound
from indexer.gallery.server import collections
from indexer.gallery.server.client import QdrantUnavailable, connect
from indexer.gallery.settings import GalleryWriterSettings
from indexer.pipeline.build import build_gallery
from models.contracts.gallery import Facet, GalleryImage, GallerySpec, collection_name
from models.datasets.manifest import read_folder
from models.encoder.encoder import ImageTextEncoder
from models.settings import EncoderSettings
from tests.conftest import indexer_settings, qdrant_settings, wait_until_ready
from tests.indexer.pipeline.test_build import save_all
from tests.models.encoder.test_encoder import tiny_model
from tests.qdrant_shim import Shim, qdrant_shim

T = TypeVar("T")

DIM = 8
COLOURS = ("red", "blue", "green")
FACETS = (
    Facet(name="colour", kind="keyword", values=COLOURS),
    Facet(name="price", kind="number"),
    Facet(name="sold", kind="flag"),
    Facet(name="Größe (cm)", kind="number"),
)
Read = Callable[[AsyncGeneration], Awaitable[T]]


@pytest.fixture(scope="module")
def tiny_settings(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny(tiny_settings: EncoderSettings) -> ImageTextEncoder:
    return ImageTextEncoder(tiny_settings)


@pytest.fixture
def shim() -> Iterator[Shim]:
    with qdrant_shim() as started:
        yield started


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> GalleryWriterSettings:
    """A gallery's place on the real server, if there is one."""
    if "QDRANT_URL" in os.environ:
        return qdrant_settings(tmp_path)
    return at(request.getfixturevalue("shim"))


def at(shim: Shim, **changes: object) -> GalleryWriterSettings:
    values = {"url": shim.url, "grpc_port": shim.port, "timeout_s": 5, "swap_grace_s": 0.1}
    return GalleryWriterSettings(**(values | changes))


def spec(facets: tuple[Facet, ...] = FACETS) -> GallerySpec:
    return GallerySpec(
        encoder_fingerprint="wire-1",
        embedding_dim=DIM,
        facets=facets,
        preset="demo",
        rerank_px=448,
        thumbnail_px=256,
        built_at="2026-01-01T00:00:00Z",
    )


def picture(number: int) -> GalleryImage:
    return GalleryImage(
        image_id=f"image-{number}",
        content_hash=f"{number:064x}",
        width=10,
        height=10,
        attributes={
            "colour": COLOURS[number % 3],
            "price": 10 * number,
            "sold": number % 2 == 0,
            "Größe (cm)": number,
        },
    )


def embeddings(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def build(
    settings: GalleryWriterSettings, count: int = 12, facets: tuple[Facet, ...] = FACETS
) -> None:
    writer = open_writer(settings)
    try:
        generation = writer.open_generation(spec(facets))
        pictures = [picture(number) for number in range(count)]
        generation.put(pictures, list(embeddings(count)))
        generation.publish([image.image_id for image in pictures], spec(facets))
    finally:
        writer.close()


def reading(settings: GalleryWriterSettings, read: Read[T]) -> T:
    """What is read of the generation in service."""

    async def main() -> T:
        gallery = AsyncGallery(open_reader(settings))
        try:
            return await read(await gallery.current())
        finally:
            gallery.close()

    return asyncio.run(main())


def test_what_was_built_is_found_filtered_and_paged(server: GalleryWriterSettings) -> None:
    build(server)
    query = embeddings(12)[5]

    async def read(gallery: AsyncGeneration) -> None:
        assert gallery.spec == spec()
        assert await gallery.count() == 12
        found = await gallery.retrieve(query[None], 3, None, None)
        assert found[0].image == picture(5)
        assert found[0].retrieval_score == pytest.approx(1, abs=1e-5)
        without = await gallery.retrieve(query[None], 3, None, picture(5).content_hash)
        assert [c.image for c in without[:2]] == [c.image for c in found[1:]]
        for filters, wanted in (
            ({"colour": ["red", "blue"]}, {n for n in range(12) if n % 3 < 2}),
            ({"price": 50}, {5}),
            ({"sold": True, "colour": "red"}, {0, 6}),
            ({"Größe (cm)": 7}, {7}),
        ):
            some = await gallery.retrieve(query[None], 50, filters, None)  # type: ignore[arg-type]
            assert {c.image.image_id for c in some} == {f"image-{n}" for n in wanted}
        among = await gallery.retrieve(query[None], 50, None, None, ["image-1", "image-2"])
        assert {c.image.image_id for c in among} == {"image-1", "image-2"}
        image, embedding = await gallery.get("image-4")
        assert image == picture(4)
        np.testing.assert_allclose(embedding, embeddings(12)[4], atol=1e-6)
        with pytest.raises(ImageNotFound):
            await gallery.get("nobody")
        first, following = await gallery.page(8, None, None)
        rest, end = await gallery.page(8, following, None)
        assert end is None
        assert len({image.image_id for image in [*first, *rest]}) == 12

    reading(server, read)


def test_two_galleries_share_a_server_and_never_meet(server: GalleryWriterSettings) -> None:
    other = server.model_copy(update={"alias": f"{server.alias}_2"})
    build(server, 12)
    build(other, 3)
    build(server, 9)
    assert reading(server, AsyncGeneration.count) == 9
    assert reading(other, AsyncGeneration.count) == 3


def test_a_repeated_build_leaves_one_collection_and_only_what_it_was_given(
    server: GalleryWriterSettings,
) -> None:
    for count in (12, 5, 7):
        build(server, count)
    client = connect(server)
    names = [c.name for c in client.get_collections().collections]
    client.close()
    assert len([name for name in names if name.startswith(f"{server.alias}__")]) == 1
    assert reading(server, AsyncGeneration.count) == 7


def test_generations_are_counted_beyond_four_digits(server: GalleryWriterSettings) -> None:
    names = [collection_name(server.alias, "wire-1", number) for number in range(9_999, 10_002)]
    client = connect(server)
    collections.create(client, names[0], spec(), server)
    alias = models.CreateAlias(collection_name=names[0], alias_name=server.alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    for name in names[1:]:
        writer = open_writer(server)
        assert writer.open_generation(spec()).name == name
        writer.close()
        build(server)
        found = [each.name for each in client.get_collections().collections]
        assert [each for each in found if each.startswith(f"{server.alias}__")] == [name]
    client.close()


def test_no_search_fails_while_the_alias_moves(server: GalleryWriterSettings) -> None:
    build(server)
    stop, failures, searched = threading.Event(), [], [0]

    async def search(gallery: AsyncGeneration) -> None:
        while not stop.is_set():
            try:
                found = await gallery.retrieve(embeddings(12)[:1], 5, {"sold": True}, None)
                assert len(found) == 5
                searched[0] += 1
            except Exception as error:
                failures.append(error)

    async def many(gallery: AsyncGeneration) -> None:
        await asyncio.gather(*(search(gallery) for _ in range(4)))

    searching = threading.Thread(target=reading, args=(server, many))
    searching.start()
    try:
        for count in (14, 13):
            before = searched[0]
            build(server, count)
            assert searched[0] > before, "no search meanwhile"
    finally:
        stop.set()
        searching.join()
    assert failures == []


def test_indexes_before_data_graph_after_it_and_the_alias_last(shim: Shim) -> None:
    build(at(shim, shard_number=3, replication_factor=1), 600)
    methods = shim.methods()
    assert max(i for i, m in enumerate(methods) if m == "CreateFieldIndex") < methods.index(
        "Upsert"
    )
    assert methods.index("UpdateAliases") > max(i for i, m in enumerate(methods) if m == "Query")
    (created,) = shim.requests("Create")
    assert (created.hnsw_config.m, created.shard_number) == (0, 3)
    assert created.strict_mode_config.enabled
    assert not created.strict_mode_config.unindexed_filtering_retrieve
    graph = [i for i, (m, r) in enumerate(shim.asked) if m == "Update" and r.hnsw_config.m == 16]
    assert len(graph) == 1
    assert graph[0] > max(i for i, m in enumerate(methods) if m == "Upsert")
    assert [len(batch.points) for batch in shim.requests("Upsert")] == [256, 256, 88]
    indexed = {request.field_name for request in shim.requests("CreateFieldIndex")}
    assert indexed == {
        "attributes.colour", "attributes.price", "attributes.sold", 'attributes."Größe (cm)"',
    }  # fmt: skip


def test_a_filtered_search_is_one_request_and_asks_for_no_metadata(shim: Shim) -> None:
    build(at(shim))

    async def read(generation: AsyncGeneration) -> None:
        shim.asked.clear()
        assert await generation.retrieve(embeddings(12)[:1], 5, {"colour": "red"}, None)
        assert shim.methods() == ["Query"]

    reading(at(shim), read)


def test_a_resumed_build_indexes_attributes_that_came_meanwhile(shim: Shim) -> None:
    writer = open_writer(at(shim))
    writer.open_generation(spec(FACETS[:1]))
    writer.close()  # killed before it finished
    build(at(shim))
    assert len(shim.requests("Create")) == 1
    asked = [request.field_name for request in shim.requests("CreateFieldIndex")]
    assert len(asked) == len(set(asked)) == len(FACETS)
    found = reading(at(shim), lambda g: g.retrieve(embeddings(12)[:1], 9, {"price": 20}, None))
    assert [candidate.image.image_id for candidate in found] == ["image-2"]


def test_a_replica_that_is_not_whole_keeps_the_gallery_out_of_service(shim: Shim) -> None:
    with pytest.raises(GalleryError, match="whole on 1 nodes, not on 2"):
        build(at(shim, replication_factor=2))
    shim.replication_factor = 2  # the server's own default holds where nothing is set
    with pytest.raises(GalleryError, match="whole on 1 nodes, not on 2"):
        build(at(shim, alias="another"))
    assert not shim.requests("Create")[1].HasField("replication_factor")
    assert "UpdateAliases" not in shim.methods()
    with pytest.raises(ValidationError, match="at most 2"):
        at(shim, replication_factor=2, write_consistency_factor=3)


def test_a_server_at_work_is_waited_for_and_one_that_waits_is_updated(shim: Shim) -> None:
    green, yellow, grey = 1, 2, 4
    shim.statuses = [green, green, yellow, grey, green, yellow]  # the opening asks first
    build(at(shim))
    assert shim.statuses == []
    assert any(update.HasField("optimizers_config") for update in shim.requests("Update"))


def test_a_lost_server_ends_a_build_and_the_next_goes_on(
    shim: Shim, tmp_path: Path, tiny: ImageTextEncoder
) -> None:
    save_all(tmp_path / "in", 40)
    settings = indexer_settings(
        tmp_path, gallery=at(shim), encoder=EncoderSettings(batch_size=8), max_failed_share=0
    )
    rows = read_folder(tmp_path / "in")
    original = shim.engine.upsert
    stored = 0

    def upsert(*args: object, **kwargs: object) -> object:
        nonlocal stored
        stored += 1
        if stored == 3:
            shim.failing["Upsert"] = grpc.StatusCode.UNAVAILABLE
        return original(*args, **kwargs)  # type: ignore[arg-type]

    shim.engine.upsert = upsert  # type: ignore[method-assign,assignment]
    writer = open_writer(settings.gallery)
    with pytest.raises(GalleryError, match="cannot be reached.*it goes on where it was"):
        build_gallery(rows, tiny, writer, settings)
    writer.close()
    shim.failing.clear()
    writer = open_writer(settings.gallery)
    report = build_gallery(rows, tiny, writer, settings)
    writer.close()
    assert report.indexed == 40
    assert report.reused >= 2 * tiny.batch_size
    assert reading(at(shim), AsyncGeneration.count) == 40


@pytest.mark.parametrize("key", [None, SecretStr("guessed")])
def test_a_wrong_key_is_reported_to_builds_and_searches(shim: Shim, key: SecretStr | None) -> None:
    shim.key = "open sesame"
    wrong = at(shim, api_key=key)
    with pytest.raises(GalleryError, match="does not let us in; is …__GALLERY__API_KEY its key"):
        open_writer(wrong)
    with pytest.raises(GalleryUnavailable, match="does not let us in"):
        reading(wrong, AsyncGeneration.count)


def test_the_right_key_opens_and_that_it_travels_in_the_open_is_logged(
    shim: Shim, caplog: pytest.LogCaptureFixture
) -> None:
    shim.key = "open sesame"
    right = at(shim, api_key=SecretStr(shim.key))
    with caplog.at_level(logging.WARNING):
        build(right)
    assert "is sent unencrypted; https:// would protect it" in caplog.text
    assert shim.key not in caplog.text
    assert reading(right, AsyncGeneration.count) == 12


def test_a_server_that_is_not_there_is_reported(shim: Shim) -> None:
    shim.stop()
    with pytest.raises(GalleryError, match=r"the Qdrant server at http://127.*cannot be reached"):
        open_writer(at(shim))


@pytest.mark.parametrize("opened", [False, True])
def test_a_server_that_does_not_answer_in_time(shim: Shim, opened: bool) -> None:
    build(at(shim))

    async def search() -> None:
        gallery = AsyncGallery(open_reader(at(shim, timeout_s=1)))
        generation = await gallery.current() if opened else None
        shim.delay_s = 3
        began = time.monotonic()
        with pytest.raises(GalleryUnavailable, match="did not answer within 1 s"):
            await (generation.count() if generation else gallery.current())
        assert time.monotonic() - began < 2.5
        shim.delay_s = 0
        gallery.close()

    asyncio.run(search())


def test_a_read_that_is_lost_or_late_is_asked_again_unless_cancelled(shim: Shim) -> None:
    build(at(shim))

    async def read(generation: AsyncGeneration) -> None:
        shim.lost = 2
        assert await generation.count() == 12
        shim.lost = 100
        with pytest.raises(GalleryUnavailable, match="cannot be reached"):
            await generation.count()
        shim.lost = 0
        shim.delays = [3, 0]  # the first attempt is not waited for
        began = time.monotonic()
        assert await generation.count() == 12
        assert time.monotonic() - began < 3

        shim.delay_s = 1.2
        asked = len(shim.asked)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await generation.count()
        await asyncio.sleep(1.5)
        assert len(shim.asked) == asked + 1
        shim.delay_s = 0

    reading(at(shim, timeout_s=20), read)


def test_a_generation_that_was_dropped_is_answered_for_by_its_successor(shim: Shim) -> None:
    build(at(shim, swap_grace_s=0))

    async def read(generation: AsyncGeneration) -> None:
        first = generation.info.name
        await asyncio.to_thread(build, at(shim, swap_grace_s=0), 9)
        shim.asked.clear()
        found = await generation.retrieve(embeddings(12)[:1], 50, {"sold": True}, None)
        assert {c.image.image_id for c in found} == {f"image-{n}" for n in range(0, 9, 2)}
        assert [r.collection_name for r in shim.requests("Query")][0] == first

        writer = open_writer(at(shim, swap_grace_s=0))
        foreign = spec().model_copy(update={"encoder_fingerprint": "other-1"})
        replacement = writer.open_generation(foreign)
        replacement.put([picture(0)], list(embeddings(1)))
        replacement.publish(["image-0"], foreign)
        writer.close()
        with pytest.raises(OtherEncoder, match="replaced by one of encoder other-1"):
            await generation.get("image-0")

    reading(at(shim), read)


def test_a_server_too_old_for_metadata_is_refused_and_a_far_one_mentioned(
    shim: Shim, caplog: pytest.LogCaptureFixture
) -> None:
    shim.version = "1.15.5"
    with pytest.raises(QdrantUnavailable, match=r"version 1\.15\.5.*use 1\.16 or newer"):
        connect(at(shim))
    shim.version = "1.16.0"
    connect(at(shim)).close()
    assert "more than one minor version apart" in caplog.text


@pytest.mark.parametrize("url", ["qdrant:6333", "http://", "http://qdrant:6333/collections"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="no address of a Qdrant server"):
        GalleryWriterSettings(url=url)


def test_no_search_may_ask_for_more_than_the_server_gives(shim: Shim) -> None:
    build(at(shim))
    (created,) = shim.requests("Create")
    most = created.strict_mode_config.max_query_limit
    deepest = ApiSettings(max_retrieval_depth=most - 1).max_retrieval_depth
    found = reading(at(shim), lambda g: g.retrieve(embeddings(12)[:1], deepest, None, None))
    assert len(found) == 12  # one more is asked for, in case one of them is the reference
    with pytest.raises(ValidationError, match="less than"):
        ApiSettings(max_retrieval_depth=most)


@pytest.mark.parametrize("alias", ["a__b", "a_", "", "a/b"])
def test_an_alias_cannot_be_taken_for_a_part_of_another(alias: str) -> None:
    with pytest.raises(ValidationError):
        GalleryWriterSettings(alias=alias)


def test_the_service_outlives_its_server(
    shim: Shim, tmp_path: Path, tiny: ImageTextEncoder, tiny_settings: EncoderSettings
) -> None:
    """Not there at the start, then empty, then in service, then dead, then back."""
    shim.stop()
    api = ApiSettings(
        encoder=tiny_settings,
        gallery=at(shim),
        image_store=tmp_path / "images",
        timeout_ms=10_000,
    )
    with TestClient(create_app(api), raise_server_exceptions=False) as client:
        assert "cannot be reached" in client.get("/readyz").json()["reasons"][0]
        shim.start()
        give_up = time.monotonic() + 20
        while "there is no gallery yet" not in client.get("/readyz").text:
            assert time.monotonic() < give_up, client.get("/readyz").text
            time.sleep(0.1)

        save_all(tmp_path / "in", 10)
        settings = indexer_settings(tmp_path, gallery=at(shim))
        writer = open_writer(settings.gallery)
        build_gallery(read_folder(tmp_path / "in"), tiny, writer, settings)
        writer.close()
        wait_until_ready(client)
        assert search(client).status_code == 200

        shim.stop()
        lost = search(client)
        assert lost.status_code == 503
        assert lost.json()["type"] == "urn:cir:gallery-unavailable"
        assert "cannot be reached" in lost.json()["detail"]
        assert int(lost.headers["retry-after"]) > 0
        assert client.get("/readyz").status_code == 503

        shim.start()
        give_up = time.monotonic() + 20
        while search(client).status_code != 200:
            assert time.monotonic() < give_up, search(client).text
            time.sleep(0.1)


def test_a_swap_is_not_noticed_unless_another_encoder_made_the_new_gallery(
    shim: Shim, tmp_path: Path, tiny: ImageTextEncoder, tiny_settings: EncoderSettings
) -> None:
    def rebuild(count: int) -> None:
        folder = tmp_path / str(count)
        save_all(folder, count)
        settings = indexer_settings(tmp_path, gallery=at(shim))
        writer = open_writer(settings.gallery)
        build_gallery(read_folder(folder), tiny, writer, settings)
        writer.close()

    api = ApiSettings(
        encoder=tiny_settings, gallery=at(shim), image_store=tmp_path / "images", timeout_ms=10_000
    )
    rebuild(10)
    with TestClient(create_app(api), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        building = threading.Thread(target=rebuild, args=(12,))
        building.start()
        give_up = time.monotonic() + 30
        while building.is_alive() or client.get("/gallery").json()["images"] != 12:
            assert client.get("/readyz").status_code == 200
            assert search(client).status_code == 200
            assert time.monotonic() < give_up
        building.join()

        build(at(shim))  # by another encoder
        assert client.get("/readyz").status_code == 503
        asked = {"image_id": "000.png", "phrase": "red"}
        for refused in (
            search(client),
            search(client, "/search/stream"),
            client.get("/explain", params=asked),
            client.get("/readyz"),
        ):
            assert refused.status_code == 503
            assert "built with encoder wire-1, but this service runs tiny" in refused.text
            assert "build it again, or set the preset it was built with" in refused.text


def search(client: TestClient, path: str = "/search") -> Any:
    body = {"reference_image": {"image_id": "000.png"}, "modification_text": "blue"}
    return client.post(path, json=body)
