"""Names that a gallery can hold: those that an address and a JSON path can say."""

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from models.contracts.gallery import attribute_key, is_attribute_name, is_image_id


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a\nb", "a\0", "\x7f", "\ud800", "x" * 513], ids=ascii
)
def test_what_no_address_can_say_is_no_id(name: str) -> None:
    assert not is_image_id(name)


@pytest.mark.parametrize("name", ["", '"', '3" tape', "a\\b", "a\nb", "\udfff"], ids=ascii)
def test_what_no_json_path_can_say_is_no_attribute(name: str) -> None:
    assert not is_attribute_name(name)


@pytest.fixture(scope="module")
def engine() -> QdrantClient:
    return QdrantClient(":memory:")


@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from(" .[]'#?*é猫-_0a") | st.characters(codec="utf-8"), max_size=12))
@example("size.eu")
@example("sizes[0]")
@example("größe")
@example("it's")
def test_every_attribute_that_has_a_name_is_found_by_it(engine: QdrantClient, name: str) -> None:
    if not is_attribute_name(name):
        return
    engine.delete_collection("named")
    engine.create_collection("named", vectors_config={})
    payload = {"attributes": {name: "red", f"{name}x": "blue"}}
    engine.upsert("named", [models.PointStruct(id=1, vector={}, payload=payload)])
    for value, found in (("red", 1), ("blue", 0)):
        wanted = models.FieldCondition(
            key=attribute_key(name), match=models.MatchValue(value=value)
        )
        assert engine.count("named", models.Filter(must=[wanted])).count == found
