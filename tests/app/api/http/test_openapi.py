"""What `/docs` says is what the service takes: both spellings of a search, and nothing dangling."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.http.schemas import Coverage, SearchRequest
from app.web.errors import RerankerError
from tests.app.api.http.test_api import REFERENCE, ask, assert_problem


@pytest.fixture
def described(client: TestClient) -> dict[str, Any]:
    schema: dict[str, Any] = client.get("/openapi.json").json()
    return schema


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    found = set(references(described))
    assert "#/components/schemas/SearchRequest" in found
    for reference in found:
        place: Any = described
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, reference
            place = place[step]


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
def test_the_form_has_every_field_of_the_json(described: dict[str, Any], path: str) -> None:
    content = described["paths"][path]["post"]["requestBody"]["content"]
    form = content["multipart/form-data"]["schema"]["properties"]
    assert set(form) == {*SearchRequest.model_fields, "reference_image_id"}
    assert all(
        field["type"] in ("string", "integer", "number", "boolean") for field in form.values()
    )
    assert all("description" in field for field in form.values())


def test_every_field_of_the_form_is_taken(client: TestClient) -> None:
    fields: dict[str, Any] = {
        "top_k": 3, "composition": "intersection", "retrieval_depth": 20, "rerank_depth": 0,
        "timeout_ms": 20_000, "filter": {"price": {"gte": 0}}, "exclude_reference": False,
        "among": [REFERENCE, "test-000001"], "intent_source": "facets", "weights": {"text": 2},
        "rerank_weight": 0.5, "attribute_check": "off",
    }  # fmt: skip
    written = {
        name: json.dumps(value) if isinstance(value, dict | list) else str(value)
        for name, value in fields.items()
    }
    named = {"reference_image_id": REFERENCE, "modification_text": "the same but blue"}
    by_form, in_json = client.post("/search", data=named | written), ask(client, **fields)
    assert by_form.status_code == 200, by_form.text
    scores = [
        [(found["image_id"], round(found["score"], 9)) for found in answer.json()["results"]]
        for answer in (by_form, in_json)
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
    by_intent = client.post("/search", data=named | {"intent": json.dumps({"target": "a mug"})})
    assert by_intent.json()["composition"]["intent"]["source"] == "client"
    assert set(fields) | {"intent", *named} == {
        *SearchRequest.model_fields,
        "reference_image_id",
    } - {"reference_image"}
    unknown = client.post("/search", data=named | {"colour": "blue"})
    assert_problem(unknown, 422, "invalid-request", "colour")


def kinds(error: type[RerankerError]) -> Iterator[type[RerankerError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds(kind)


def test_every_reason_is_described() -> None:
    said = Coverage.model_fields["reasons"].description or ""
    words = {kind.reason for kind in kinds(RerankerError)} | {"rerank_disabled", "intent_fallback"}
    assert {word for word in words if f"`{word}`" not in said} == set()
