"""Every endpoint end to end: the shipped encoder, a real embedded Qdrant, real files."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from app.api.main import create_app
from app.api.settings import ApiSettings
from app.web.logging import JsonFormatter
from indexer.gallery import open_writer
from indexer.gallery.errors import GalleryUnavailable
from indexer.gallery.settings import GalleryWriterSettings
from models.contracts.gallery import GallerySpec
from models.settings import EncoderSettings
from tests.conftest import CATALOGUE_IMAGES, BuiltGallery, wait_until_ready
from tests.models.datasets.test_images import png_claiming
from tests.models.encoder.test_encoder import tiny_model

REFERENCE = "test-000000"


def picture_bytes(catalogue: Path, image_id: str = REFERENCE) -> bytes:
    return (catalogue.parent / "images" / f"{image_id}.jpg").read_bytes()


def ask(client: TestClient, **changes: Any) -> Any:
    body: dict[str, Any] = {
        "reference_image": {"image_id": REFERENCE},
        "modification_text": "the same but blue",
    }
    return client.post("/search", json=body | changes)


def assert_problem(answer: Any, status: int, type_: str, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:cir:{type_}"
    assert problem["status"] == status
    for word in words:
        assert word in problem["detail"]
    assert "Traceback" not in answer.text


def test_a_search_answers_what_the_interface_promises(client: TestClient) -> None:
    answer = ask(client, top_k=7).json()
    assert [result["rank"] for result in answer["results"]] == list(range(1, 8))
    scores = [result["score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    first = answer["results"][0]
    assert first["retrieval_score"] == first["score"]
    assert first["rerank_score"] is None
    assert REFERENCE not in [result["image_id"] for result in answer["results"]]
    assert answer["composition"]["mode"] == "intersection"
    assert answer["composition"]["intent"]["source"] == "facets"
    assert "blue" in answer["composition"]["intent"]["desired"]
    assert answer["coverage"] == {
        "candidates": 100, "reranked": 0, "degraded": False, "reasons": ["rerank_disabled"],
    }  # fmt: skip
    assert set(answer["timings_ms"]) == {
        "upload", "decode", "intent", "embed", "retrieve", "total",
    }  # fmt: skip
    assert answer["models"] == {"encoder": answer["models"]["encoder"], "reranker": None}
    assert answer["models"]["encoder"].startswith("demo-")


def test_all_spellings_of_a_reference_find_the_same(client: TestClient, catalogue: Path) -> None:
    data = picture_bytes(catalogue)
    text = {"modification_text": "the same but blue", "top_k": "5"}
    encoded = base64.b64encode(data).decode()
    answers = [
        ask(client, top_k=5),
        ask(client, top_k=5, reference_image={"base64": encoded}),
        ask(client, top_k=5, reference_image={"base64": f"data:image/jpeg;base64,{encoded}"}),
        client.post("/search", data=text, files={"reference_image": ("a.jpg", data)}),
        client.post("/search", data=text | {"reference_image_id": REFERENCE}),
    ]
    found = [[result["image_id"] for result in answer.json()["results"]] for answer in answers]
    assert found == [found[0]] * 5
    assert REFERENCE not in found[0]  # also an upload is recognised as the gallery's own image


def found(answer: Any) -> list[str]:
    return [result["image_id"] for result in answer.json()["results"]]


def test_a_search_among_a_few_images(client: TestClient) -> None:
    ranked = found(ask(client, top_k=50))
    few = [ranked[30], ranked[3], ranked[17], REFERENCE]
    # in the same order; the reference is left out as always
    assert found(ask(client, among=few)) == [ranked[3], ranked[17], ranked[30]]
    unknown = ask(client, among=[*few, "x"])
    assert_problem(unknown, 422, "invalid-filter", "no image with the id 'x'")


def test_weights_of_the_roles_can_be_set(client: TestClient) -> None:
    all_reference = ask(client, composition="union", weights={"union_reference": 1})
    assert found(all_reference) == found(ask(client, composition="image"))
    text_only = {"target": 0, "desired": 0, "preserve": 0, "text": 1, "forbidden": 0}
    by_text = found(ask(client, weights=text_only, attribute_check="off"))
    assert by_text == found(ask(client, composition="text"))
    assert by_text != found(ask(client))
    # the preset's weight of what is desired is left, which is enough to search by
    desired_only = ask(client, weights={"target": 0, "preserve": 0, "text": 0})
    assert found(desired_only) == found(
        ask(client, weights={"target": 0, "desired": 1, "preserve": 0, "text": 0})
    )
    nothing = ask(client, weights={**text_only, "text": 0})
    assert_problem(nothing, 422, "invalid-request", "nothing to search by")


def test_without_a_reranker_its_intent_is_missed(client: TestClient) -> None:
    coverage = ask(client, intent_source="mllm").json()["coverage"]
    assert coverage["degraded"]
    assert "intent_fallback" in coverage["reasons"]
    with_own = ask(client, intent_source="facets", composition="union")
    assert_problem(with_own, 422, "invalid-request", "intent_source")


def test_filters_narrow_the_results(client: TestClient) -> None:
    wanted = {
        "category": ["sofa", "mug", "car"],
        "price": {"gte": 10, "lt": 700},
        "setting": "snow",
    }
    results = ask(client, filter=wanted, top_k=50).json()["results"]
    for result in results:
        attributes = result["attributes"]
        kinds = attributes["category"]
        assert {"sofa", "mug", "car"} & set(kinds if isinstance(kinds, list) else [kinds])
        assert 10 <= attributes["price"] < 700
        assert attributes["setting"] == "snow"


def test_edited_roles_change_the_search(client: TestClient) -> None:
    intent = {"target": "a green mug", "desired": ["green"]}
    answer = ask(client, intent=intent, top_k=3).json()
    assert answer["composition"]["intent"]["source"] == "client"
    assert answer["composition"]["intent"]["target"] == "a green mug"


@pytest.mark.parametrize("mode", ["union", "text", "image"])
def test_baselines(client: TestClient, mode: str) -> None:
    answer = ask(client, composition=mode).json()
    assert answer["composition"] == {"mode": mode, "intent": None}
    assert len(answer["results"]) == 10


def test_asking_for_a_reranker_that_is_not_there_is_answered_and_said(client: TestClient) -> None:
    coverage = ask(client, rerank_depth=50).json()["coverage"]
    assert coverage["degraded"]
    assert coverage["reasons"] == ["rerank_disabled"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modification_text": "   "}, ["modification_text"]),
        ({"modification_text": "x" * 501}, ["modification_text", "500"]),
        ({"modification_text": 5}, ["modification_text", "string"]),
        ({"colour": "blue"}, ["colour", "not permitted"]),
        ({"reference_image": {}}, ["exactly one"]),
        ({"reference_image": {"image_id": "a", "base64": "b"}}, ["exactly one"]),
        ({"top_k": 0}, ["top_k"]),
        ({"top_k": 101}, ["top_k", "100"]),
        ({"composition": "magic"}, ["composition", "intersection"]),
        ({"intent": {"target": ""}}, ["intent.target"]),
        ({"intent": {"target": "x", "mood": []}}, ["intent.mood"]),
        ({"filter": {"price": {}}}, ["filter.price", "at least one"]),
        ({"filter": {"price": {"above": 3}}}, ["above"]),
        ({"filter": {"colour": ["red"] * 50_000}}, ["filter.colour", "256", "50000"]),
        ({"filter": {name: ["red"] * 200 for name in "abc"}}, ["filter", "512", "600"]),
        ({"filter": {str(number): "red" for number in range(33)}}, ["filter", "at most 32"]),
        ({"filter": {"colour": ["x" * 513]}}, ["filter.colour", "512"]),
        ({"among": ["x"] * 1001}, ["among", "1000", "1001"]),
    ],
)
def test_bad_requests(client: TestClient, changes: dict[str, Any], words: list[str]) -> None:
    assert_problem(ask(client, **changes), 422, "invalid-request", *words)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"size": 3}, ["`size`", "category"]),
        ({"colour": "mauve"}, ["mauve", "red"]),
        ({"colour": 3}, ["expects text"]),
        ({"colour": []}, ["empty"]),
        ({"colour": {"gte": 3}}, ["no numbers"]),
        ({"price": "cheap"}, ["a number or a range"]),
        ({"price": True}, ["a number or a range"]),
        ({"price": [1, 2]}, ["one value or a range"]),
    ],
)
def test_bad_filters(client: TestClient, wanted: dict[str, Any], words: list[str]) -> None:
    assert_problem(ask(client, filter=wanted), 422, "invalid-filter", *words)


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"<html>no image</html>", "not an image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "image"),
        (png_claiming(60_000, 60_000), "pixels"),
        (png(2500, 2500), "pixels"),
        (png(8, 490_000), "at most 100 times"),
    ],
)
def test_bad_images(client: TestClient, data: bytes, word: str) -> None:
    encoded = base64.b64encode(data).decode()
    for answer in (
        ask(client, reference_image={"base64": encoded}),
        client.post(
            "/search", data={"modification_text": "x"}, files={"reference_image": ("a.jpg", data)}
        ),
    ):
        assert_problem(answer, 422, "invalid-reference-image", word)


def test_an_image_with_a_wrong_name_and_type_is_still_an_image(
    client: TestClient, catalogue: Path
) -> None:
    file = ("notes.txt", picture_bytes(catalogue), "text/plain")
    answer = client.post(
        "/search", data={"modification_text": "make it red"}, files={"reference_image": file}
    )
    assert answer.status_code == 200


def test_bodies_that_are_not_requests(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    assert_problem(
        client.post("/search", content=b"{oops", headers=headers), 422, "invalid-request", "JSON"
    )
    assert_problem(client.post("/search", content=b"x"), 422, "invalid-request", "multipart")
    assert_problem(
        client.post("/search", json=[1]), 422, "invalid-request"
    )  # an array is no request
    twice = client.post(
        "/search",
        content=b"modification_text=a&modification_text=b&reference_image_id=c",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert_problem(twice, 422, "invalid-request", "given twice")
    both = {"modification_text": "a", "reference_image_id": REFERENCE}
    answer = client.post("/search", data=both, files={"reference_image": ("a.jpg", b"x")})
    assert_problem(answer, 422, "invalid-request", "exactly one")
    broken = client.post("/search", data=both | {"filter": "{"})
    assert_problem(broken, 422, "invalid-request", "`filter` is not JSON")


def test_a_body_beyond_the_limit_is_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/search", content=b"x" * 6_000_000, headers=headers)
    assert_problem(answer, 413, "too-large", "2,000,000")


def test_an_unknown_reference(client: TestClient) -> None:
    answer = ask(client, reference_image={"image_id": "nobody"})
    assert_problem(answer, 404, "unknown-image", "nobody")


def test_a_deadline_that_cannot_be_met(client: TestClient) -> None:
    assert_problem(ask(client, timeout_ms=1), 504, "deadline-exceeded", "1 ms")


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            ["reference_image", "modification_text", "top_k", "filter", "intent", "timeout_ms"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
            max_leaves=5,
        ),
    )
)
def test_no_json_makes_it_stumble(client: TestClient, changes: dict[str, Any]) -> None:
    body = {"reference_image": {"image_id": REFERENCE}, "modification_text": "blue"} | changes
    headers = {"content-type": "application/json"}
    answer = client.post("/search", content=json.dumps(body).encode(), headers=headers)
    assert answer.status_code < 500 or answer.status_code == 504, answer.text


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=500).filter(str.strip))
def test_no_text_makes_it_stumble(client: TestClient, text: str) -> None:
    answer = ask(client, modification_text=text)
    assert answer.status_code == 200, answer.text


def test_the_gallery_describes_itself(client: TestClient) -> None:
    gallery = client.get("/gallery").json()
    assert gallery["images"] == CATALOGUE_IMAGES
    facets = {facet["name"]: facet for facet in gallery["facets"]}
    assert "sofa" in facets["category"]["values"]
    assert facets["setting"]["context"]
    assert gallery["noun_facet"] == "category"
    assert gallery["default_composition"] == "intersection"
    assert ask(client, top_k=gallery["max_top_k"]).status_code == 200
    assert ask(client, top_k=gallery["max_top_k"] + 1).status_code == 422
    assert "photograph" in gallery["notice"]


def test_pages_go_through_the_whole_gallery_once(client: TestClient) -> None:
    seen: list[str] = []
    offset = ""
    while True:
        page = client.get(f"/gallery/images?limit=100{offset}").json()
        seen += [image["image_id"] for image in page["images"]]
        if page["next_offset"] is None:
            break
        offset = f"&offset={page['next_offset']}"
    assert len(seen) == len(set(seen)) == CATALOGUE_IMAGES
    assert_problem(client.get("/gallery/images?offset=!!"), 422, "invalid-request", "offset")
    assert_problem(client.get("/gallery/images?limit=0"), 422, "invalid-request", "limit")


def test_images_and_thumbnails(client: TestClient) -> None:
    item = client.get("/gallery/images?limit=1").json()["images"][0]
    for url in (item["image_url"], item["thumbnail_url"]):
        answer = client.get(url)
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert image.size == (128, 128)
        etag = {"If-None-Match": answer.headers["etag"]}
        assert client.get(url).headers["cache-control"].startswith("public")
        assert client.get(url, headers=etag).status_code in (200, 304)
    for url in ("/images/nobody", "/thumbnails/nobody", "/images/..%2f..%2fetc%2fpasswd"):
        assert_problem(client.get(url), 404, "unknown-image")


def test_health_metrics_docs_and_page(client: TestClient) -> None:
    ask(client)
    assert client.get("/healthz").text == "ok"
    assert client.get("/readyz").json() == {"ready": True, "reasons": []}
    assert 'cir_searches_total{outcome="answered"}' in client.get("/metrics").text
    assert client.get("/docs").status_code == 200
    schema = client.get("/openapi.json").json()
    body = schema["paths"]["/search"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    page = client.get("/").text
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        assert client.get(path).status_code == 200
    assert_problem(client.get("/nothing-here"), 404, "not-found")


def test_request_ids_are_taken_or_made(client: TestClient) -> None:
    mine = client.get("/healthz", headers={"X-Request-ID": "mine-7"})
    assert mine.headers["x-request-id"] == "mine-7"
    for sent in (None, "", "x" * 129, "a\tb", "é".encode("latin-1")):
        headers: Any = {} if sent is None else {"X-Request-ID": sent}
        assert len(client.get("/healthz", headers=headers).headers["x-request-id"]) == 32
    body = {"reference_image": {"image_id": REFERENCE}, "modification_text": "blue"}
    answer = client.post("/search", json=body, headers={"X-Request-ID": "mine-8"})
    assert answer.json()["request_id"] == "mine-8"


def test_every_answer_keeps_browsers_from_guessing(client: TestClient) -> None:
    image = client.get("/gallery/images?limit=1").json()["images"][0]["image_url"]
    for answer in (
        client.get("/gallery"),
        client.get(image),
        client.get("/nothing-here"),
        client.post("/search", content=b"x" * 6_000_000),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = client.get("/").headers
    assert page["x-content-type-options"] == "nosniff"
    assert page["content-security-policy"].startswith("default-src 'self'")


def test_head_is_get_without_the_body(client: TestClient) -> None:
    item = client.get("/gallery/images?limit=1").json()["images"][0]
    for url in (item["image_url"], item["thumbnail_url"], "/gallery", "/healthz", "/"):
        got, head = client.get(url), client.head(url)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "etag", "cache-control"):
            assert head.headers.get(name) == got.headers.get(name)
    assert client.head("/images/nobody").status_code == 404
    assert client.head("/search").status_code == 405


def test_no_host_is_believed(client: TestClient) -> None:
    elsewhere = {"Host": "evil.example"}
    for path in ("/search/", "/gallery/"):
        answer = client.get(path, headers=elsewhere, follow_redirects=False)
        assert_problem(answer, 404, "not-found")
    assert "evil.example" not in client.get("/gallery/images?limit=1", headers=elsewhere).text


def test_what_failed_is_in_the_log_with_its_id(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    with caplog.at_level("INFO", "app.web.middleware"):
        client.get("/images/nobody", headers={"X-Request-ID": "mine-9"})
        client.get("/healthz")
    (line,) = [json.loads(line) for line in caplog.text.splitlines() if "middleware" in line]
    assert line["message"].startswith("GET /images/nobody: 404 after ")
    assert (line["level"], line["request_id"]) == ("info", "mine-9")


def test_a_gallery_of_another_encoder_ends_the_start(
    built_gallery: BuiltGallery, tmp_path: Path
) -> None:
    """Searched never."""
    settings = ApiSettings(
        encoder=tiny_model(tmp_path / "tiny"),
        gallery=built_gallery.gallery,
        image_store=built_gallery.image_store,
    )
    both = r"built with encoder demo-\w+, but this service runs tiny-\w+; build it again, or set"
    with pytest.raises(GalleryUnavailable, match=both), TestClient(create_app(settings)):
        pass


def test_without_a_gallery_it_waits_for_one(tmp_path: Path) -> None:
    """Before the first build and during it there is none, and nobody is locked out."""
    qdrant = GalleryWriterSettings(path=tmp_path / "qdrant")
    encoder = EncoderSettings(**tiny_model(tmp_path / "tiny").model_dump())
    holder = open_writer(qdrant)
    begun = GallerySpec(
        encoder_fingerprint="e", embedding_dim=8, preset="demo", rerank_px=448, thumbnail_px=256,
        built_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    settings = ApiSettings(encoder=encoder, gallery=qdrant, image_store=tmp_path / "images")
    with TestClient(create_app(settings), raise_server_exceptions=False) as waiting:
        assert waiting.get("/readyz").status_code == 503
        holder.open_generation(begun)
        empty = waiting.get("/readyz").json()
        assert "there is no gallery yet" in empty["reasons"][0]
        holder.close()
        assert_problem(waiting.get("/gallery"), 503, "gallery-unavailable", "no gallery yet")
        assert waiting.get("/healthz").status_code == 200


def test_unknown_settings_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CIR_API__TIMEOUT", "5")
    with pytest.raises(SystemExit):
        create_app()
    assert "unknown settings: CIR_API__TIMEOUT" in capsys.readouterr().err


def test_the_client_is_ready(client: TestClient) -> None:
    wait_until_ready(client, timeout_s=1)
