"""What goes wrong is said in sentences, with what to do, and the page goes on."""

import json
import os
import re
import signal
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from app.api.main import create_app
from app.api.settings import ApiSettings
from indexer.gallery.settings import GallerySettings
from tests.app.api.stub_worker import serving
from tests.browser.conftest import Guard, Service
from tests.browser.steps import a_plain_thing, address, in_address, shown, wait_for_the_reranker
from tests.conftest import BuiltGallery
from tests.models.encoder.test_encoder import tiny_model

TEXT = "the same but green"


def test_without_the_worker_it_still_answers_and_says_so(page: Page, service: Service) -> None:
    asked = address(a_plain_thing(service.catalogue)["image_id"], TEXT)
    service.worker.stop(signal.SIGKILL)
    try:
        page.goto(asked)
        banner = page.locator("#coverage [data-reason=reranker_unavailable]")
        expect(banner).to_contain_text("The reranker cannot be reached")
        assert len(shown(page)) == 12
    finally:
        service.worker.start()
    for _ in range(20):  # the API finds a worker that is back by itself
        page.reload()
        expect(page.locator("#timing")).not_to_be_empty()
        if page.locator("#coverage").is_hidden():
            break
    wait_for_the_reranker(page)


def test_a_gallery_that_is_not_built_yet(
    browser: Browser, built_gallery: BuiltGallery, tmp_path: Path, guard: Guard
) -> None:
    """The page says how to build one."""
    settings = ApiSettings(
        encoder=tiny_model(tmp_path / "tiny"),
        gallery=GallerySettings(path=tmp_path / "qdrant"),
        image_store=tmp_path / "images",
    )
    guard.forgiven.append("503 (Service Unavailable)")
    with serving(create_app(settings)) as url, browser.new_context(base_url=url) as context:
        guard.watch(context)
        page = context.new_page()
        page.goto("/")
        trouble = page.get_by_role("alert")
        expect(trouble).to_contain_text("There is nothing to search yet")
        expect(trouble).to_contain_text("python -m indexer build --manifest")
        context.close()
    assert guard.complaints == []


def test_files_that_are_no_pictures(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    expect(page.locator("#facts")).to_contain_text("pictures")
    (tmp_path / "notes.txt").write_text("no picture")
    page.locator("#file").set_input_files(tmp_path / "notes.txt")
    expect(page.get_by_role("alert")).to_contain_text("notes.txt is not a picture. JPEG, PNG")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0" + os.urandom(99))
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + os.urandom(99))
    for name, sentence in (
        ("broken.jpg", "broken.jpg is broken, or of a kind that this browser cannot open"),
        ("phone.heic", "HEIC does once it is saved as JPEG"),
    ):
        page.locator("#file").set_input_files(tmp_path / name)  # told now, not at the search
        expect(page.locator("#message")).to_contain_text(sentence)
        expect(page.locator("#message")).to_contain_text("JPEG, PNG")
        expect(page.locator("#reference")).to_be_hidden()


def test_a_photograph_of_any_size_is_sent_small_enough(page: Page, tmp_path: Path) -> None:
    from PIL import Image

    huge = Image.effect_noise((4000, 3000), 90).convert("RGB")  # noise does not compress
    huge.save(tmp_path / "huge.jpg", quality=97)
    assert (tmp_path / "huge.jpg").stat().st_size > 2_000_000  # what this service refuses
    page.goto("/")
    page.locator("#file").set_input_files(tmp_path / "huge.jpg")
    expect(page.locator("#reference")).to_be_visible()
    page.locator("#text").fill(TEXT)
    page.locator("#text").press("Enter")
    wait_for_the_reranker(page)


BAD_PARAMETERS = {
    "image_id": ("",),
    "mode": ("sideways", "constructor"),
    "rerank": ("perhaps",),
    "intent": ("{", "1", '{"target": 1}', '{"target": "a", "desired": "b"}', '["target"]'),
    "filter": ("null x", "[1]", '{"colour": null}', '{"price": {"gte": 500, "lte": 100}}'),
    "top": ("0", "-3", "many", "1e1", "97"),
    "view": ("upside",),
    "trail": ("[1]", "[[1]]", "[[]]", '{"0": 1}', "[null]", '[["a", 1]]', '"ab"'),
}


