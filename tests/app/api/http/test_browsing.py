"""What the page needs besides searches: filtered and random images, copies and files to keep."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.http import page as page_module
from app.api.http.gallery import router
from app.web import problems
from models.contracts.filter import Filter
from models.contracts.gallery import GalleryImage
from tests.app.api.http.test_api import REFERENCE, assert_problem
from tests.fakes import FakeGallery, fake_services, gallery_image

STATIC = Path(page_module.__file__).parents[1] / "static"
GREEN_OR_RED = {"colour": ["green", "red"], "price": {"lte": 200}}


def fits(attributes: dict[str, Any]) -> bool:
    colours = attributes["colour"]
    colours = colours if isinstance(colours, list) else [colours]
    return bool({"green", "red"} & set(colours)) and attributes["price"] <= 200


def all_pages(client: TestClient, **asked: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = client.get("/gallery/images", params=asked).json()
        items += page["images"]
        if page["next_offset"] is None:
            return items
        asked["offset"] = page["next_offset"]


def test_pages_of_a_filter_hold_what_fits_and_all_of_it(client: TestClient) -> None:
    everything = all_pages(client, limit="100")
    expected = {item["image_id"] for item in everything if fits(item["attributes"])}
    assert expected
    found = all_pages(client, limit="7", filter=json.dumps(GREEN_OR_RED))
    seen = [item["image_id"] for item in found]
    assert len(seen) == len(set(seen))
    assert set(seen) == expected


def test_random_images_differ_and_fit(client: TestClient) -> None:
    asked: dict[str, Any] = {"limit": 20, "filter": json.dumps(GREEN_OR_RED)}
    draws = [client.get("/gallery/random", params=asked).json()["images"] for _ in range(3)]
    assert all(fits(item["attributes"]) for draw in draws for item in draw)
    orders = {tuple(item["image_id"] for item in draw) for draw in draws}
    assert len(orders) > 1
    assert len(client.get("/gallery/random").json()["images"]) == 1


@pytest.mark.parametrize("path", ["/gallery/images", "/gallery/random"])
@pytest.mark.parametrize(
    ("text", "type_", "word"),
    [
        ("{", "invalid-request", "filter"),
        ("[]", "invalid-request", "filter"),
        ('{"price": {"above": 3}}', "invalid-request", "filter.price"),
        ('{"size": 3}', "invalid-filter", "`size`"),
    ],
)
def test_bad_filters(client: TestClient, path: str, text: str, type_: str, word: str) -> None:
    assert_problem(client.get(path, params={"filter": text}), 422, type_, word)


@pytest.mark.parametrize("path", ["/gallery/images", "/gallery/random"])
def test_pages_are_short(client: TestClient, path: str) -> None:
    assert client.get(path, params={"limit": 100}).status_code == 200
    assert_problem(client.get(path, params={"limit": 101}), 422, "invalid-request", "limit", "100")


class SlowGallery(FakeGallery):
    """Takes its time for a page; counts how many are wanted of it at once."""

    at_once = most_at_once = 0

    async def page(
        self, limit: int, offset: str | None, filters: Filter | None
    ) -> tuple[Sequence[GalleryImage], str | None]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        return await super().page(limit, offset, filters)


def test_who_browses_waits_for_a_turn_and_not_in_a_long_queue() -> None:
    app = FastAPI()
    app.include_router(router)
    problems.install(app)
    gallery = SlowGallery([gallery_image("one")])
    app.state.services = fake_services(gallery)

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            answers = await asyncio.gather(*(http.get("/gallery/images") for _ in range(20)))
            return [*answers, await http.get("/gallery/images")]

    *crowded, later = asyncio.run(crowd())
    refused = [answer for answer in crowded if answer.status_code != 200]
    assert len(refused) == 4
    assert_problem(refused[0], 429, "overloaded", "16 pages")
    assert later.json()["images"][0]["image_id"] == "one"
    assert gallery.most_at_once == 1


def test_one_image_by_its_id(client: TestClient) -> None:
    item = client.get(f"/gallery/images/{REFERENCE}").json()
    assert item["image_id"] == REFERENCE
    assert item["attributes"]["category"]
    assert_problem(client.get("/gallery/images/nobody"), 404, "unknown-image", "nobody")


@pytest.mark.parametrize("copies", ["images", "thumbnails"])
def test_a_copy_that_is_there_is_not_sent_again(client: TestClient, copies: str) -> None:
    first = client.get(f"/{copies}/{REFERENCE}")
    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = client.get(f"/{copies}/{REFERENCE}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    changed = client.get(f"/{copies}/{REFERENCE}", headers={"If-None-Match": '"other"'})
    assert changed.content == first.content


def test_the_page_is_asked_for_anew_and_its_files_are_kept_for_ever(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304
    version = page.headers["etag"].strip('"')
    paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
    assert {path.rsplit(".", 1)[1] for path in paths} == {"svg", "css", "js"}
    for path in paths:
        assert path.startswith(f"/static/{version}/")
        assert "immutable" in client.get(path).headers["cache-control"]
    assert_problem(client.get(f"/static/{version}/nothing.js"), 404, "not-found")
    for file in (p for p in STATIC.rglob("*") if p.suffix in (".js", ".css")):
        sent = client.get(f"/static/{version}/{file.relative_to(STATIC).as_posix()}")
        assert "text/" in sent.headers["content-type"]
        lines = file.read_text("utf-8").split("\n")
        for line, kept in zip(lines, sent.text.split("\n"), strict=True):
            assert kept == ("" if line.lstrip().startswith(("//", "/*")) else line.lstrip())
            marks = line.replace('"`"', "").count("`")
            assert marks % 2 == 0, "a literal over lines would lose its indentation"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_pages_may_load_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.headers["cache-control"] == "no-cache"
    for loaded in re.findall(r'<(?:link|script)[^>]+(?:href|src)="([^"]+)"', page.text):
        assert loaded.startswith("/")
        assert "immutable" in client.get(loaded).headers["cache-control"]
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("wanted", ["bytes=0-3", "bytes=99999999-", "bytes=", "x", "bytes=9-1"])
def test_parts_are_not_served_and_asking_for_one_is_no_fault(
    client: TestClient, wanted: str
) -> None:
    for path in (f"/images/{REFERENCE}", "/docs", "/gallery"):
        whole, part = client.get(path), client.get(path, headers={"Range": wanted})
        assert (part.status_code, part.content) == (200, whole.content)
