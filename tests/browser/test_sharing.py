"""A query to take away does, elsewhere, what the page did."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Service
from tests.browser.steps import a_plain_thing, address, shown

TEXT = "the same, but green; don't change the rest"  # an apostrophe, to be quoted


@pytest.mark.parametrize("uploaded", [False, True])
def test_the_commands_find_what_the_page_found(
    page: Page, service: Service, tmp_path: Path, uploaded: bool
) -> None:
    thing = a_plain_thing(service.catalogue)
    if uploaded:
        (tmp_path / "mine.jpg").write_bytes((service.catalogue / thing["image"]).read_bytes())
        page.goto("/")
        page.locator("#file").set_input_files(tmp_path / "mine.jpg")
        page.locator("#rerank").uncheck()
        page.locator("#text").fill(TEXT)
        page.locator("#text").press("Enter")
    else:
        wanted = {"colour": ["green", "blue"]}
        page.goto(address(thing["image_id"], TEXT, filter=wanted, rerank="off"))
    expect(page.locator("#timing")).not_to_be_empty()
    page.get_by_role("button", name="Share").click()
    dialog = page.locator("#sharing")
    expect(dialog.locator("pre")).to_have_count(2 if uploaded else 3)
    curl = dialog.locator("pre[aria-label=curl]").inner_text()
    python = dialog.locator("pre[aria-label=Python]").inner_text()
    by_curl = subprocess.run(
        ["bash", "-c", curl], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert [result["image_id"] for result in json.loads(by_curl.stdout)["results"]] == shown(page)
    by_python = subprocess.run(
        [sys.executable, "-c", python], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert [line.split()[1] for line in by_python.stdout.splitlines()] == shown(page)
    if not uploaded:
        link = dialog.locator("pre[aria-label=Link]").inner_text()
        assert link == page.url


def test_a_service_that_composes_in_another_way_is_left_to_it(page: Page, service: Service) -> None:
    def otherwise(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"default_composition": "union"})

    page.route("**/gallery", otherwise)
    plain = address(a_plain_thing(service.catalogue)["image_id"], TEXT, rerank="off")
    page.goto(plain)
    expect(page.locator("#timing")).not_to_be_empty()
    expect(page.locator("#mode")).to_have_value("union")
    assert "mode=" not in page.url
    page.locator("#mode").select_option("intersection")
    expect(page.locator("#target")).to_be_visible()
    assert "mode=intersection" in page.url


def test_the_page_asks_for_no_more_results_than_the_service_allows(
    page: Page, service: Service
) -> None:
    def narrower(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"max_top_k": 5})

    page.route("**/gallery", narrower)
    page.goto(address(a_plain_thing(service.catalogue)["image_id"], TEXT, rerank="off"))
    expect(page.locator("#timing")).not_to_be_empty()
    assert len(shown(page)) == 5
    expect(page.locator("#more")).to_be_hidden()
