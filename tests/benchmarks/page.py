"""How long the page takes to show what the service has found: from the `coarse` event's arrival to
the frame that paints the first result card.

    python -m tests.benchmarks.page --url http://127.0.0.1:8000 --image-id test-001091
"""

import argparse
import shutil
from statistics import median
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

from tests.browser.conftest import FLAGS

# Marks when the decoder hands out the coarse event, and the frame after the first card is there.
WATCH = """
window.marks = {};
const read = ReadableStreamDefaultReader.prototype.read;
ReadableStreamDefaultReader.prototype.read = async function (...given) {
  const chunk = await read.apply(this, given);
  if (typeof chunk.value === 'string' && chunk.value.includes('event: coarse')) {
    window.marks.coarse ??= performance.now();
  }
  return chunk;
};
new MutationObserver((_, observer) => {
  if (!document.querySelector('#results [data-image-id]')) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.marks.painted = performance.now(); }));
}).observe(document, { subtree: true, childList: true, attributes: true });
"""

# a promise, because the page's security policy forbids what `wait_for_function` does
TAKEN = """
new Promise((resolve) => {
  const look = () => {
    if (marks.painted && marks.coarse) resolve(marks.painted - marks.coarse);
    else requestAnimationFrame(look);
  };
  look();
})
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="a running service")
    parser.add_argument("--image-id", required=True, help="a gallery image to start from")
    parser.add_argument("--text", default="the same but green")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    query = urlencode({"image_id": options.image_id, "text": options.text})
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or playwright.chromium.executable_path
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        taken = []
        for _ in range(options.rounds):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(WATCH)
            page.goto(f"{options.url}/?{query}")
            taken.append(page.evaluate(TAKEN))
            page.close()
        browser.close()
    print(
        f"coarse event → first card painted, {options.rounds} fresh pages: median "
        f"{median(taken):.0f} ms, lowest {min(taken):.0f}, highest {max(taken):.0f}"
    )


if __name__ == "__main__":
    main()
