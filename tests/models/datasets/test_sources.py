"""Parquet, embeddings that exist already, and columns of other names; rows lie on disk."""

import csv
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.datasets.disk_map import DiskMap
from models.datasets.manifest import (
    ManifestError,
    open_embeddings,
    open_folder,
    open_manifest,
    read_folder,
    read_manifest,
)
from models.datasets.rows import ImageRow
from models.datasets.schema import schema_of
from models.datasets.stored_embeddings import InvalidEmbedding


def write_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_says_what_jsonl_says(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "image_id": "1", "caption": "a sofa", "sku": 7,
         "attributes": {"colour": ["red", "blue"], "price": 19.5, "new": True, "size": "36"}},
        {"image": "b.jpg", "image_id": "2", "sku": 8, "attributes": {"price": 5.0, "size": "M"}},
    ]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "struct.parquet")
    flat = [
        {**{k: v for k, v in row.items() if k != "attributes"},
         **{f"attributes.{k}": v for k, v in row["attributes"].items()}}  # type: ignore[attr-defined]
        for row in rows
    ]  # fmt: skip
    names = dict.fromkeys(name for row in flat for name in row)
    pq.write_table(
        pa.table({name: [row.get(name) for row in flat] for name in names}),
        tmp_path / "flat.parquet",
    )
    told = read_manifest(tmp_path / "m.jsonl")
    assert read_manifest(tmp_path / "struct.parquet") == told
    assert read_manifest(tmp_path / "flat.parquet") == told


def test_types_of_parquet_that_json_lacks(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "m.parquet",
        image=["a", "b"],
        seen=[date(2026, 1, 2), None],
        price=pa.array([Decimal("1.50"), Decimal("2.00")]),
        weight=[float("nan"), 2.5],
        big=[2**60, 1],
    )
    rows = read_manifest(path)
    assert rows[0].payload == {"seen": "2026-01-02", "price": 1.5, "big": str(2**60)}
    assert rows[1].payload == {"price": 2.0, "weight": 2.5, "big": 1}


def test_what_is_wrong_with_a_parquet_is_said_by_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "m.parquet", image=["a", None, "a"], caption=["x", "y", "z"])
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    assert "row 2: `image` must be a path or URL, found None" in str(error.value)
    assert "row 3: an image id that occurs more than once: a (first in row 1)" in str(error.value)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match="not Parquet, or damaged"):
        read_manifest(path)


