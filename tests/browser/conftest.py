"""A real Chromium on the real thing: API, worker and page with the shipped models.

Every page of a test is guarded: an error on its console, an exception in its scripts or a request
that leaves this machine fails the test.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from app.api.main import create_app
from app.api.settings import ApiSettings, WorkerSettings
from tests.app.api.stub_worker import serving
from tests.conftest import BuiltGallery
from tests.integration.test_two_stages import Worker

if TYPE_CHECKING:
    from playwright import sync_api as sync_types

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PATIENCE_MS = 30_000  # of every wait for a condition; machines that run tests are busy
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@dataclass(frozen=True)
class Service:
    """The service as its users meet it, and what can be done to it."""

    url: str
    worker: Worker
    catalogue: Path


@dataclass
class Guard:
    """What a page did that it must not.

    Attributes:
        complaints: Exceptions, console errors and requests to elsewhere.
        forgiven: Parts of console errors that a test provokes.
    """

    complaints: list[str] = field(default_factory=list)
    # interfaces of the machine that come and go are not the page's doing
    forgiven: list[str] = field(default_factory=lambda: ["net::ERR_NETWORK_CHANGED"])

    def watch(self, context: "sync_types.BrowserContext") -> None:
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._heard)
        context.on("request", self._requested)

    def _heard(self, message: "sync_types.ConsoleMessage") -> None:
        forgiven = any(part in message.text for part in self.forgiven)
        if message.type in ("error", "warning") and not forgiven:
            self.complaints.append(message.text)

    def _requested(self, request: "sync_types.Request") -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.hostname != "127.0.0.1":
            self.complaints.append(f"a request left this machine: {request.url}")


@pytest.fixture(scope="package")
def service(built_gallery: BuiltGallery, catalogue: Path) -> Iterator[Service]:
    """API and worker."""
    worker = Worker(built_gallery.image_store)
    worker.start()
    settings = ApiSettings(
        gallery=built_gallery.gallery,
        image_store=built_gallery.image_store,
        # patient: on a busy machine a connection that takes half a second is no dead worker
        worker=WorkerSettings(urls=(worker.url,), connect_timeout_s=10, max_retry_after_s=1),
        timeout_ms=60_000,
        default_rerank_depth=16,
        max_upload_bytes=2_000_000,
        rerank_weight=1.0,
    )
    try:
        with serving(create_app(settings)) as url:
            wait_ready(url)
            yield Service(url, worker, catalogue.parent)
    finally:
        if worker.process is not None and worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()


def wait_ready(url: str) -> None:
    give_up = time.monotonic() + 60
    while httpx.get(f"{url}/readyz").status_code != 200:
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture(scope="package")
def browser() -> Iterator["sync_types.Browser"]:
    """The machine's Chromium, or the one playwright brought; else these tests are skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    with sync_api.sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, names)), playwright.chromium.executable_path)
        if not Path(found).exists():
            pytest.skip("no Chromium: install one, or run `playwright install chromium`")
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def guard() -> Guard:
    return Guard()


@contextmanager
def guarded(
    browser: "sync_types.Browser", guard: Guard, url: str
) -> Iterator["sync_types.BrowserContext"]:
    """A fresh profile at a service, 1280 × 900, that must end without complaints."""
    opened = browser.new_context(
        base_url=url, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    )
    opened.set_default_timeout(PATIENCE_MS)
    guard.watch(opened)
    yield opened
    opened.close()
    assert guard.complaints == []


@pytest.fixture
def context(
    browser: "sync_types.Browser", guard: Guard, service: Service
) -> Iterator["sync_types.BrowserContext"]:
    with guarded(browser, guard, service.url) as opened:
        yield opened


@pytest.fixture
def page(context: "sync_types.BrowserContext") -> "sync_types.Page":
    return context.new_page()
