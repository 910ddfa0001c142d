"""What people do on the page, and what they see there, in words that tests can use."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Page, expect


def a_plain_thing(catalogue: Path) -> dict[str, Any]:
    """The first row of the catalogue that shows one plain thing that is not green."""
    for line in (catalogue / "manifest.jsonl").read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        attributes = row["attributes"]
        one = all(isinstance(attributes[name], str) for name in ("category", "colour", "pattern"))
        if one and attributes["pattern"] == "plain" and attributes["colour"] != "green":
            return row
    raise AssertionError("the catalogue shows no plain thing alone")


def address(image_id: str, text: str, **more: Any) -> str:
    fields = {name: v if isinstance(v, str) else json.dumps(v) for name, v in more.items()}
    return "/?" + urlencode({"image_id": image_id, "text": text, **fields})


def in_address(page: Page) -> dict[str, str]:
    """The query that the address bar holds."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def note_shifts(page: Page) -> None:
    """From its next load on, sum up how far the page's parts jump without anybody's doing."""
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => list.getEntries()"
        ".forEach((one) => { if (!one.hadRecentInput) window.shift += one.value; }))"
        ".observe({ type: 'layout-shift', buffered: true });"
    )


def wait_for_the_reranker(page: Page) -> None:
    """Until the final order is there, re-ranked and in full."""
    expect(page.locator("#order")).to_be_visible()
    expect(page.locator("#scoring")).to_be_hidden()


def shown(page: Page) -> list[str]:
    """The results' ids, in the order of the page."""
    cards = page.locator("#results .card[data-image-id]")
    return [str(card.get_attribute("data-image-id")) for card in cards.all()]


def chips(page: Page, lane: str) -> list[str]:
    """The phrases of a lane: preserve, desired, forbidden or dropped."""
    buttons = page.locator(f"#lane-{lane} .chip > [aria-haspopup]").all()
    return [button.evaluate("node => node.firstChild.textContent") for button in buttons]


def widths(page: Page) -> tuple[int, int]:
    """How wide the content is, and how wide the window."""
    content, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return content, window
