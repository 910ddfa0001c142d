"""Hostile input: whatever is sent, the answer is one of the 4xx with a sentence that says why."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.app.api.http.test_api import REFERENCE, ask, assert_problem
from tests.hostile import fault_of, hostile_request

JSON = {"content-type": "application/json"}
HUGE = ["9" * 30, "1" + "0" * 400, "9" * 5000]  # beyond 64 bit, beyond floats, beyond Python's own
DEEP = "[" * 100_000


def send(client: TestClient, fields: str) -> Any:
    """A search in JSON as it is written, which need not be JSON at all."""
    reference = f'"reference_image": {{"image_id": "{REFERENCE}"}}, "modification_text": "blue"'
    return client.post("/search", content=f"{{{reference}, {fields}}}", headers=JSON)


def fill_in(client: TestClient, **fields: str) -> Any:
    """A search as a form."""
    form = {"reference_image_id": REFERENCE, "modification_text": "blue"}
    return client.post("/search", data=form | fields)


@pytest.mark.parametrize("number", HUGE)
def test_numbers_beyond_what_can_be_meant(client: TestClient, number: str) -> None:
    for field in ("top_k", "retrieval_depth", "rerank_depth", "timeout_ms", "rerank_weight"):
        for value in (number, f"-{number}"):
            assert_problem(send(client, f'"{field}": {value}'), 422, "invalid-request")
            assert_problem(fill_in(client, **{field: value}), 422, "invalid-request", field)
    ranges = (f'{{"gte": {number}}}', f'{{"lt": -{number}}}') if len(number) > 308 else ()
    for value in (number, f"[-{number}]", *ranges):
        condition = f'{{"price": {value}}}'
        assert_problem(send(client, f'"filter": {condition}'), 422, "invalid-request")
        assert_problem(fill_in(client, filter=condition), 422, "invalid-request")
        browsed = client.get("/gallery/images", params={"filter": condition[:4000]})
        assert_problem(browsed, 422, "invalid-request", "filter")
    for field, value in (("among", f"[{number}]"), ("weights", f'{{"text": {number}}}')):
        assert_problem(send(client, f'"{field}": {value}'), 422, "invalid-request")
        assert_problem(fill_in(client, **{field: value}), 422, "invalid-request")


def test_a_bound_is_named(client: TestClient) -> None:
    for field, bound in (
        ("top_k", "10000"),
        ("retrieval_depth", "10000"),
        ("rerank_depth", "1000"),
    ):
        assert_problem(ask(client, **{field: 10**30}), 422, "invalid-request", field, bound)
    assert_problem(ask(client, filter={"price": 2**63}), 422, "invalid-request", "64 bit")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number(client: TestClient, number: str) -> None:
    """`NaN` is no JSON, and would match nothing without a word."""
    for condition in (f'{{"price": {number}}}', f'{{"price": {{"gte": {number}}}}}'):
        assert_problem(send(client, f'"filter": {condition}'), 422, "invalid-request")
        assert_problem(fill_in(client, filter=condition), 422, "invalid-request", "filter")
        browsed = client.get("/gallery/random", params={"filter": condition})
        assert_problem(browsed, 422, "invalid-request", "filter")
    for field, value in (("rerank_weight", number), ("weights", f'{{"text": {number}}}')):
        assert_problem(send(client, f'"{field}": {value}'), 422, "invalid-request")
        assert_problem(fill_in(client, **{field: value}), 422, "invalid-request", field)


def test_nesting_without_an_end(client: TestClient) -> None:
    for body in (DEEP, '{"a":' * 100_000, f'{{"filter": {DEEP}'):
        answer = client.post("/search", content=body, headers=JSON)
        assert_problem(answer, 422, "invalid-request", "the body is not JSON", "recursion")
    for field in ("filter", "among", "weights", "intent"):
        answer = fill_in(client, **{field: DEEP})
        assert_problem(answer, 422, "invalid-request", f"`{field}` is not JSON", "recursion")
    browsed = client.get("/gallery/images", params={"filter": DEEP[:4000]})
    assert_problem(browsed, 422, "invalid-request", "filter", "recursion")


def test_text_that_is_no_unicode(client: TestClient) -> None:
    half = '"\\ud800"'  # of a pair: no text can hold it alone
    for fields in (
        f'"filter": {{"colour": {half}}}', f'"filter": {{{half}: 1}}', f'"among": [{half}]',
        f'"intent": {{"target": {half}}}', f"{half}: 1",
    ):  # fmt: skip
        assert_problem(send(client, fields), 422, "invalid-request", "the body is not JSON")
    for reference in (f'{{"base64": {half}}}', f'{{"image_id": {half}}}'):
        body = f'{{"reference_image": {reference}, "modification_text": "blue"}}'
        answer = client.post("/search", content=body, headers=JSON)
        assert_problem(answer, 422, "invalid-request", "the body is not JSON")
    for raw in (b"\xff", '{"modification_text": "é"}'.encode("latin-1"), "{}".encode("utf-16")):
        answer = client.post("/search", content=raw, headers=JSON)
        assert_problem(answer, 422, "invalid-request", "the body is not JSON")


@pytest.mark.parametrize("text", ["é", "data:image/png;base64,é", "AAA", "A===", "\0", "data:"])
def test_base64_that_is_none(client: TestClient, text: str) -> None:
    answer = ask(client, reference_image={"base64": text})
    assert_problem(answer, 422, "invalid-reference-image", "image")


@pytest.mark.parametrize("charset", ["undefined", "punycode", "utf-7", "unicode_escape", "utf-16"])
def test_forms_in_other_charsets(client: TestClient, charset: str) -> None:
    """A form's fields are UTF-8; Python's own codecs are refused."""
    body = b'--b\r\nContent-Disposition: form-data; name="modification_text"\r\n\r\nx\r\n--b--\r\n'
    for name in (charset, charset.upper(), f'"{charset}"'):
        kind = {"content-type": f"multipart/form-data; boundary=b; charset={name}"}
        answer = client.post("/search", content=body, headers=kind)
        assert_problem(answer, 422, "invalid-request", "UTF-8", name.strip('"'))
    named = {"content-type": "multipart/form-data; boundary=b; charset=UTF-8"}
    assert "exactly one" in client.post("/search", content=body, headers=named).text


def test_numbers_up_to_the_bounds_are_taken(client: TestClient) -> None:
    everything = ask(client, filter={"price": {"gte": -(2**63), "lt": 1e300}})
    assert everything.status_code == 200, everything.text
    assert everything.json()["coverage"]["candidates"] == 100
    nothing = send(client, f'"filter": {json.dumps({"price": 2**63 - 1})}')
    assert nothing.json()["results"] == []


@hypothesis_settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_no_request_is_answered_with_a_mistake_of_ours(client: TestClient, seed: int) -> None:
    """`python -m tests.benchmarks.hostile` sends many more, to a process of their own."""
    asked = hostile_request(seed, [REFERENCE, "test-000001", "test-000002"])
    assert fault_of(asked.sent_by(client)) is None, asked
