"""`POST /search/stream` and re-ranking end to end: real servers, real HTTP, a stub
reranker."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.main import create_app
from app.api.settings import ApiSettings, WorkerSettings
from tests.app.api.stub_worker import (
    StubWorker,
    rerank_all,
    rerank_two_then_die,
    rerank_two_then_hang,
    serving,
    stub_worker,
)
from tests.conftest import BuiltGallery

REFERENCE = "test-000000"
BODY = {
    "reference_image": {"image_id": REFERENCE},
    "modification_text": "the same but blue",
    "rerank_depth": 6,
    "top_k": 8,
}


@dataclass(frozen=True)
class Service:
    """A running API and its worker."""

    http: httpx.Client
    worker: StubWorker


@pytest.fixture(scope="module")
def running(built_gallery: BuiltGallery) -> Iterator[Service]:
    """The API with a stub for a worker."""
    with stub_worker() as (worker, worker_url):
        settings = ApiSettings(
            gallery=built_gallery.gallery,
            image_store=built_gallery.image_store,
            worker=WorkerSettings(urls=(worker_url,)),
            timeout_ms=20_000,
            reranker_composes=True,
            compose_timeout_ms=5000,
            rerank_weight=1.0,
        )
        with (
            serving(create_app(settings)) as url,
            httpx.Client(base_url=url, timeout=30) as http,
        ):
            give_up = time.monotonic() + 60
            while http.get("/readyz").status_code != 200:
                assert time.monotonic() < give_up
                time.sleep(0.05)
            yield Service(http, worker)


@pytest.fixture
def service(running: Service) -> Service:
    """With a worker on its best behaviour."""
    running.worker.rerank = rerank_all
    running.worker.dropped.clear()
    running.worker.reranked.clear()
    return running


def events(service: Service, **changes: Any) -> list[tuple[str, Any]]:
    answer = service.http.post("/search/stream", json=BODY | changes)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [parsed(block) for block in answer.text.strip().split("\n\n")]


def parsed(block: str) -> tuple[str, Any]:
    fields = dict(line.split(": ", 1) for line in block.split("\n"))
    return fields["event"], json.loads(fields["data"])


def test_events_come_in_order_and_end_with_the_answer(service: Service) -> None:
    told = events(service)
    names = [name for name, _ in told]
    assert names == ["intent", "coarse", *["progress"] * 6, "result"]
    said = [data for name, data in told if name == "progress"]
    assert said == [{"reranked": n, "of": 6} for n in range(1, 7)]
    intent, coarse, result = told[0][1], told[1][1], told[-1][1]
    assert intent["intent"]["source"] == "mllm"
    assert intent == coarse["composition"] == result["composition"]
    assert [found["retrieval_rank"] for found in coarse["results"]] == list(range(1, 9))
    assert coarse["coverage"]["reranked"] == 0
    assert coarse["models"]["reranker"] == result["models"]["reranker"] == "stub-1"


def rounded(answer: Any) -> Any:
    """The last bit of a cosine depends on where in memory its vectors happen to lie."""
    return json.loads(json.dumps(answer), parse_float=lambda number: round(float(number), 9))


def test_the_result_is_the_answer_of_search(service: Service) -> None:
    result = rounded(events(service)[-1][1])
    answer = rounded(service.http.post("/search", json=BODY).json())
    varying = ("request_id", "timings_ms")
    assert set(result) == set(answer)
    assert {k: v for k, v in result.items() if k not in varying} == {
        k: v for k, v in answer.items() if k not in varying
    }
    assert set(answer["timings_ms"]) == {
        "upload", "decode", "intent", "embed", "retrieve", "rerank", "total",
    }  # fmt: skip


def test_a_re_ranked_answer(service: Service) -> None:
    answer = service.http.post("/search", json=BODY).json()
    assert answer["coverage"] == {
        "candidates": 100, "reranked": 6, "degraded": False, "reasons": [],
    }  # fmt: skip
    head, tail = answer["results"][:6], answer["results"][6:]
    for found in head:
        assert found["score"] == pytest.approx(found["retrieval_score"] + found["rerank_score"])
    scores = [found["score"] for found in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {found["retrieval_rank"] for found in head} == set(range(1, 7))
    assert [found["rerank_score"] for found in tail] == [None, None]
    asked = service.worker.reranked[0]
    assert asked.target == "a blue sofa"
    assert [len(asked.candidates), len(asked.candidates[0].content_hash)] == [6, 64]


def test_uploads_and_gallery_images_are_sent_as_jpeg(service: Service, catalogue: Path) -> None:
    data = (catalogue.parent / "images" / f"{REFERENCE}.jpg").read_bytes()
    form = {"modification_text": "the same but blue", "rerank_depth": "3"}
    service.http.post("/search", data=form, files={"reference_image": ("a.jpg", data)})
    service.http.post("/search", json=BODY)
    sent = [asked.reference_image for asked in service.worker.reranked]
    assert len(sent) == 2
    assert all(picture.startswith(b"\xff\xd8") for picture in sent)


def test_what_was_scored_before_a_fault_counts(service: Service) -> None:
    service.worker.rerank = rerank_two_then_die
    told = events(service)
    coverage = told[-1][1]["coverage"]
    assert told[-1][0] == "result"
    assert coverage["reranked"] == 2
    assert coverage["reasons"] == ["reranker_unavailable"]
    assert coverage["degraded"]


@pytest.mark.parametrize(
    ("changes", "status", "type_"),
    [
        ({"top_k": 0}, 422, "invalid-request"),
        ({"top_k": 1000}, 422, "invalid-request"),
        ({"rerank_depth": 201}, 422, "invalid-request"),
        ({"reference_image": {"image_id": "nobody"}}, 404, "unknown-image"),
        ({"timeout_ms": 1}, 504, "deadline-exceeded"),
    ],
)
def test_what_is_refused_before_it_begins_has_a_status(
    service: Service, changes: dict[str, Any], status: int, type_: str
) -> None:
    answer = service.http.post("/search/stream", json=BODY | changes)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:cir:{type_}"


def test_what_fails_after_it_began_is_an_event(service: Service) -> None:
    told = events(service, filter={"size": 3})
    assert [name for name, _ in told] == ["intent", "error"]
    problem = told[-1][1]
    assert (problem["type"], problem["status"]) == ("urn:cir:invalid-filter", 422)
    assert "`size`" in problem["detail"]


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
def test_a_client_that_hangs_up_stops_the_worker(service: Service, path: str) -> None:
    service.worker.rerank = rerank_two_then_hang
    with pytest.raises(httpx.ReadTimeout):
        service.http.post(path, json=BODY, timeout=2)
    assert service.worker.dropped.wait(10)
    service.worker.rerank = rerank_all
    assert service.http.post("/search", json=BODY).json()["coverage"]["reranked"] == 6


def test_no_coarse_result_keeps_its_error(service: Service) -> None:
    answer = service.http.post("/search", json=BODY | {"timeout_ms": 1})
    assert answer.status_code == 504
