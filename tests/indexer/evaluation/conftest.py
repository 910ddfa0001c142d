"""A running API over HTTP, coarse stage only, on a copy of the built gallery."""

import time
from collections.abc import Iterator

import httpx
import pytest

from app.api.main import create_app
from app.api.settings import ApiSettings
from tests.app.api.stub_worker import serving
from tests.conftest import BuiltGallery


@pytest.fixture(scope="session")
def api(built_gallery: BuiltGallery) -> Iterator[str]:
    """Its address."""
    settings = ApiSettings(
        gallery=built_gallery.gallery,
        image_store=built_gallery.image_store,
        timeout_ms=20_000,
    )
    with serving(create_app(settings)) as address:
        wait_until_serving(address)
        yield address


def wait_until_serving(address: str) -> None:
    """Poll readiness, as a load balancer would."""
    give_up = time.monotonic() + 60
    while httpx.get(f"{address}/readyz").status_code != 200:
        assert time.monotonic() < give_up
        time.sleep(0.05)
