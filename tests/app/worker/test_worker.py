"""The worker over real HTTP: what it answers, in which order, and what it leaves undone."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from indexer.gallery.image_store import ImageStore
from tests.app.worker.conftest import (
    REDS,
    candidate,
    compose_body,
    eventually,
    jpeg,
    lines,
    metric,
    rerank_body,
    running,
    scores,
)
from tests.app.worker.fake_reranker import TOKENS, FakeReranker


def assert_problem(answer: httpx.Response, status: int, type_: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:cir:{type_}"


def in_background(pool: ThreadPoolExecutor, client: httpx.Client, body: dict[str, Any]) -> Any:
    return pool.submit(client.post, "/v1/rerank", json=body)


def test_a_compose_gives_the_intent_and_its_reranker(client: httpx.Client) -> None:
    answer = client.post("/v1/compose", json=compose_body(), headers={"x-request-id": "mine"})
    assert answer.json() == {
        "intent": {
            "target": "target of redder", "preserve": [], "desired": [], "forbidden": [],
            "source": "mllm", "reading": None, "alternatives": [], "not_understood": [],
            "conditions": {}, "provenance": [],
        },
        "reranker": "fake-1",
    }  # fmt: skip
    assert answer.headers["x-request-id"] == "mine"


def test_a_rerank_scores_every_candidate_in_chunks(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    reds = [30, 10, 90, 0, 50]
    answer = client.post("/v1/rerank", json=rerank_body(reds=reds))
    assert answer.headers["content-type"] == "application/x-ndjson"
    read = lines(answer)
    assert read[-1] == {"type": "end", "status": "complete", "failed": [], "reranker": "fake-1"}
    assert scores(read) == {f"red-{red}": pytest.approx(red / 255) for red in reds}
    assert all(len(line["scores"]) <= 2 for line in read[:-1])
    assert reranker.threads == {"device"}


def test_chunks_arrive_as_they_are_scored(client: httpx.Client, reranker: FakeReranker) -> None:
    reranker.scoring.hold()
    body = rerank_body(reds=[10, 20, 30, 40])
    with client.stream("POST", "/v1/rerank", json=body) as answer:
        arriving = answer.iter_lines()
        reranker.scoring.let_one_through()
        first = json.loads(next(arriving))  # the reranker is held in the second chunk, or before
        assert 1 <= len(first["scores"]) <= 2
        reranker.scoring.release()
        assert json.loads(list(arriving)[-1])["status"] == "complete"


def test_without_a_target_the_reranker_composes_it(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    lines(client.post("/v1/rerank", json=rerank_body(target=None, reds=[10])))
    assert ("with_target", "target of redder") in reranker.calls


def test_compose_and_rerank_of_one_query_share_the_work(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    client.post("/v1/compose", json=compose_body())
    lines(client.post("/v1/rerank", json=rerank_body(target=None, reds=[10])))
    lines(client.post("/v1/rerank", json=rerank_body(target="target of redder", reds=[10])))
    assert reranker.names().count("prefill") == 1
    assert reranker.names().count("compose") == 1
    assert reranker.names().count("with_target") == 1
    client.post("/v1/compose", json=compose_body("another text"))
    assert reranker.names().count("prefill") == 2


def test_a_candidate_is_encoded_once_however_often_it_is_scored(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    for text in ("redder", "darker"):
        assert len(scores(lines(client.post("/v1/rerank", json=rerank_body(text))))) == len(REDS)
    encoded = [red for name, reds in reranker.calls if name == "features" for red in reds]
    assert sorted(encoded) == REDS


def test_queries_take_turns(client: httpx.Client, reranker: FakeReranker) -> None:
    reranker.scoring.hold()
    with ThreadPoolExecutor(2) as pool:
        long = in_background(pool, client, rerank_body("long"))
        reranker.scoring.wait_reached()
        short = in_background(pool, client, rerank_body("short", [20, 30, 40, 50]))
        # of the long one the reference and four chunks: one in hand and three ahead
        eventually(lambda: reranker.prepared == (1 + 8) + (1 + 4))
        reranker.scoring.release()
        assert len(scores(lines(long.result()))) == 10
        assert len(scores(lines(short.result()))) == 4
    texts = [text for text, _ in reranker.chunks()]
    last_of_short = len(texts) - 1 - texts[::-1].index("short")
    assert texts.count("long") >= 5
    assert texts[last_of_short:].count("long") >= 2, texts


def test_a_compose_does_not_wait_behind_candidates(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    reranker.scoring.hold()
    with ThreadPoolExecutor(2) as pool:
        rerank = in_background(pool, client, rerank_body("long"))
        reranker.scoring.wait_reached()
        compose = pool.submit(client.post, "/v1/compose", json=compose_body("urgent"))
        eventually(lambda: metric(client, "cir_worker_queued_visual_tokens ") == 11 * TOKENS)
        reranker.scoring.release()
        assert compose.result().status_code == 200
        lines(rerank.result())
    before = reranker.names()[: reranker.names().index("compose")]
    assert before.count("score") == 1  # the one the device had in hand


def test_a_full_queue_refuses_at_the_door_and_recovers(reranker: FakeReranker, store: Path) -> None:
    cost = (1 + len(REDS)) * TOKENS
    with running(reranker, store, max_queued_visual_tokens=2 * cost) as client:
        reranker.scoring.hold()
        reranker.composing.hold()
        with ThreadPoolExecutor(10) as pool:
            compose = pool.submit(client.post, "/v1/compose", json=compose_body("first"))
            reranker.composing.wait_reached()  # holds the device, so that nothing gets done
            asked = [in_background(pool, client, rerank_body(f"text {n}")) for n in range(9)]
            eventually(lambda: sum(one.done() for one in asked) == 8)
            for refused in [one.result() for one in asked if one.done()]:
                assert_problem(refused, 429, "overloaded")
                assert int(refused.headers["retry-after"]) >= 1
            reranker.composing.release()
            reranker.scoring.release()
            assert compose.result().status_code == 200
            answered = [one.result() for one in asked if one.result().status_code == 200]
            assert [lines(one)[-1]["status"] for one in answered] == ["complete"]
        assert lines(client.post("/v1/rerank", json=rerank_body()))[-1]["status"] == "complete"


def test_a_query_larger_than_the_queue_is_taken_alone(reranker: FakeReranker, store: Path) -> None:
    with running(reranker, store, max_queued_visual_tokens=1) as client:
        assert lines(client.post("/v1/rerank", json=rerank_body()))[-1]["status"] == "complete"


def test_the_deadline_ends_a_stream_with_what_there_is(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    reranker.scoring.hold()
    with client.stream("POST", "/v1/rerank", json=rerank_body(deadline_ms=1500)) as answer:
        read = [
            json.loads(line) for line in answer.iter_lines()
        ]  # ends although the reranker hangs
    assert read[-1]["status"] == "deadline"
    reranker.scoring.release()
    assert lines(client.post("/v1/rerank", json=rerank_body("next")))[-1]["status"] == "complete"
    assert len([text for text, _ in reranker.chunks() if text == "redder"]) <= 1


def test_a_compose_past_its_deadline_is_a_timeout(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    reranker.composing.hold()
    answer = client.post("/v1/compose", json=compose_body(deadline_ms=300))
    assert_problem(answer, 504, "deadline-exceeded")


@pytest.mark.parametrize("kind", ["poison", "blind", "not_a_number"])
def test_a_bad_image_fails_alone(client: httpx.Client, reranker: FakeReranker, kind: str) -> None:
    getattr(reranker, kind).add(20)
    read = lines(client.post("/v1/rerank", json=rerank_body(reds=[10, 20, 30, 40])))
    assert set(scores(read)) == {"red-10", "red-30", "red-40"}
    (failed,) = read[-1]["failed"]
    assert failed["image_id"] == "red-20"
    assert "score" in failed["reason"]
    assert read[-1]["status"] == "complete"


def test_a_missing_or_damaged_copy_fails_alone(client: httpx.Client) -> None:
    candidates = [
        candidate(10),
        candidate(0, image_id="missing", content_hash="nowhere"),
        candidate(0, image_id="damaged", content_hash="damaged"),
        candidate(20),
    ]
    read = lines(client.post("/v1/rerank", json=rerank_body(candidates=candidates)))
    assert set(scores(read)) == {"red-10", "red-20"}
    reasons = {failed["image_id"]: failed["reason"] for failed in read[-1]["failed"]}
    assert "no re-rank copy" in reasons["missing"]
    assert "cannot be used" in reasons["damaged"]


def test_the_copy_that_is_scored_is_of_the_size_that_is_asked_for(
    client: httpx.Client, store: Path
) -> None:
    """A gallery built again at another size: neither file nor features of the old one will do."""
    ImageStore(store).put("0010", 224, jpeg(90))
    for rerank_px, red in ((448, 10), (224, 90), (448, 10)):
        body = rerank_body(candidates=[candidate(10, rerank_px=rerank_px)])
        assert scores(lines(client.post("/v1/rerank", json=body))) == {"red-10": red / 255}


def test_an_unreadable_intent_costs_a_rerank_its_target_only(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    """The question without a target serves, and what cannot be read is not composed again."""
    reranker.unreadable = True
    for _ in range(2):
        read = lines(client.post("/v1/rerank", json=rerank_body(target=None)))
        assert read[-1]["status"] == "complete"
        assert len(scores(read)) == len(REDS)
    assert_problem(client.post("/v1/compose", json=compose_body()), 422, "unreadable-intent")
    assert reranker.names().count("compose") == 1
    assert "with_target" not in reranker.names()


def test_a_reranker_that_fails_on_the_query_ends_it(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    reranker.prefill_fails = True
    (end,) = lines(client.post("/v1/rerank", json=rerank_body()))
    assert end["status"] == "failed"
    reranker.prefill_fails = False
    assert lines(client.post("/v1/rerank", json=rerank_body()))[-1]["status"] == "complete"


def test_jobs_are_counted_by_how_they_ended(client: httpx.Client, reranker: FakeReranker) -> None:
    def jobs(job: str, status: str) -> float:
        return metric(client, "cir_worker_jobs_total", f'job="{job}",status="{status}"')

    kinds = [
        ("compose", "complete"), ("compose", "deadline"), ("rerank", "complete"),
        ("rerank", "failed"),
    ]  # fmt: skip
    before = {kind: jobs(*kind) for kind in kinds}
    scored = metric(client, "cir_worker_candidates_scored_total")
    client.post("/v1/compose", json=compose_body())
    lines(client.post("/v1/rerank", json=rerank_body()))
    reranker.prefill_fails = True
    lines(client.post("/v1/rerank", json=rerank_body("another")))
    reranker.prefill_fails = False
    reranker.composing.hold()
    client.post("/v1/compose", json=compose_body("late", deadline_ms=300))
    reranker.composing.release()
    assert {kind: jobs(*kind) - count for kind, count in before.items()} == dict.fromkeys(kinds, 1)
    assert metric(client, "cir_worker_candidates_scored_total") == scored + len(REDS)


def test_a_compose_says_whether_the_reranker_failed_or_found_no_intent(
    client: httpx.Client, reranker: FakeReranker
) -> None:
    reranker.unreadable = True
    assert_problem(client.post("/v1/compose", json=compose_body()), 422, "unreadable-intent")
    reranker.prefill_fails = True
    assert_problem(client.post("/v1/compose", json=compose_body("new")), 500, "reranker-failed")


@pytest.mark.parametrize(
    ("path", "body", "images"),
    [("/v1/rerank", rerank_body("gone"), 1 + len(REDS)), ("/v1/compose", compose_body("gone"), 1)],
)
def test_what_a_client_left_is_not_done(
    client: httpx.Client, reranker: FakeReranker, path: str, body: dict[str, Any], images: int
) -> None:
    def queued() -> int:
        return int(client.get("/v1/info").json()["queued_visual_tokens"]) // TOKENS

    reranker.scoring.hold()
    cancelled = metric(client, "cir_worker_jobs_total", 'status="cancelled"')
    with ThreadPoolExecutor(1) as pool:
        staying = in_background(pool, client, rerank_body("staying", [10, 20, 30]))
        reranker.scoring.wait_reached()
        with socket.create_connection((client.base_url.host, client.base_url.port)) as leaving:
            request = client.build_request("POST", path, json=body)
            head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            leaving.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
            eventually(lambda: queued() == 3 + images)
        eventually(lambda: queued() == 3)
        assert metric(client, "cir_worker_jobs_total", 'status="cancelled"') == cancelled + 1
        reranker.scoring.release()
        assert len(scores(lines(staying.result()))) == 3
    assert "gone" not in [what for name, what in reranker.calls if name == "prefill"]
    assert queued() == 0


def test_it_is_ready_once_it_is_warm(reranker: FakeReranker, store: Path) -> None:
    reranker.warming.hold()
    with running(reranker, store, ready=False) as client:
        assert client.get("/healthz").text == "ok"
        assert client.get("/readyz").status_code == 503
        refused = client.post("/v1/compose", json=compose_body())
        assert_problem(refused, 503, "not-ready")
        assert refused.headers["retry-after"]
        reranker.warming.release()
        eventually(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/compose", json=compose_body()).status_code == 200


def test_a_failed_warm_up_is_never_ready(reranker: FakeReranker, store: Path) -> None:
    reranker.warm_up_fails = True
    with running(reranker, store, ready=False) as client:
        eventually(lambda: "failed" in client.get("/readyz").text)
        assert client.get("/readyz").status_code == 503


def test_a_reranker_that_fails_its_self_test_is_never_ready(
    reranker: FakeReranker, store: Path
) -> None:
    reranker.self_test_failure = "it says 0.5 to everything"
    with running(reranker, store, ready=False) as client:
        eventually(lambda: "says 0.5 to everything" in client.get("/readyz").text)
        assert client.get("/readyz").status_code == 503
        assert_problem(client.post("/v1/rerank", json=rerank_body()), 503, "not-ready")
        assert client.get("/healthz").status_code == 200  # a restart would not mend it
    assert "score" not in reranker.names()


def test_a_failed_self_test_can_be_overruled(reranker: FakeReranker, store: Path) -> None:
    reranker.self_test_failure = "it says 0.5 to everything"
    with running(reranker, store, self_test=False) as client:
        assert len(scores(lines(client.post("/v1/rerank", json=rerank_body())))) == len(REDS)


def test_a_reranker_that_only_scores_refuses_to_compose_and_scores_without_a_target(
    store: Path,
) -> None:
    reranker = FakeReranker(composes=False)
    with running(reranker, store) as client:
        assert client.get("/v1/info").json()["composes"] is False
        prepared = reranker.prepared
        assert_problem(client.post("/v1/compose", json=compose_body()), 422, "cannot-compose")
        assert reranker.prepared == prepared, "refused before anything is decoded"
        without = scores(lines(client.post("/v1/rerank", json=rerank_body(target=None))))
        assert len(without) == len(REDS)
    assert not {"compose", "with_target"} & set(reranker.names())


def test_it_tells_about_itself(client: httpx.Client) -> None:
    assert client.get("/v1/info").json() == {
        "reranker": "fake-1",
        "composes": True,
        "device": "cpu: it is a fake",
        "chunk_size": 2,
        "max_queued_visual_tokens": 65_536,
        "queued_visual_tokens": 0,
    }


def test_what_cannot_be_used_is_refused(client: httpx.Client) -> None:
    not_an_image = compose_body(reference_image="bm90IGFuIGltYWdl")
    assert_problem(client.post("/v1/compose", json=not_an_image), 422, "invalid-reference-image")
    assert_problem(client.post("/v1/compose", json={}), 422, "invalid-request")
    assert_problem(client.post("/v1/rerank", json=compose_body()), 422, "invalid-request")
    for never in (10**30, 10**400):
        for path, body in (("/v1/compose", compose_body()), ("/v1/rerank", rerank_body())):
            answer = client.post(path, json=body | {"deadline_ms": never})
            assert_problem(answer, 422, "invalid-request")
    assert_problem(client.get("/nowhere"), 404, "not-found")


def test_a_body_too_large_is_refused(reranker: FakeReranker, store: Path) -> None:
    with running(reranker, store, max_upload_bytes=1000) as client:
        answer = client.post("/v1/compose", content=b"x" * 1_100_000)
        assert_problem(answer, 413, "too-large")
        assert answer.headers["x-request-id"]
