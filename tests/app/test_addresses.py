"""Every image is reached by the addresses that the service gives for it, whatever its id."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app import problems
from app.api.routes import router
from models.contracts.gallery import is_image_id
from models.image_store import ImageStore
from tests.app.stub_worker import serving
from tests.fakes import SPEC, FakeGallery, gallery_image

ONE, OTHER = "1" * 64, "2" * 64
# what means something in an address, and what else an id may hold
CHARACTERS = st.sampled_from(" ./?#%&+:;@\\\"'<>[]{}|^~éß猫🙂") | st.characters(codec="utf-8")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    store = ImageStore(tmp_path_factory.mktemp("images"))
    for content_hash in (ONE, OTHER):
        store.put(content_hash, SPEC.rerank_px, f"rerank {content_hash}".encode())
        store.put(content_hash, SPEC.thumbnail_px, f"thumbnail {content_hash}".encode())
    app = FastAPI()
    app.include_router(router)
    problems.install(app)
    app.state.image_store = store
    return app


@pytest.fixture(scope="module")
def http(app: FastAPI) -> Iterator[httpx.Client]:
    """Real HTTP: the test client of the framework decodes addresses twice."""
    with serving(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(CHARACTERS, min_size=1, max_size=20).filter(is_image_id))
@example("a#b?c%d.jpg")
@example("100%25")
@example("../photos/./a.jpg")
@example("https://example.com//a.jpg?size=1#top")
@example("/")
@example("a/thumbnail")
@example("...")
def test_every_id_is_reached_by_its_addresses(app: FastAPI, http: httpx.Client, name: str) -> None:
    longer = f"{name}/thumbnail"
    app.state.gallery = FakeGallery([gallery_image(name, ONE), gallery_image(longer, OTHER)])
    for item, content_hash in zip(
        http.get("/gallery/images").json()["images"], (ONE, OTHER), strict=True
    ):
        assert http.get(item["image_url"]).text == f"rerank {content_hash}"
        assert http.get(item["thumbnail_url"]).text == f"thumbnail {content_hash}"
        assert http.get(f"/gallery{item['image_url']}").json() == item
