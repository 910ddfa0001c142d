"""What the page says of how words were understood: conditions, origins, what had no effect."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Service
from tests.browser.steps import a_plain_thing, address, in_address, wait_for_the_reranker, widths
from tests.browser.test_access import violations


@pytest.fixture
def thing(service: Service) -> dict[str, Any]:
    return a_plain_thing(service.catalogue)


def test_words_without_an_effect_are_underlined_and_can_be_replaced(
    page: Page, thing: dict[str, Any]
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(address(thing["image_id"], "🙂 make it blorptastic please"))
    wait_for_the_reranker(page)
    expect(page.locator("#unread mark")).to_have_text("blorptastic")
    expect(page.locator("#unread q")).to_have_text("🙂 make it blorptastic please")
    assert widths(page) == (360, 360)
    assert violations(page) == []
    offers = page.locator("#unread button")
    assert 1 <= offers.count() <= 3
    value = offers.first.inner_text()
    offers.first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#unread")).to_be_hidden()
    wait_for_the_reranker(page)
    assert in_address(page)["text"] == f"🙂 make it {value} please"
    expect(page.locator("#text")).to_have_value(f"🙂 make it {value} please")


def test_conditions_are_chips_that_can_be_taken_away(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], "in green, under 5,000 €"))
    wait_for_the_reranker(page)
    condition = page.locator("#conditions .chip")
    expect(condition).to_contain_text("price under 5,000")
    expect(page.locator("#lane-preserve .origin").first).to_have_text("label")
    expect(page.locator("#lane-desired .origin")).to_have_text("your words")
    green = page.locator("#lane-desired-chip-0")
    expect(green).to_have_accessible_description("your words")
    assert violations(page) == []
    page.get_by_role("button", name="Remove the condition on price").click()
    wait_for_the_reranker(page)
    expect(page.locator("#conditions")).to_have_count(0)
    assert "conditions" not in json.loads(in_address(page)["intent"])


def test_what_only_comes_near_is_said_and_marked(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], "at most 0.01 €"))
    wait_for_the_reranker(page)
    expect(page.locator("#near")).to_contain_text("Nothing in the gallery fits")
    assert page.locator("#results .misfit").count() == page.locator("#results .card").count()
    assert violations(page) == []
    other = f"anything but a {thing['attributes']['category']}"
    page.goto(address(thing["image_id"], other))
    wait_for_the_reranker(page)
    expect(page.locator("#near")).to_be_hidden()
    expect(page.locator("#results .card").first).not_to_contain_text("does not fit")
