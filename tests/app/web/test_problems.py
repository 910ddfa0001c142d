"""Errors nobody expected: a problem document with the request's id, and one line in the log."""

from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from app.web import middleware, problems
from app.web.request_body import BodyLimits
from tests.app.api.http.test_api import assert_problem


async def _breaks_off() -> AsyncIterator[str]:
    yield "half of it"
    raise RuntimeError("a mistake of ours, later")


@pytest.fixture(scope="module")
def faulty() -> Iterator[TestClient]:
    app = FastAPI()
    middleware.install(app, BodyLimits(1000, 2333))
    problems.install(app)

    @app.get("/at-once")
    def at_once() -> None:
        raise RuntimeError("a mistake of ours")

    @app.get("/later")
    def later() -> StreamingResponse:
        return StreamingResponse(_breaks_off())

    with TestClient(app) as client:
        yield client


def test_a_mistake_of_ours_is_answered_with_the_requests_id_and_logged_once(
    faulty: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = faulty.get("/at-once", headers={"X-Request-ID": "mine-9"})
    assert_problem(answer, 500, "internal", "the log has the details")
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "mine-9"
    assert "a mistake of ours" not in answer.text
    assert [record.message for record in caplog.records] == ["unexpected error"]
    assert "a mistake of ours" in caplog.text


def test_an_answer_that_has_begun_is_broken_off(faulty: TestClient) -> None:
    with pytest.raises(RuntimeError, match="later"):
        faulty.get("/later")
