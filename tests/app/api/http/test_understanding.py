"""What an answer says of how the text was understood, end to end, with the shipped encoder."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

REFERENCE = "test-000000"


def ask(client: TestClient, text: str, **changes: Any) -> Any:
    body = {"reference_image": {"image_id": REFERENCE}, "modification_text": text, "top_k": 20}
    answer = client.post("/search", json=body | changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


def prices(answer: Any) -> list[float]:
    return [result["attributes"]["price"] for result in answer["results"]]


@pytest.fixture(scope="module")
def price(client: TestClient) -> float:
    """Of the reference."""
    return float(client.get(f"/gallery/images/{REFERENCE}").json()["attributes"]["price"])


def test_a_condition_on_a_number_restricts_and_keeps_everything_else(
    client: TestClient, price: float
) -> None:
    plain = ask(client, "the same but blue")
    for check in ("demote", "off"):
        asked = ask(client, "the same but blue, and cheaper", attribute_check=check)
        intent = asked["composition"]["intent"]
        assert intent["conditions"] == {"price": {"lt": price}}
        assert intent["target"] == plain["composition"]["intent"]["target"]
        assert max(prices(asked)) < price
    assert plain["composition"]["intent"]["conditions"] == {}
    assert max(prices(plain)) >= price, "or this test shows nothing"


def test_conditions_hold_beside_the_filter_of_a_client(client: TestClient, price: float) -> None:
    found = ask(client, f"under {price} €", filter={"price": {"gte": price / 2}})
    assert found["results"]
    assert all(price / 2 <= each < price for each in prices(found))


def test_a_condition_that_leaves_nothing_is_dropped_and_said(client: TestClient) -> None:
    found = ask(client, "at most 0.01 €")
    assert found["composition"]["intent"]["conditions"] == {"price": {"lte": 0.01}}
    assert len(found["results"]) == 20
    assert "nothing_fits" in found["coverage"]["reasons"]


def test_conditions_can_be_sent_back_edited(client: TestClient, price: float) -> None:
    intent = ask(client, "cheaper")["composition"]["intent"]
    roles = {name: intent[name] for name in ("target", "preserve", "desired", "forbidden")}
    kept = ask(client, "cheaper", intent=roles | {"conditions": intent["conditions"]})
    assert max(prices(kept)) < price
    assert max(prices(ask(client, "cheaper", intent=roles))) >= price
    wrong = roles | {"conditions": {"colour": {"lt": 3}}}
    body = {"reference_image": {"image_id": REFERENCE}, "modification_text": "x", "intent": wrong}
    refused = client.post("/search", json=body)
    assert refused.status_code == 422
    assert "holds no numbers" in refused.json()["detail"]


def test_phrases_say_where_they_come_from(client: TestClient, catalogue: Path) -> None:
    intent = ask(client, "the same in navy")["composition"]["intent"]
    sources = {(one["role"], one["source"]) for one in intent["provenance"]}
    assert sources == {("preserve", "known"), ("desired", "said"), ("forbidden", "known")}
    (said,) = (one for one in intent["provenance"] if one["source"] == "said")
    assert (said["phrase"], said["said"], said["how"]) == (
        "blue", {"text": "navy", "start": 12, "end": 16}, "colour",
    )  # fmt: skip
    picture = (catalogue.parent / "images" / f"{REFERENCE}.jpg").read_bytes()
    answer = client.post(
        "/search",
        data={"modification_text": "the same in navy"},
        files={"reference_image": ("a.jpg", picture)},
    )
    seen = [
        one
        for one in answer.json()["composition"]["intent"]["provenance"]
        if one["role"] == "preserve"
    ]
    assert seen
    assert all(one["source"] == "read" and 0 < one["confidence"] <= 1 for one in seen)
