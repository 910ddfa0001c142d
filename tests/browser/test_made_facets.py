"""The page on a gallery whose things only its encoder names: what can be filtered, and what not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.api.main import create_app
from app.api.settings import ApiSettings
from models.datasets.manifest import read_manifest
from models.encoder.encoder import ImageTextEncoder
from tests.app.api.stub_worker import serving
from tests.browser.conftest import Guard, guarded, wait_ready
from tests.conftest import build, indexer_settings

IMAGES = 120


@pytest.fixture(scope="module")
def priced(
    catalogue: Path, encoder: ImageTextEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The service on pictures of which only the price is known."""
    settings = indexer_settings(tmp_path_factory.mktemp("priced"))
    rows = [
        replace(row, attributes={"price": row.attributes["price"]})
        for row in read_manifest(catalogue)[:IMAGES]
    ]
    assert build(rows, encoder, settings).made
    api = ApiSettings(gallery=settings.gallery, image_store=settings.image_store, timeout_ms=60_000)
    with serving(create_app(api)) as url:
        wait_ready(url)
        yield url


@pytest.fixture
def page(browser: Browser, guard: Guard, priced: str) -> Iterator[Page]:
    with guarded(browser, guard, priced) as context:
        yield context.new_page()


def test_filters_are_of_the_catalogues_attributes_alone(page: Page) -> None:
    page.goto("/?view=browse")
    facets = page.locator("#filters details")
    expect(facets).to_have_count(1)
    expect(facets).to_have_attribute("data-facet", "price")
    facets.locator("summary").click()
    facets.get_by_label("at most").fill("0")
    page.keyboard.press("Enter")
    expect(page.locator("#gallery-end")).to_have_text("No picture fits this filter.")
