"""Takes the README's pictures of the page from a running service with the demo gallery.

    python -m tests.benchmarks.screenshots --url http://127.0.0.1:8000

Also the way to look at the page at all sizes and in both schemes: --widths 360 768 1280 --dark.
"""

import argparse
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import FLAGS

FOLDER = Path(__file__).parents[1] / "browser" / "screenshots"
MOST_BYTES = 150_000


def start(page: Page, _: argparse.Namespace) -> None:
    page.goto("/")
    page.locator("#gallery img").first.wait_for()


def result(page: Page, options: argparse.Namespace) -> None:
    page.goto("/?" + urlencode({"image_id": options.image_id, "text": options.text}))
    page.locator("#order").wait_for()
    page.locator("#scoring").wait_for(state="hidden")


def why(page: Page, options: argparse.Namespace) -> None:
    query = {"image_id": options.pair_id, "text": options.pair_text}
    page.goto("/?" + urlencode(query))
    page.locator("#order").wait_for()
    page.locator("#results .picture").first.click()
    page.locator(f"#why input[value={json.dumps(options.phrase)}]").check(force=True)
    page.locator("canvas.on").first.wait_for()


def compare(page: Page, options: argparse.Namespace) -> None:
    query = {"image_id": options.image_id, "text": options.text, "view": "compare"}
    page.goto("/?" + urlencode(query))
    page.locator(".tick").first.wait_for()


VIEWS: dict[str, Callable[[Page, argparse.Namespace], None]] = {
    "start": start,
    "result": result,
    "why": why,
    "compare": compare,
}


def compressed(png: bytes) -> bytes:
    """As WebP, as good as the limit allows."""
    with Image.open(io.BytesIO(png)) as image:
        for quality in range(88, 30, -6):
            out = io.BytesIO()
            image.convert("RGB").save(out, "WEBP", quality=quality, method=6)
            if out.tell() <= MOST_BYTES:
                break
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running service")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--widths", type=int, nargs="+", default=[1280])
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--image-id", default="test-001091")
    parser.add_argument("--text", default="same bag but in emerald, under 200 €")
    parser.add_argument("--pair-id", default="test-001091", help="of the heat map's search")
    parser.add_argument("--pair-text", default="the same but green")
    parser.add_argument("--phrase", default="green", help="whose heat map is shown")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        for width in options.widths:
            for name, go in VIEWS.items():
                page = browser.new_page(
                    base_url=options.url,
                    viewport={"width": width, "height": 940},
                    color_scheme="dark" if options.dark else "light",
                    reduced_motion="reduce",
                )
                go(page, options)
                page.wait_for_load_state("networkidle")
                kind = name + f"-{width}" * (width != 1280) + "-dark" * options.dark
                (options.out / f"{kind}.webp").write_bytes(compressed(page.screenshot()))
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