def test_a_bad_parameter_of_an_address_is_left_out_and_said(page: Page, service: Service) -> None:
    good = address(a_plain_thing(service.catalogue)["image_id"], TEXT, rerank="off")
    most = max(map(len, BAD_PARAMETERS.values()))
    for at in range(most):
        bad = {name: values[at % len(values)] for name, values in BAD_PARAMETERS.items()}
        page.goto(f"/?{urlencode(bad)}")
        expect(page.locator("#gallery img").first).to_be_visible()
        for name in bad:
            expect(page.locator("#notices")).to_contain_text(f"“{name}”")
        assert urlsplit(page.url).query == ""
    for trail in BAD_PARAMETERS["trail"]:
        page.goto(good + "&" + urlencode({"trail": trail, "utm_source": "elsewhere"}))
        expect(page.locator("#timing")).not_to_be_empty()
        expect(page.locator("#notices")).to_contain_text("“trail”, so that was left out")
    page.get_by_role("button", name="Put this notice away").click()
    expect(page.locator("#notices")).to_be_empty()


def test_a_range_that_nothing_fits_is_refused_in_the_form(page: Page) -> None:
    page.goto("/")
    page.locator("summary", has_text="price").click()
    page.get_by_label("at least").fill("500")
    page.get_by_label("at least").press("Enter")
    expect(page.locator("[data-facet=price] .said")).to_have_text("from 500")
    page.get_by_label("at most").fill("100")
    page.get_by_label("at most").press("Enter")
    refusal = page.locator("[data-facet=price] [role=alert]")
    expect(refusal).to_have_text("Nothing is at least 500 and at most 100.")
    assert json.loads(in_address(page)["filter"]) == {"price": {"gte": 500}}
    page.get_by_label("at most").fill("600")
    page.get_by_label("at most").press("Enter")
    expect(refusal).to_be_empty()
    assert json.loads(in_address(page)["filter"]) == {"price": {"gte": 500, "lte": 600}}


def test_what_the_service_says_of_fields_is_put_into_words(
    page: Page, service: Service, guard: Guard
) -> None:
    guard.forgiven.append("422 (Unprocessable")
    thing = a_plain_thing(service.catalogue)["image_id"]
    page.goto(address(thing, "green " * 200, intent={"target": "x" * 300}))
    expect(page.get_by_role("alert")).to_have_text(
        re.compile("^The service cannot work with (the edited chips and )?these words")
    )
    for word in ("String should", "modification_text", "characters"):
        expect(page.locator("body")).not_to_contain_text(word)
    page.goto(address(thing, TEXT, filter={"nothing": "x"}))
    expect(page.get_by_role("alert")).to_contain_text("the gallery has no attribute `nothing`")


def test_nothing_old_stands_below_new_words_without_an_answer(
    page: Page, context: BrowserContext, service: Service, guard: Guard
) -> None:
    page.goto(address(a_plain_thing(service.catalogue)["image_id"], TEXT))
    wait_for_the_reranker(page)
    guard.forgiven.append("net::ERR_INTERNET_DISCONNECTED")
    context.set_offline(True)
    page.locator("#text").fill("make it striped")
    page.locator("#text").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    expect(page.locator("#text")).to_have_value("make it striped")
    expect(page.locator("#intent")).to_be_hidden()
    assert shown(page) == []
    context.set_offline(False)
    wait_for_the_reranker(page)


def test_a_reference_that_is_gone(page: Page, guard: Guard) -> None:
    guard.forgiven.append("404 (Not Found)")
    page.goto(address("nobody", TEXT))
    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("no image with the id 'nobody'")
    expect(trouble).to_contain_text("choose another picture")


def test_words_without_a_picture(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    page.locator("#text").fill(TEXT)
    page.locator("#text").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Choose a picture first")


def test_a_network_that_is_gone_and_comes_back(
    page: Page, context: BrowserContext, service: Service, guard: Guard
) -> None:
    page.goto(address(a_plain_thing(service.catalogue)["image_id"], TEXT))
    wait_for_the_reranker(page)
    before = shown(page)
    guard.forgiven.append("net::ERR_INTERNET_DISCONNECTED")
    context.set_offline(True)
    page.locator("#text").fill("make it striped")
    page.locator("#text").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer.")
    context.set_offline(False)
    wait_for_the_reranker(page)  # without a click
    assert shown(page) != before
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_encoder_that_cannot_be_explained_offers_no_maps(page: Page, service: Service) -> None:
    def unexplained(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"explains": False})

    page.route("**/gallery", unexplained)
    page.goto(address(a_plain_thing(service.catalogue)["image_id"], TEXT))
    wait_for_the_reranker(page)
    page.locator("#results .picture").first.click()
    expect(page.locator("#why")).to_contain_text("Vector search")
    expect(page.locator("#why .seen")).to_have_count(0)
