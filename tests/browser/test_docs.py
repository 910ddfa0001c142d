"""The interface's description: it is there without the rest of the world."""

from playwright.sync_api import Page, expect


def test_the_interface_is_described_without_the_rest_of_the_world(page: Page) -> None:
    """The guard of every page fails it for a request elsewhere or a complaint on the console."""
    page.goto("/docs")
    expect(page.locator(".title").first).to_contain_text("Composed image retrieval")
    search = page.locator(".opblock", has=page.locator("[data-path='/search']"))
    search.locator(".opblock-summary-control").click()
    for field in ("reference_image", "among", "weights", "intent_source", "rerank_weight"):
        expect(search.locator(f"[data-property-name={field}]")).to_be_visible()
