"""How a server stores a generation: by its size, and what the server is asked for."""

from collections.abc import Iterator

import pytest
from qdrant_client import models

from indexer.gallery.server import collections
from indexer.gallery.server.client import connect
from indexer.gallery.server.storage import Storage, search_params, storage_for
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import VECTOR_NAME, GallerySpec
from tests.qdrant_shim import Shim, qdrant_shim


@pytest.fixture
def shim() -> Iterator[Shim]:
    with qdrant_shim() as started:
        yield started


@pytest.mark.parametrize(
    ("images", "storage"),
    [
        (1, Storage(32, on_disk=False)),
        (1_000_000, Storage(32, on_disk=False)),
        (1_000_001, Storage(4, on_disk=True)),
        (100_000_000, Storage(4, on_disk=True)),
    ],
)
def test_beyond_a_million_images_codes_are_searched_and_vectors_stay_on_disk(
    images: int, storage: Storage
) -> None:
    assert storage_for(images) == storage


def test_what_codes_save() -> None:
    plain, codes = Storage(32, on_disk=False), Storage(4, on_disk=True)
    assert plain.ram_bytes(1_000_000, 512) == 1.5 * 1_000_000 * (2048 + 160)
    assert codes.ram_bytes(1_000_000, 512) < plain.ram_bytes(1_000_000, 512) / 5
    assert codes.disk_bytes(1_000_000, 512) > plain.disk_bytes(1_000_000, 512)


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_server_is_told_in_one_request_before_it_builds_the_graph(
    on_disk: bool, shim: Shim
) -> None:
    settings = GalleryWriterSettings(url=shim.url, grpc_port=shim.port, timeout_s=5)
    client = connect(settings)
    spec = GallerySpec(
        encoder_fingerprint="e", embedding_dim=8, preset="demo", rerank_px=448, thumbnail_px=256,
        built_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    collections.create(client, "c", spec, settings)
    shim.asked.clear()
    collections.build_graph(client, "c", Storage(4 if on_disk else 32, on_disk))
    client.close()
    (request,) = [request for method, request in shim.asked if method == "Update"]
    assert request.hnsw_config.m == 16
    assert request.params.on_disk_payload == on_disk
    vectors = request.vectors_config.params_map.map
    assert (VECTOR_NAME in vectors) == on_disk
    if on_disk:
        asked = vectors[VECTOR_NAME]
        assert asked.on_disk
        assert asked.quantization_config.WhichOneof("quantization") == "turboquant"


def test_what_codes_find_is_scored_by_the_vectors() -> None:
    params = search_params()
    assert isinstance(params.quantization, models.QuantizationSearchParams)
    assert (params.quantization.rescore, params.quantization.oversampling) == (True, 2.0)
