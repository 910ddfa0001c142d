"""SIGKILL at random moments of a change; `tests/benchmarks/faults.py` does it more often."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.settings import IndexerSettings
from tests.benchmarks.faults import kill_and_go_on
from tests.conftest import indexer_settings
from tests.indexer.gallery.test_server import at
from tests.models.encoder.test_encoder import tiny_model
from tests.qdrant_shim import qdrant_shim

KILLS = 2


@pytest.fixture(params=["default", "wire"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IndexerSettings]:
    encoder = tiny_model(tmp_path / "tiny")
    if request.param == "default":
        yield indexer_settings(tmp_path, encoder=encoder)
        return
    with qdrant_shim() as shim:
        yield indexer_settings(tmp_path, encoder=encoder, gallery=at(shim))


def test_a_killed_change_leaves_the_old_gallery_or_the_new_and_the_next_goes_on(
    settings: IndexerSettings, tmp_path: Path
) -> None:
    assert kill_and_go_on(settings, tmp_path, KILLS, seed=1).total() == KILLS
