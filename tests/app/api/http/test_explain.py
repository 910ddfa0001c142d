"""`GET /explain`: where a phrase is seen, cached, bounded, and never in a search's way."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.api.search.explain import RelevanceExplainer
from app.web.errors import NotSupported, Overloaded
from indexer.gallery.errors import ImageNotFound
from indexer.gallery.image_store import ImageStore
from models.contracts.gallery import Facet
from models.datasets.images import to_jpeg
from tests.app.api.http.test_api import REFERENCE, assert_problem
from tests.fakes import SPEC, FakeGallery, FakePatchEncoder, gallery_image


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    store = ImageStore(tmp_path)
    for letter in "ab":
        store.put(letter * 64, SPEC.rerank_px, to_jpeg(Image.new("RGB", (20, 20)), 20))
    return store


IMAGES = [gallery_image("one"), gallery_image("two", "b" * 64), gallery_image("gone", "c" * 64)]


def test_a_picture_is_read_once_whatever_is_asked_of_it(store: ImageStore) -> None:
    encoder = FakePatchEncoder()
    explanations = RelevanceExplainer(FakeGallery(IMAGES), encoder, store)

    async def ask() -> None:
        for phrase in ("red", "sofa"):
            found = await explanations.explain(IMAGES[0], phrase)
            assert found.relevance[0, 0] > 0.9 > 0.1 > found.relevance[0, 1]
        await explanations.explain(IMAGES[1], "red")

    asyncio.run(ask())
    assert encoder.encoded == 2


def test_one_at_a_time_and_no_long_queue(store: ImageStore) -> None:
    encoder = FakePatchEncoder()
    explanations = RelevanceExplainer(FakeGallery(IMAGES), encoder, store)

    async def ask() -> list[object]:
        asked = [explanations.explain(IMAGES[n % 2], f"phrase {n}") for n in range(20)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        await explanations.explain(IMAGES[0], "and then there is room again")
        return list(ended)

    refused = [ending for ending in asyncio.run(ask()) if isinstance(ending, BaseException)]
    assert len(refused) == 4
    assert all(isinstance(error, Overloaded) for error in refused)
    assert encoder.most_at_once == 1


def test_what_cannot_be_explained_says_so(store: ImageStore) -> None:
    blind = RelevanceExplainer(FakeGallery(IMAGES), FakePatchEncoder(explains=False), store)
    with pytest.raises(NotSupported, match="cannot show where"):
        asyncio.run(blind.explain(IMAGES[0], "red"))
    seeing = RelevanceExplainer(FakeGallery(IMAGES), FakePatchEncoder(), store)
    with pytest.raises(ImageNotFound, match="build it again"):
        asyncio.run(seeing.explain(IMAGES[2], "red"))


def test_maps_of_kinds_are_trusted_only_where_that_was_found_good(store: ImageStore) -> None:
    facets = (
        Facet(name="category", kind="keyword", values=("sofa", "chair")),
        Facet(name="colour", kind="keyword", values=("red", "blue")),
    )

    gallery = FakeGallery(IMAGES)
    gallery.spec = SPEC.model_copy(update={"facets": facets, "noun_facet": "category"})
    expected = {"red": True, "sofa": False, "a red sofa": False, "something cosy": False}
    for known in (False, True):
        explanations = RelevanceExplainer(gallery, FakePatchEncoder(), store, locates_kinds=known)
        for phrase, reliable in expected.items():
            found = asyncio.run(explanations.explain(IMAGES[0], phrase))
            assert found.reliable is (known or reliable), phrase


def test_a_map_over_http(client: TestClient) -> None:
    asked = {"image_id": REFERENCE, "phrase": "teapot"}
    answer = client.get("/explain", params=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {key: found[key] for key in ("image_id", "phrase", "rows", "columns", "box")} == {
        "image_id": REFERENCE, "phrase": "teapot", "rows": 6, "columns": 6, "box": [0, 0, 1, 1],
    }  # fmt: skip
    assert "sofa" in found["against"]
    assert found["reliable"] is False  # a kind of thing, and the shipped encoder
    assert "teapot" not in found["against"]
    assert np.shape(found["relevance"]) == (6, 6)
    assert all(0 <= share <= 1 for row in found["relevance"] for share in row)
    again = client.get("/explain", params=asked, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/explain", params=asked | {"phrase": "red"})
    assert other.headers["etag"] != answer.headers["etag"]
    assert other.json()["reliable"] is True


def test_bad_questions(client: TestClient) -> None:
    for asked, status, type_ in (
        ({"image_id": "nobody", "phrase": "red"}, 404, "unknown-image"),
        ({"image_id": REFERENCE}, 422, "invalid-request"),
        ({"image_id": REFERENCE, "phrase": " "}, 422, "invalid-request"),
        ({"image_id": REFERENCE, "phrase": "x" * 201}, 422, "invalid-request"),
    ):
        assert_problem(client.get("/explain", params=asked), status, type_)
    assert client.get("/gallery").json()["explains"] is True
