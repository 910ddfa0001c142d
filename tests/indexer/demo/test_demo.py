"""The demo catalogue: reproducible, truly split, and right about its own answers."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer.demo import language
from indexer.demo.artwork import BACKDROPS, OBJECTS, PALETTE
from indexer.demo.catalogue import write_catalogue
from indexer.demo.queries import compose_queries
from indexer.demo.render import render_scene
from indexer.demo.scene import (
    COLOURS,
    FINISHES,
    KINDS,
    PATTERNS,
    SETTINGS,
    SPLITS,
    Item,
    Scene,
    sample_scenes,
)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_there_is_a_drawing_for_every_word() -> None:
    assert set(OBJECTS) == set(KINDS)
    assert set(PALETTE) == set(COLOURS)
    assert set(BACKDROPS) == set(SETTINGS) == set(language.PLACES)
    assert len(KINDS) >= 14
    assert len(COLOURS) >= 11
    assert len(PATTERNS) >= 4
    assert len(SETTINGS) >= 8


def test_the_same_seed_gives_the_same_catalogue(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_catalogue(tmp_path / name, 24, seed=5, split="test", size_px=64, queries=20)
    for file in ("manifest.jsonl", "queries.jsonl", "images/test-000003.jpg"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_finishes_are_a_facet_of_their_own_and_change_nothing_else(tmp_path: Path) -> None:
    """The facet is for trying what models have not heard of; without it all stays as it is."""
    for name, finishes in (("plain", False), ("finished", True)):
        write_catalogue(
            tmp_path / name, 40, seed=5, split="test", size_px=64, queries=0, finishes=finishes
        )
    plain, finished = (rows_of(tmp_path / n / "manifest.jsonl") for n in ("plain", "finished"))
    assert not any("finish" in row["attributes"] or "finish" in row["items"][0] for row in plain)
    with_finish = [row for row in finished if "finish" in row["attributes"]]
    assert 0.5 < len(with_finish) / len(finished) < 0.95
    for before, after in zip(plain, finished, strict=True):
        known = {k: v for k, v in after["attributes"].items() if k != "finish"}
        assert known == before["attributes"]
        for item in after["items"]:
            assert item.get("finish", "") in ("", *FINISHES)
            assert item.get("finish", "") in after["caption"]


@pytest.mark.parametrize("finish", FINISHES)
def test_every_finish_but_matte_can_be_seen(finish: str) -> None:
    plain = Scene((Item("sofa", "red", "plain"),), "studio", seed=4)
    finished = Scene((Item("sofa", "red", "plain", finish),), "studio", seed=4)
    pictures = [np.asarray(render_scene(scene, 64), int) for scene in (plain, finished)]
    changed = np.abs(pictures[0] - pictures[1]).max(axis=2) > 24
    assert changed.mean() > 0.1 if finish != "matte" else not changed.any()


def test_splits_share_no_scene() -> None:
    seeds = [{scene.seed for scene in sample_scenes(500, 7, split)} for split in SPLITS]
    assert not seeds[0] & seeds[1]
    assert not seeds[0] & seeds[2]
    assert not seeds[1] & seeds[2]


def test_held_out_combinations_are_kept_from_training_and_met_in_testing() -> None:
    assert not any(scene.is_held_out for scene in sample_scenes(2000, 7, "train"))
    share = sum(scene.is_held_out for scene in sample_scenes(2000, 7, "test")) / 2000
    assert 0.05 < share < 0.4


def test_test_phrasings_are_never_used_in_training() -> None:
    for edit in language.EDITS:
        assert not set(language._SEEN[edit]) & set(language._UNSEEN[edit])


@pytest.mark.parametrize("split", SPLITS)
def test_every_right_answer_is_listed_and_nothing_else(split: str) -> None:
    """Against a brute-force reading of the definition, scene by scene."""
    scenes = sample_scenes(400, 3, split)  # type: ignore[arg-type]
    queries = compose_queries(scenes, split, 3, 200)  # type: ignore[arg-type]
    assert len(queries) > 20
    for query in queries:
        fitting = []
        for number, scene in enumerate(scenes):
            words = [language.describe_item(item) for item in scene.items]
            same_things = sorted(words) == sorted(_things(query.target))
            ordered = " to the left of " not in query.target or query.target.startswith(
                language.describe_items(scene.items)
            )
            place = _place(query.target)
            placed = place is None or scene.setting == place
            if number != query.reference and same_things and ordered and placed:
                fitting.append(number)
        assert query.answers == fitting
        assert query.answers


def _place(target: str) -> str | None:
    return next((s for s, said in language.PLACES.items() if target.endswith(said[0])), None)


def _things(target: str) -> list[str]:
    place = _place(target)
    if place is not None:
        target = target.removesuffix(" " + language.PLACES[place][0])
    for joint in (" to the left of ", " and "):
        if joint in target:
            return target.split(joint)
    return [target]


def test_every_kind_of_edit_is_asked() -> None:
    queries = compose_queries(sample_scenes(1000, 3, "test"), "test", 3, 400)
    assert {query.edit for query in queries} == set(language.EDITS)


def test_captions_never_leave_out_an_object() -> None:
    scene = Scene((Item("sofa", "red", "plain"), Item("mug", "blue", "dotted")), "snow", 1)
    rng = random.Random(0)
    for _ in range(200):
        said = language.partial_caption(scene, rng)
        assert ("sofa" in said) == ("mug" in said)


def test_pictures_differ_where_scenes_differ() -> None:
    def picture(**change: str) -> bytes:
        values = {"kind": "sofa", "colour": "red", "pattern": "plain"} | change
        return render_scene(Scene((Item(**values),), "studio", 4), 64).tobytes()

    seen = {picture()}
    for facet, values in (("kind", KINDS), ("colour", COLOURS), ("pattern", PATTERNS)):
        for value in values[1:]:
            seen.add(picture(**{facet: value}))
    assert len(seen) == 1 + len(KINDS) - 1 + len(COLOURS) - 1 + len(PATTERNS) - 1


def test_a_manifest_means_the_catalogue_is_whole(tmp_path: Path) -> None:
    manifest = write_catalogue(tmp_path, 12, seed=1, split="validation", size_px=48, queries=5)
    rows = rows_of(manifest)
    assert len(rows) == 12
    for row in rows:
        with Image.open(tmp_path / row["image"]) as image:
            assert image.size == (48, 48)
        assert row["captions"][0] == row["caption"]
        assert row["attributes"]["setting"] in SETTINGS


@pytest.mark.parametrize(("images", "size"), [(0, 64), (4, 0)])
def test_impossible_sizes_are_refused(tmp_path: Path, images: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        write_catalogue(tmp_path, images, seed=1, split="test", size_px=size)
