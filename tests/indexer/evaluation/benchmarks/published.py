"""Annotation files in the published layouts: tiny ones written here, the real ones if at hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.paths import SHARED_DATA

_SHARED = SHARED_DATA
MEMBERS = [f"dev-{i}" for i in range(6)]
COCO_IDS = range(1, 18)


def at_hand(name: str) -> Path:
    """The benchmark's real annotations; skips the test where they are not."""
    if not (_SHARED / name).is_dir():
        pytest.skip(f"the annotations of {name} are not part of this repository")
    return _SHARED / name


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def cirr_pair(pair_id: int, reference: str, target: str | None) -> dict[str, Any]:
    pair = {
        "pairid": pair_id,
        "reference": reference,
        "caption": "show three bottles",
        "img_set": {"id": 36, "members": MEMBERS, "reference_rank": 2},
    }
    return pair if target is None else {**pair, "target_hard": target, "target_soft": {target: 1.0}}


def write_cirr(folder: Path) -> Path:
    """Two pairs in a set of six; eight images in val, sixty in test1."""
    names = {
        "val": [*MEMBERS, "dev-6", "dev-7"],
        "test1": [*MEMBERS, *(f"test1-{i}" for i in range(54))],
    }
    for split, target in (("val", "dev-1"), ("test1", None)):
        pairs = [cirr_pair(12060, "dev-4", target), cirr_pair(12062, "dev-0", target)]
        write_json(folder / "captions" / f"cap.rc2.{split}.json", pairs)
        paths = {name: f"./{split}/{name}.png" for name in names[split]}
        write_json(folder / "image_splits" / f"split.rc2.{split}.json", paths)
    return folder


def write_circo(folder: Path) -> Path:
    """Two queries; the target is not the first of the right answers of the second one."""
    test = [
        {"id": 0, "reference_img_id": 1, "relative_caption": "is red", "shared_concept": "a car"},
        {"id": 1, "reference_img_id": 2, "relative_caption": "has two", "shared_concept": "a dog"},
    ]
    answers = [
        {"target_img_id": 3, "gt_img_ids": [3, 4], "semantic_aspects": ["negation", "addition"]},
        {"target_img_id": 6, "gt_img_ids": [5, 6], "semantic_aspects": ["addition"]},
    ]
    val = [{**query, **answer} for query, answer in zip(test, answers, strict=True)]
    write_json(folder / "annotations" / "test.json", test)
    write_json(folder / "annotations" / "val.json", val)
    return folder


def write_fashioniq(folder: Path) -> Path:
    """A query per category, two for dresses; `B3` is both a shirt and a top."""
    captions = {
        "dress": [("B1", "B2", ["is longer. ", "has sleeves"]), ("B2", "B1", ["is red", "is red"])],
        "shirt": [("B3", "B4", ["", "is grey."])],
        "toptee": [("B5", "B3", ["is darker", "has a logo"])],
    }
    names = {"dress": ["B2", "B1"], "shirt": ["B3", "B4"], "toptee": ["B5", "B3"]}
    for category, queries in captions.items():
        entries = [{"candidate": c, "target": t, "captions": texts} for c, t, texts in queries]
        write_json(folder / "captions" / f"cap.{category}.val.json", entries)
        write_json(folder / "image_splits" / f"split.{category}.val.json", names[category])
    return folder


def write_genecis(folder: Path) -> Path:
    """A query per task; the target of the second task is in its gallery, too."""
    for task, gallery in (("focus_object", range(3, 17)), ("change_object", range(2, 16))):
        entry = {
            "condition": "toaster",
            "reference": {"val_image_id": 1},
            "target": {"val_image_id": 2},
            "gallery": [{"val_image_id": image_id} for image_id in gallery],
        }
        write_json(folder / f"{task}.json", [entry])
    return folder


def write_images(folder: Path, name: str, split: str) -> Path:
    """Empty files where the benchmark's images would be."""
    names = {
        "cirr": [f"{split}/{m}.png" for m in (*MEMBERS, "dev-6", "dev-7")],
        "fashioniq": ["B1.jpg", "B2.png", "B3.jpg", "B4.jpg", "B5.jpg"],
    }.get(name, [f"{image_id:012d}.jpg" for image_id in COCO_IDS])
    for file in names:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "cirr": write_cirr,
    "circo": write_circo,
    "fashioniq": write_fashioniq,
    "genecis": write_genecis,
}
