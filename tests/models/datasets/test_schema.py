"""Attributes: one kind each, and what is advertised is what is stored is what a filter finds."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client.local.payload_filters import check_filter

from indexer.gallery.server.reader import qdrant_filter
from models.contracts.gallery import AttributeValue, GalleryImage
from models.datasets.manifest import ImageRow, read_manifest
from models.datasets.schema import AttributeCounter, SchemaError, guessed, number_of, schema_of

Attributes = dict[str, AttributeValue]


def column(*texts: str) -> list[AttributeValue | None]:
    """The values of a CSV's column; None: absent."""
    images = [{"x": cell} if (cell := guessed(text)) else {} for text in texts]
    counter = AttributeCounter()
    for cells in images:
        counter.add_cells(cells)
    return [counter.typed(cells).get("x") for cells in images]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["5", "2.5", "-1e3"], [5, 2.5, -1000.0]),
        (["36", "M"], ["36", "M"]),
        (["38", "38|40"], ["38", ["38", "40"]]),
        (["1", "007"], ["1", "007"]),
        (["1", "+5"], ["1", "+5"]),
        (["1", "1e400", "Infinity"], ["1", "1e400", "Infinity"]),
        (["1", "NaN"], ["1", "NaN"]),
        (["1_000", "1,5", "٣"], ["1_000", "1,5", "٣"]),
        ([str(2**53), str(-(2**53))], [2**53, -(2**53)]),
        (["1", str(2**53 + 1)], ["1", str(2**53 + 1)]),
        (["1", "9" * 5000], ["1", "9" * 5000]),
        (["true", "FALSE"], [True, False]),
        (["true", "maybe", "1"], ["true", "maybe", "1"]),
        ([" red", "red ", "red | white|red| "], ["red", "red", ["red", "white"]]),
        ([" 5 ", " ", "", "|"], [5, None, None, None]),
    ],
)
def test_a_column_has_one_kind_and_words_stay_as_they_were_written(
    texts: list[str], values: list[AttributeValue | None]
) -> None:
    found = column(*texts)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_json_says_itself_what_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"image": "1", "attributes": {"size": 38, "sku": "12", "price": 1.50, "old": true}}\n'
        '{"image": "2", "attributes": {"size": "M", "sku": "13", "price": 2, "old": null}}\n'
        '{"image": "3", "attributes": {"size": 1e400, "sku": " ", "price": "", "old": [" "]}}\n'
        '{"image": "4", "attributes": {"size": 123456789012345678901234567890, "sku": []},'
        ' "ean": 123456789012345678901234567890, "worth": [1e400, 2]}\n'
    )
    rows = read_manifest(path)
    assert [row.attributes for row in rows] == [
        {"size": "38", "sku": "12", "price": 1.5, "old": True},
        {"size": "M", "sku": "13", "price": 2},
        {"size": "1e400"},
        {"size": "123456789012345678901234567890"},
    ]
    assert rows[3].payload == {"ean": "123456789012345678901234567890", "worth": ["1e400", 2]}


def test_the_schema_is_read_from_the_images() -> None:
    facets, noun = schema_of(
        [
            {"category": "sofa", "colour": "red", "price": 5, "new": True, "setting": "snow"},
            {"category": ["sofa", "mug"], "colour": "red", "price": 2.5, "new": False},
        ],
        ["setting"],
        None,
    )
    by_name = {facet.name: facet for facet in facets}
    assert noun == "category"
    assert by_name["category"].values == ("sofa", "mug")
    assert by_name["category"].multi_valued
    assert not by_name["colour"].multi_valued
    assert by_name["setting"].context
    assert (by_name["price"].kind, by_name["new"].kind) == ("number", "flag")


def test_blank_values_take_no_vocabulary_away(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("image,attributes.category\n1,sofa\n2, \n3,mug\n4,\n")
    facets, noun = schema_of([row.attributes for row in read_manifest(path)], [], None)
    assert (facets[0].values, noun) == (("sofa", "mug"), "category")


def test_a_facet_that_no_image_has_is_refused() -> None:
    with pytest.raises(SchemaError, match="no image has the attribute mood"):
        schema_of([{"colour": "red"}], ["mood"], None)


def test_a_facet_without_words_cannot_name_the_thing() -> None:
    images: list[Attributes] = [
        {"price": n, "new": True, "title": f"thing {n}", "kind": "sofa"} for n in range(300)
    ]
    for name, why in (
        ("price", "it holds numbers"),
        ("new", "it is true or false"),
        ("title", "it has more than 200 values"),
    ):
        with pytest.raises(SchemaError, match=f"{name} cannot name .*: {why}.*have words: kind"):
            schema_of(images, [], name)
    assert schema_of(images, [], "kind")[1] == "kind"


def test_endless_words_are_text_not_a_facet() -> None:
    facets, _ = schema_of([{"title": f"thing {n}"} for n in range(300)], [], None)
    assert facets[0].values == ()


# cells as catalogues have them, and worse
texts = st.sampled_from(
    ["", " ", "red", " red", "red|white", "|", "36", "36 ", "007", "38.0", "1e400", "Infinity",
     "NaN", "true", "True", "-0", "-0.0", "1e-400", "9007199254740993", "9007199254740992",
     "18446744073709551616", "5,5", '"', "M"],
) | st.text(max_size=8).filter(lambda text: "\0" not in text)  # fmt: skip
jsons = (
    texts
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.lists(texts, max_size=3)
)


def written(folder: Path, values: list[Any], as_csv: bool) -> Path:
    """A manifest with one attribute, of which each image has one of the values."""
    path = folder / ("m.csv" if as_csv else "m.jsonl")
    with path.open("w", encoding="utf-8", newline="") as file:
        if as_csv:
            csv.writer(file).writerows([["image", "attributes.x"], *enumerate(values)])
        else:
            for n, value in enumerate(values):
                row = {"image": f"{n}", "attributes": {"x": value}}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def as_stored(row: ImageRow) -> dict[str, Any]:
    return GalleryImage(
        image_id=row.image_id, content_hash="0" * 64, width=1, height=1, attributes=row.attributes
    ).model_dump(mode="json")


def has(value: Any, wanted: AttributeValue) -> bool:
    """Whether a cell of a manifest, as it was written, says this value."""
    if isinstance(value, bool):
        return value == wanted or str(value).lower() == wanted
    if isinstance(value, list):
        return wanted in [part.strip() for part in value]
    if isinstance(value, int | float):
        return json.dumps(value) == wanted if isinstance(wanted, str) else value == wanted
    if value is None:
        return False
    if isinstance(wanted, bool):
        return str(value).strip().lower() == str(wanted).lower()
    if isinstance(wanted, str):
        return wanted in [value.strip(), *(part.strip() for part in value.split("|"))]
    return number_of(value.strip()) == wanted


@settings(max_examples=60)
@given(st.data(), st.booleans())
def test_every_advertised_value_finds_exactly_the_images_that_have_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, as_csv: bool
) -> None:
    values = data.draw(st.lists(texts if as_csv else jsons, min_size=1, max_size=6))
    rows = read_manifest(written(tmp_path_factory.getbasetemp(), values, as_csv))
    facets, _ = schema_of([row.attributes for row in rows], [], None)
    for facet in facets:
        stored = [as_stored(row) for row in rows]
        offered = facet.values or {p["attributes"]["x"] for p in stored if p["attributes"]}
        for wanted in offered:
            asked = qdrant_filter({"x": wanted}, facets)
            found = [check_filter(asked, payload, 0, {}) for payload in stored]
            assert any(found)
            assert found == [has(value, wanted) for value in values], wanted
