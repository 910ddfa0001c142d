"""Reading folders and manifests: what is understood, and what is refused with line and reason."""

import json
from pathlib import Path

import pytest

from models.manifest import ManifestError, read_folder, read_manifest


def test_a_folder_is_read_in_a_stable_order_with_relative_ids(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [row.image_id for row in read_folder(tmp_path)] == ["a.png", "b.JPG", "sub/c.webp"]


def test_a_file_whose_name_cannot_be_an_id_is_named(tmp_path: Path) -> None:
    for name in ("a.png", "b\n.png"):
        (tmp_path / name).touch()
    with pytest.raises(ManifestError, match=r"rename 'b\\n\.png': an image's id must be text"):
        read_folder(tmp_path)


def test_jsonl_and_csv_say_the_same(tmp_path: Path) -> None:
    row = {
        "image": "x/1.jpg", "image_id": "one", "caption": "a sofa", "sku": "77",
        "attributes": {"category": "sofa", "colour": ["red", "blue"], "price": 19.5, "new": True},
    }  # fmt: skip
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n\n")
    (tmp_path / "m.csv").write_text(
        "image,image_id,caption,sku,attributes.category,attributes.colour,attributes.price,"
        "attributes.new,attributes.empty\nx/1.jpg,one,a sofa,77,sofa,red|blue,19.5,true,\n"
    )
    (jsonl,), (csv,) = read_manifest(tmp_path / "m.jsonl"), read_manifest(tmp_path / "m.csv")
    assert jsonl == csv
    assert jsonl.location == str(tmp_path / "x/1.jpg")
    assert jsonl.payload == {"sku": "77"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"image": "a.jpg"}\n{oops', "line 2: not JSON"),
        ("[1]", "line 1: expected an object"),
        ('{"picture": "a.jpg"}', "line 1: `image` must be"),
        ('{"image": "a.jpg", "image_id": ""}', "line 1: `image_id` must be"),
        ('{"image": "a.jpg", "image_id": "a\\nb"}', "line 1: `image_id` must be"),
        ('{"image": "a.jpg", "image_id": ".."}', "nor `..`, found '..'"),
        ('{"image": "a.jpg", "attributes": {"3\\"": 1}}', "an attribute's name must not be empty"),
        ('{"image": "a.jpg", "caption": 3}', "line 1: `caption` must be"),
        ('{"image": "a.jpg", "attributes": [1]}', "line 1: `attributes` must be"),
        ('{"image": "a.jpg", "attributes": {"x": {"y": 1}}}', "attribute `x` must be"),
        ('{"image": "a.jpg"}\n{"image": "a.jpg"}', "more than once: a.jpg"),
        ("", "holds no rows"),
    ],
)
def test_bad_manifests_are_refused_with_a_sentence(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(text)
    with pytest.raises(ManifestError, match=complaint):
        read_manifest(path)


def test_missing_things_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no manifest at"):
        read_manifest(tmp_path / "none.jsonl")
    (tmp_path / "m.xlsx").touch()
    with pytest.raises(ManifestError, match=r"ends in \.jsonl or \.csv"):
        read_manifest(tmp_path / "m.xlsx")
    with pytest.raises(ManifestError, match="is not a folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(ManifestError, match="holds no files"):
        read_folder(tmp_path)
