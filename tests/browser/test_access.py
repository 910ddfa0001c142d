"""For everyone and every screen: keyboard, screen reader, contrast, small windows, light pages."""

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS, Guard, Service
from tests.browser.steps import (
    a_plain_thing,
    address,
    chips,
    in_address,
    note_shifts,
    wait_for_the_reranker,
    widths,
)

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
TEXT = "the same but green"
MOST_BYTES = 100_000
MOST_SHIFT = 0.05


@pytest.fixture
def thing(service: Service) -> dict[str, Any]:
    return a_plain_thing(service.catalogue)


def violations(page: Page) -> list[str]:
    """What axe finds, by how much it hurts whom."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{one['impact']} {one['id']}: {node['html'][:200]}"
        for one in found
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    browser: Browser, service: Service, guard: Guard, thing: dict[str, Any], scheme: Any
) -> None:
    with browser.new_context(
        base_url=service.url, color_scheme=scheme, reduced_motion="reduce"
    ) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto("/")
        expect(page.locator("#gallery img").first).to_be_visible()
        assert violations(page) == []
        page.locator("summary", has_text="colour").click()
        assert violations(page) == []

        page.goto(address(thing["image_id"], TEXT, trail=[[thing["image_id"], "make it red"]]))
        wait_for_the_reranker(page)
        page.locator("#lane-preserve [aria-haspopup]").first.click()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.locator("#results .picture").first.click()
        page.locator("#why").get_by_role("radio", name="green").check(force=True)
        expect(page.locator("canvas.on")).to_have_count(2)
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Share").click()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Compare").click()
        expect(page.locator(".tick, .cross").first).to_be_visible()
        assert violations(page) == []


def tab_to(page: Page, what: str, most: int = 60) -> None:
    """Tab until an element has the focus; it must be reachable, and visibly so."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("what => document.activeElement?.matches(what)", what):
            return
    pytest.fail(f"{what} cannot be reached by keyboard")