def write_row(path: Path, row: dict[str, str]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text(json.dumps(row))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([list(row), list(row.values())])
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_columns_of_other_names(tmp_path: Path, suffix: str) -> None:
    row = {"file": "a.jpg", "sku": "x1", "text": "a sofa", "rot": "no"}
    path = write_row(tmp_path / f"m.{suffix}", row)
    names = {"image": "file", "image_id": "sku", "caption": "text"}
    (read,) = open_manifest(path, columns=names)
    assert (read.image_id, read.caption) == ("x1", "a sofa")
    assert read.location == str(tmp_path / "a.jpg")
    assert read.payload == {"rot": "no"}
    with pytest.raises(ManifestError, match="no column `photo` to be `image`; there are: `file`"):
        open_manifest(path, columns={"image": "photo"})


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_names_of_columns_can_change_places_but_not_meet(tmp_path: Path, suffix: str) -> None:
    row = {"image": "a sofa", "file": "a.jpg", "caption": "b.jpg"}
    path = write_row(tmp_path / f"m.{suffix}", row)
    (read,) = open_manifest(path, columns={"image": "caption", "caption": "image"})
    assert (read.image_id, read.caption, read.payload) == ("b.jpg", "a sofa", {"file": "a.jpg"})
    with pytest.raises(ManifestError, match="columns 1, 2 are all called `image`"):
        open_manifest(path, columns={"image": "file"})


def write_embeddings(folder: Path, parts: list[np.ndarray[Any, Any]]) -> Path:
    """As clip-retrieval lays them out; of each part one image per row."""
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    for number, part in enumerate(parts):
        np.save(folder / f"img_emb/img_emb_{number}.npy", part)
        names = [f"{number}-{row}.jpg" for row in range(len(part))]
        write_parquet(
            folder / f"metadata/metadata_{number}.parquet", image_path=names, caption=names
        )
    return folder


def test_embeddings_are_found_where_they_lie(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # more than nine parts: their numbers count, not their names' order
    parts = [rng.normal(size=(3, 5)).astype(np.float16) for _ in range(11)]
    rows = list(open_embeddings(write_embeddings(tmp_path / "e", parts), tmp_path))
    assert [row.image_id for row in rows[:4]] == ["0-0.jpg", "0-1.jpg", "0-2.jpg", "1-0.jpg"]
    assert rows[0].location == str(tmp_path / "0-0.jpg")
    assert rows[-1].caption == "10-2.jpg"
    for row, stored in zip(rows, np.concatenate(parts).astype(np.float32), strict=True):
        assert row.embedding is not None
        found = row.embedding.read()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, stored / np.linalg.norm(stored), rtol=1e-6)


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_an_embedding_without_a_direction_is_none(tmp_path: Path, value: float) -> None:
    part = np.full((1, 4), value, np.float32)
    (row,) = open_embeddings(write_embeddings(tmp_path / "e", [part]))
    assert row.embedding is not None
    with pytest.raises(InvalidEmbedding, match="zero or not finite"):
        row.embedding.read()


def test_embeddings_that_do_not_fit_their_rows_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = write_embeddings(tmp_path / "e", [rng.normal(size=(3, 5)).astype(np.float32)])
    array = folder / "img_emb/img_emb_0.npy"
    for shape, sentence in (
        ((2, 5), "metadata_0.parquet has more rows than"),
        ((4, 5), "img_emb_0.npy has more rows than"),
        ((15,), r"float32 of shape \(15,\)"),
    ):
        np.save(array, np.ones(shape, np.float32))
        with pytest.raises(ManifestError, match=sentence):
            open_embeddings(folder)
    array.write_bytes(b"no array")
    with pytest.raises(ManifestError, match="is no array of numpy's"):
        open_embeddings(folder)
    array.rename(array.with_name("img_emb_7.npy"))
    with pytest.raises(ManifestError, match="number 0 has only one of them"):
        open_embeddings(folder)
    with pytest.raises(ManifestError, match="holds no embeddings"):
        open_embeddings(tmp_path)


def test_rows_on_disk_are_the_rows_and_can_be_iterated_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        "".join(
            json.dumps({"image": f"{n}.jpg", "attributes": {"n": n % 7, "c": f"{n % 3}"}}) + "\n"
            for n in range(2500)
        )
    )
    rows = open_manifest(tmp_path / "m.jsonl")
    assert len(rows) == len(list(rows)) == 2500
    assert all(a == b for a, b in zip(rows, rows, strict=True))
    assert rows.attributes.schema([], None) == schema_of([r.attributes for r in rows], [], None)
    assert ImageRow("7.jpg", "") in rows
    assert ImageRow("x.jpg", "") not in rows


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("a/b.png", "a.png", "a-b/c.png", "Z.png", "b/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if not (tmp_path / name).exists():
            (tmp_path / name).touch()
    in_order = [str(p) for p in sorted(tmp_path.rglob("*.png")) if p.is_file()]
    assert [row.location for row in read_folder(tmp_path)] == in_order
    assert len(open_folder(tmp_path)) == len(in_order)


def test_a_map_on_disk_keeps_the_first_value_and_the_order() -> None:
    on_disk = DiskMap()
    for number in range(3000):
        assert on_disk.setdefault(f"{number}", b"%d" % number) == b"%d" % number
    assert on_disk.setdefault("7", b"other") == b"7"
    assert (len(on_disk), "7" in on_disk, "x" in on_disk) == (3000, True, False)
    assert list(on_disk) == [f"{number}" for number in range(3000)]
    assert on_disk.keys() & {"5", "x"} == {"5"}
    with pytest.raises(KeyError):
        on_disk["x"]
