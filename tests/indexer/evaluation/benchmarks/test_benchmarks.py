"""What holds for every published benchmark, on tiny files of its layout and on the real ones."""

import json
from pathlib import Path

import pytest

from indexer.evaluation.benchmarks import BENCHMARKS
from indexer.evaluation.types import BenchmarkError
from models.datasets.manifest import read_manifest
from tests.indexer.evaluation.benchmarks.published import WRITERS, at_hand, write_images, write_json

FILES = {  # benchmark, split → the file that holds its queries, a field of them, its repository
    ("cirr", "val"): ("captions/cap.rc2.val.json", "target_hard", "Cuberick-Orion/CIRR"),
    ("circo", "val"): ("annotations/val.json", "gt_img_ids", "miccunifi/CIRCO"),
    ("fashioniq", "val"): ("captions/cap.shirt.val.json", "captions", "XiaoxiaoGuo/fashion-iq"),
    ("genecis", "focus_object"): ("focus_object.json", "gallery", "facebookresearch/genecis"),
}
each = pytest.mark.parametrize(
    ("name", "split", "file", "key", "repository"), [(*k, *v) for k, v in FILES.items()]
)


@each
def test_a_missing_file_is_named_with_its_repository(
    name: str, split: str, file: str, key: str, repository: str, tmp_path: Path
) -> None:
    folder = WRITERS[name](tmp_path)
    (folder / file).unlink()
    with pytest.raises(BenchmarkError, match=repository) as error:
        BENCHMARKS[name].read(folder, split)
    assert str(folder / file) in str(error.value)


@each
def test_a_missing_key_is_named_with_its_entry(
    name: str, split: str, file: str, key: str, repository: str, tmp_path: Path
) -> None:
    folder = WRITERS[name](tmp_path)
    entries = json.loads((folder / file).read_text())
    del entries[-1][key]
    write_json(folder / file, entries)
    expected = f"entry {len(entries) - 1}: `{key}` is missing; .*{repository}"
    with pytest.raises(BenchmarkError, match=expected):
        BENCHMARKS[name].read(folder, split)


@each
@pytest.mark.parametrize("value", [None, 3.5, True, "", [], [None], {}, [[]]])
def test_a_value_of_another_type_is_refused(
    name: str, split: str, file: str, key: str, repository: str, value: object, tmp_path: Path
) -> None:
    folder = WRITERS[name](tmp_path)
    entries = json.loads((folder / file).read_text())
    write_json(folder / file, [{**entries[0], key: value}])
    with pytest.raises(BenchmarkError, match=rf"entry 0: `{key}` must be .*{repository}"):
        BENCHMARKS[name].read(folder, split)


@each
@pytest.mark.parametrize("content", ['[{"pairid": 1', "{}", "[]", "[1]", "3", '"text"'])
def test_a_file_of_another_shape_is_refused(
    name: str, split: str, file: str, key: str, repository: str, content: str, tmp_path: Path
) -> None:
    folder = WRITERS[name](tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(BenchmarkError, match=repository):
        BENCHMARKS[name].read(folder, split)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_unknown_split_lists_the_splits(name: str, tmp_path: Path) -> None:
    splits = ", ".join(BENCHMARKS[name].splits)
    with pytest.raises(BenchmarkError, match=f"has no split 'train'; there are: {splits}"):
        BENCHMARKS[name].read(tmp_path, "train")
    with pytest.raises(BenchmarkError, match=splits):
        BENCHMARKS[name].gallery(tmp_path, tmp_path, "train")


@each
def test_gallery_rows_are_a_manifest_that_holds_what_the_queries_name(
    name: str, split: str, file: str, key: str, repository: str, tmp_path: Path
) -> None:
    folder, images = WRITERS[name](tmp_path / "a"), write_images(tmp_path / "i", name, split)
    rows = BENCHMARKS[name].gallery(folder, images, split)
    manifest = tmp_path / "elsewhere" / "images.jsonl"
    manifest.parent.mkdir()
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {row.image_id: Path(row.location) for row in read_manifest(manifest)}
    assert len(found) == len(rows)
    assert all(path.is_file() for path in found.values())
    for query in BENCHMARKS[name].read(folder, split).queries:
        assert {query.reference_id, *query.relevant_ids, *query.among} <= found.keys()
    assert rows == BENCHMARKS[name].gallery(folder, images, split)


@each
def test_missing_images_are_counted_and_named(
    name: str, split: str, file: str, key: str, repository: str, tmp_path: Path
) -> None:
    folder, images = WRITERS[name](tmp_path / "a"), write_images(tmp_path / "i", name, split)
    total = {"cirr": 8, "circo": 6, "fashioniq": 5, "genecis": 16}[name]
    gone = {"cirr": "val/dev-1.png", "fashioniq": "B1.jpg"}.get(name, f"{3:012d}.jpg")
    (images / gone).unlink()
    with pytest.raises(BenchmarkError, match=f"1 of {total} images are missing, first .*{gone}"):
        BENCHMARKS[name].gallery(folder, images, split)
    with pytest.raises(BenchmarkError, match=rf"{total} of {total} .*; they are from \w+"):
        BENCHMARKS[name].gallery(folder, tmp_path / "nowhere", split)


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("cirr", "val", 2 * 4181),
        ("cirr", "test1", 2 * 4148),
        ("circo", "val", 220),
        ("circo", "test", 800),
        ("fashioniq", "val", 2017 + 2038 + 1961),
        ("genecis", "focus_object", 1960),
        ("genecis", "change_object", 1960),
    ],
)
def test_the_real_annotations(name: str, split: str, count: int) -> None:
    benchmark = BENCHMARKS[name].read(at_hand(name), split)
    assert benchmark.name == f"{name}-{split}"
    assert len(benchmark.queries) == len({q.query_id for q in benchmark.queries}) == count
    names = [measure.name for measure in benchmark.measures]
    assert len(set(names)) == len(names)
    if names:
        assert benchmark.headline in names
        assert {part for parts in benchmark.averages.values() for part in parts} <= set(names)
    assert benchmark.notes
    for query in benchmark.queries:
        assert query.text == query.text.strip()
        assert 1 <= len(query.text) <= 500
        assert bool(query.relevant_ids) == bool(names)
        assert not query.among or set(query.relevant_ids) <= set(query.among)
