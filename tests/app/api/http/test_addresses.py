"""Every image is reached by the addresses that the service gives for it, whatever its id."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.api.http.gallery import router
from app.web import problems
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import is_image_id
from tests.app.api.stub_worker import serving
from tests.fakes import SPEC, FakeGallery, as_jpeg, fake_services, gallery_image

ONE, OTHER = "1" * 64, "2" * 64
# what means something in an address, and what else an id may hold
CHARACTERS = st.sampled_from(" ./?#%&+:;@\\\"'<>[]{}|^~éß猫🙂") | st.characters(codec="utf-8")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    store = ImageStore(tmp_path_factory.mktemp("images"))
    for content_hash in (ONE, OTHER):
        store.put(content_hash, SPEC.rerank_px, as_jpeg(f"rerank {content_hash}"))
        store.put(content_hash, SPEC.thumbnail_px, as_jpeg(f"thumbnail {content_hash}"))
    return store


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    problems.install(app)
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
def test_every_id_is_reached_by_its_addresses(
    app: FastAPI, http: httpx.Client, store: ImageStore, name: str
) -> None:
    images = [gallery_image(name, ONE), gallery_image(f"{name}/thumbnail", OTHER)]
    app.state.services = fake_services(FakeGallery(images), store=store)
    for item, content_hash in zip(
        http.get("/gallery/images").json()["images"], (ONE, OTHER), strict=True
    ):
        assert http.get(item["image_url"]).content == as_jpeg(f"rerank {content_hash}")
        assert http.get(item["thumbnail_url"]).content == as_jpeg(f"thumbnail {content_hash}")
        assert http.get(f"/gallery{item['image_url']}").json() == item


def test_what_is_no_picture_is_not_served(
    app: FastAPI, http: httpx.Client, store: ImageStore
) -> None:
    damaged = "3" * 64
    store.put(damaged, SPEC.rerank_px, b"<script>alert(1)</script>")
    app.state.services = fake_services(FakeGallery([gallery_image("one", damaged)]), store=store)
    for address, said in (
        ("/images/one", f"has a damaged copy of 'one' at {SPEC.rerank_px} px; build it again"),
        ("/thumbnails/one", f"has no copy of 'one' at {SPEC.thumbnail_px} px; build it again"),
    ):
        answer = http.get(address)
        assert (answer.status_code, answer.json()["detail"]) == (404, f"the image store {said}")