def test_everything_goes_without_a_mouse(page: Page, thing: dict[str, Any]) -> None:
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    tab_to(page, "#gallery .picture")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("the same but gre")
    expect(page.locator(".suggestions [role=option]").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    marked = page.locator(".suggestions [aria-selected=true]")
    expect(marked).to_have_count(1)
    assert page.locator("#text").get_attribute("aria-activedescendant") == marked.get_attribute(
        "id"
    )
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_have_value("the same but green")
    page.keyboard.press("Enter")
    wait_for_the_reranker(page)
    assert in_address(page)["text"] == "the same but green"

    kept = chips(page, "preserve")
    tab_to(page, "#lane-preserve [aria-haspopup]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Make it wanted")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_the_reranker(page)
    assert kept[0] in chips(page, "forbidden")
    expect(page.locator("#lane-forbidden-chip-0")).to_be_focused()
    page.keyboard.press("Delete")
    wait_for_the_reranker(page)

    tab_to(page, "#add-desired")
    page.keyboard.type("stri")
    expect(page.get_by_role("option", name="striped")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_the_reranker(page)
    assert "striped" in chips(page, "desired")

    tab_to(page, "#results .picture")
    page.keyboard.press("Enter")
    expect(page.locator("#why")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#results .picture").first).to_be_focused()
    tab_to(page, "#results .start")
    page.keyboard.press("Enter")
    expect(page.locator("#text")).to_be_focused()


def test_the_first_result_is_near_by_keyboard(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the results")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#results .picture").first).to_be_focused()
    assert "#" not in page.url  # no step in the history either
    page.get_by_role("button", name="Gallery", exact=True).click()
    expect(page.locator("#gallery .picture").first).to_be_visible()  # loaded: focus has a goal
    page.locator("#skip").focus()
    expect(page.get_by_text("Skip to the pictures")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#gallery .picture").first).to_be_focused()

    page.get_by_role("button", name="Results", exact=True).click()
    wait_for_the_reranker(page)
    page.locator("#skip").focus()
    tab_to(page, "#results .picture", most=26)  # past everything else


def test_rows_of_controls_are_one_stop_with_arrow_keys(page: Page, thing: dict[str, Any]) -> None:
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    for row, control in (("#examples", "button"), ("#filters", "summary"), ("#view", "button")):
        controls = page.locator(f"{row} {control}")
        controls.first.focus()
        page.keyboard.press("ArrowRight")
        expect(controls.nth(1)).to_be_focused()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        expect(controls.last).to_be_focused()
        page.keyboard.press("Tab")
        assert not page.evaluate("r => document.activeElement.closest(r)", row)
        page.keyboard.press("Shift+Tab")
        expect(controls.last).to_be_focused()


def test_results_come_first_on_a_phone(page: Page, thing: dict[str, Any]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    note_shifts(page)
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    page.locator("#gallery .picture").nth(4).click()
    page.locator("#text").fill(TEXT)
    page.evaluate("shift = 0")
    page.keyboard.press("Enter")
    wait_for_the_reranker(page)
    expect(page.locator("#form")).to_be_hidden()  # folded to one bar
    bar = page.get_by_role("button", name=TEXT)
    expect(bar).to_be_focused()
    expect(bar).to_have_attribute("aria-expanded", "false")
    first = page.locator("#results .card[data-image-id]").first.bounding_box()
    assert first
    assert first["y"] <= 844 / 3
    assert page.evaluate("shift") <= MOST_SHIFT
    assert violations(page) == []

    line = page.locator("#line")
    expect(line).to_contain_text("Wanted: + green")
    expect(page.locator(".lanes")).to_be_hidden()
    line.click()
    expect(page.locator("#lane-desired")).to_be_visible()
    page.locator("#lane-dropped [aria-haspopup]").first.click()
    page.get_by_role("menuitem", name="Make it kept").click()
    wait_for_the_reranker(page)
    expect(page.locator("#lane-preserve")).to_be_visible()  # what was unfolded stays so
    bar.click()
    expect(page.locator("#text")).to_be_visible()
    page.get_by_role("button", name="anything but").click()  # an example, tapped: it searches
    wait_for_the_reranker(page)
    expect(page.locator("#form")).to_be_hidden()
    assert in_address(page)["text"].startswith("anything but")
    assert page.evaluate("scrollY") > 0

    note_shifts(page)
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    expect(page.locator("#form")).to_be_hidden()
    assert page.evaluate("shift") <= MOST_SHIFT


def test_a_phone_needs_no_sideways_scrolling(page: Page, thing: dict[str, Any]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    assert widths(page) == (360, 360)
    page.locator("summary", has_text="category").click()
    assert widths(page) == (360, 360)
    page.goto(address(thing["image_id"], TEXT, trail=[[thing["image_id"], "make it red"]] * 4))
    wait_for_the_reranker(page)
    assert widths(page) == (360, 360)
    page.locator("#line").click()
    assert widths(page) == (360, 360)
    page.locator("#fold").click()
    assert widths(page) == (360, 360)
    for name in ("Why", "Share"):
        page.get_by_role("button", name=name).first.click()
        expect(page.locator("dialog[open]")).to_be_visible()
        assert widths(page) == (360, 360)
        assert page.locator("dialog[open]").evaluate("d => d.scrollWidth <= d.clientWidth")
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".tick, .cross").first).to_be_visible()
    assert widths(page) == (360, 360)


@pytest.mark.parametrize("width", [700, 768, 1024, 1280])
def test_the_parts_of_the_query_do_not_overlap(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    slot, form = (page.locator(name).bounding_box() for name in ("#slot", "#form"))
    assert slot
    assert form
    assert slot["x"] + slot["width"] <= form["x"]
    assert widths(page) == (width, width)


def test_the_page_is_light_and_does_not_jump(page: Page, thing: dict[str, Any]) -> None:
    note_shifts(page)
    loaded: set[str] = set()
    page.on("request", lambda request: loaded.add(request.url))
    page.goto(address(thing["image_id"], TEXT))
    wait_for_the_reranker(page)
    files = [url for url in loaded if "/static/" in url] + [page.url]
    weight = sum(len(page.request.get(url).body()) for url in files)
    assert len(files) > 10
    assert weight <= MOST_BYTES, f"the page weighs {weight:,} bytes without its images"
    for image in page.locator("img[src]").all():
        assert image.get_attribute("width"), image.evaluate("node => node.outerHTML")
    assert page.evaluate("shift") <= MOST_SHIFT


def test_files_are_kept_between_visits(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    page.goto("about:blank")
    page.goto("/")
    expect(page.locator("#gallery img").first).to_be_visible()
    sent = page.evaluate(
        "performance.getEntriesByType('resource').filter((one) => one.name.includes('/static/'))"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
    assert sent == 0
