"""A folder of images without attributes: facets are made when it is built, and compose
intersections when it is served.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.main import create_app
from app.api.settings import ApiSettings
from indexer.pipeline.report import BuildReport
from indexer.settings import IndexerSettings
from models.contracts.gallery import Facet
from models.datasets.manifest import ImageRow, read_folder
from models.encoder.encoder import ImageTextEncoder
from tests.conftest import build, indexer_settings, wait_until_ready

IMAGES = 120


@dataclass(frozen=True)
class Folder:
    """A folder of rendered scenes, built twice."""

    rows: list[ImageRow]
    settings: IndexerSettings
    first: BuildReport
    second: BuildReport


@pytest.fixture(scope="module")
def folder(
    catalogue: Path, encoder: ImageTextEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Folder:
    rows = list(read_folder(catalogue.parent / "images"))[:IMAGES]
    settings = indexer_settings(tmp_path_factory.mktemp("unlabelled"))
    first = build(rows, encoder, settings)
    return Folder(rows, settings, first, build(rows, encoder, settings))


@pytest.fixture(scope="module")
def unlabelled(folder: Folder) -> Iterator[TestClient]:
    """The API on the folder."""
    settings = ApiSettings(
        gallery=folder.settings.gallery, image_store=folder.settings.image_store, timeout_ms=20_000
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as running:
        wait_until_ready(running)
        yield running


def test_the_build_says_which_facets_it_made(folder: Folder) -> None:
    names = [facet.name for facet in folder.first.made]
    assert names[-1] == "thing"
    assert {"colour", "pattern", "place"} <= set(names)
    assert any(line.startswith("  thing: ") for line in folder.first.lines())
    assert folder.first.as_dict()["made_facets"].keys() == set(names)


def test_embeddings_that_are_taken_over_make_the_same_facets(folder: Folder) -> None:
    assert folder.second.embedded == 0
    assert folder.second.made == folder.first.made


def test_the_gallery_shows_them_as_made(unlabelled: TestClient, folder: Folder) -> None:
    gallery = unlabelled.get("/gallery").json()
    assert gallery["noun_facet"] == "thing"
    assert all(facet["made"] for facet in gallery["facets"])
    assert [Facet.model_validate(facet) for facet in gallery["facets"]] == folder.first.made
    image = unlabelled.get("/gallery/images").json()["images"][0]
    assert image["attributes"] == {}  # the catalogue's own are never mixed with them


def test_an_intersection_is_composed_of_them(unlabelled: TestClient) -> None:
    reference = unlabelled.get("/gallery/images").json()["images"][0]["image_id"]
    answer = unlabelled.post(
        "/search",
        json={
            "reference_image": {"image_id": reference},
            "modification_text": "the same but green",
            "rerank_depth": 0,
        },
    ).json()
    intent = answer["composition"]["intent"]
    assert intent["source"] == "facets"
    assert intent["reading"] == "read"
    assert "green" in intent["target"]
    assert "intent_fallback" not in answer["coverage"]["reasons"]


def test_no_filter_takes_them(unlabelled: TestClient) -> None:
    answer = unlabelled.get("/gallery/images", params={"filter": '{"colour": ["green"]}'})
    assert answer.status_code == 422
    assert "colour" in answer.json()["detail"]


def test_they_can_be_left_out(folder: Folder, encoder: ImageTextEncoder, tmp_path: Path) -> None:
    settings = indexer_settings(tmp_path, auto_facets=False)
    report = build(folder.rows[:8], encoder, settings)
    assert report.made == []
