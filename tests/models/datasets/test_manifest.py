"""Reading folders and manifests: what is understood, and what is refused with line and reason."""

import json
import re
from pathlib import Path

import pytest

from models.datasets.manifest import ManifestError, read_folder, read_manifest
from models.datasets.rows import passed_through


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


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        ("image;caption\na.jpg;b\n", ["line 1: the columns are separated by semicolons"]),
        ("image\tcaption\na.jpg\tb\n", ["line 1: the columns are separated by tabs"]),
        ("\n\nfoto,caption\na.jpg,b\n", ["line 3: no column is called `image`.*`foto`, `caption`"]),
        (
            "Image,IMAGE_ID, caption,Attributes.Colour,attributes\na.jpg,1,c,red,x\n",
            [
                "has 5 problems",
                "line 1: column 1: `Image` should be `image`",
                "line 1: column 2: `IMAGE_ID` should be `image_id`",
                "line 1: column 3: ` caption` should be `caption`",
                "line 1: column 4: `Attributes.Colour` should be `attributes.Colour`",
                "line 1: column 5: `attributes` should name one: `attributes.colour`",
            ],
        ),
        ("image,sku,sku\na.jpg,1,2\n", ["line 1: columns 2, 3 are all called `sku`"]),
        (
            'image,caption\n"a.jpg","two\nlines"\nb.jpg,c,d\n,x\na.jpg\n',
            [
                "has 3 problems",
                "line 4: column 3: 'd' stands below no name of a column",
                "line 5: `image` must be a path or URL, found None",
                r"line 6: .* more than once: a.jpg \(first in line 2\)",
            ],
        ),
        (
            'image,caption\na.jpg,"b\nc.jpg,d\n',
            ["line 2: a double quote is opened and never closed"],
        ),
        ('image,caption\na.jpg,"b"c\nc.jpg,d\n', ["line 2: not CSV .*quotes in quoted values"]),
    ],
)
def test_all_that_is_wrong_with_a_csv_is_said_at_once(
    tmp_path: Path, text: str, complaints: list[str]
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    for complaint in complaints:
        assert re.search(complaint, str(error.value)), str(error.value)


def test_trailing_commas_are_no_columns(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image,sku,,\na.jpg,7,,\n,,,\nb.jpg\n")
    assert [row.payload for row in read_manifest(tmp_path / "m.csv")] == [{"sku": "7"}, {}]


def test_all_that_is_wrong_with_a_jsonl_is_said_at_once(tmp_path: Path) -> None:
    rows = [
        '{"Image": "a.jpg", "Caption": "x"}', '{"Image": "b.jpg", "attributes": {"c": [1]}}',
        '{"image": "c.jpg", "price": NaN}', '{"image": "d.jpg", "caption": "half \\ud83d"}',
        "[" * 100_000 + "]" * 100_000, '{"image": "e.jpg", "image_id": true}', '{"image": 7}',
        '{"image": "f.jpg", "x": ' + "[" * 17 + "]" * 17 + "}",
    ]  # fmt: skip
    (tmp_path / "m.jsonl").write_text("\n".join(rows + ["{}"] * 100))
    with pytest.raises(ManifestError) as error:
        read_manifest(tmp_path / "m.jsonl")
    said = str(error.value).splitlines()
    assert said[0].endswith("m.jsonl has 109 problems:")
    assert said[-1] == "  … and 89 more"
    for line, start in enumerate(
        [
            "line 1: `Image` should be `image`",
            "line 1: `Caption` should be `caption`",
            "line 2: attribute `c` must be text, a number, true/false or a list",
            "line 3: not JSON (it has no NaN; a missing value is null)",
            "line 4: not JSON ('utf-8' codec can't encode",
            "line 5: not JSON (",
            "line 6: `image_id` must be text of 1 to 512 characters",
            "line 7: `image` must be a path or URL, found 7",
            "line 8: not JSON (that could be stored: nested more than 16 levels deep)",
            "line 9: `image` must be a path or URL, found None",
        ],
        start=1,
    ):
        assert said[line].startswith(f"  {start}")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_other_encodings_than_utf_8_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    text = {
        "csv": "image,caption\na.jpg,weiße Stühle\nb.jpg,x\nc.jpg,Möbel\n",
        "jsonl": '\n{"image": "a.jpg", "caption": "weiße Stühle"}\n'
        '{"image": "b.jpg"}\n{"image": "c.jpg", "caption": "Möbel"}\n',
    }[suffix]
    path.write_text(text, encoding="utf-8-sig")
    assert [row.caption for row in read_manifest(path)][::2] == ["weiße Stühle", "Möbel"]
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    assert "has 2 problems" in str(error.value)
    place = text.splitlines()[1].index("ß") + 1
    assert f"line 2: not UTF-8 at character {place} (in Latin-1" in str(error.value)
    assert "weiße" in str(error.value)
    assert "line 4: not UTF-8" in str(error.value)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_text(text, encoding=encoding)
        with pytest.raises(ManifestError, match="not UTF-8 but UTF-16.*save it as text in UTF-8"):
            read_manifest(path)


def test_columns_that_are_to_be_attributes(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"image": "a.jpg", "size": 38, "attributes": {"hue": "red"}, "box": {"x": 1}}\n'
        '{"image": "b.jpg", "size": "M", "hue": "blue", "tags": ["new", "old"]}\n'
    )
    assert passed_through(read_manifest(path)) == ["size", "hue", "tags"]
    rows = read_manifest(path, ("size", "tags"))
    assert [row.attributes for row in rows] == [
        {"hue": "red", "size": "38"}, {"size": "M", "tags": ["new", "old"]},
    ]  # fmt: skip
    assert [row.payload for row in rows] == [{"box": {"x": 1}}, {"hue": "blue"}]
    for wanted, sentence in (
        (("hue",), "two columns for the attribute `hue`"),
        (("box",), "line 1: attribute `box` must be text"),
        (("image",), "no column `image` to make an attribute of; there are: box, hue, size, tags"),
    ):
        with pytest.raises(ManifestError, match=sentence):
            read_manifest(path, wanted)
