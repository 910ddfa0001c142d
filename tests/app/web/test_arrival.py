"""How requests arrive, over real connections: slowly, in part, too many, too large."""

import contextlib
import dataclasses
import http.client
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from app.api.http.search import router
from app.api.search.limits import SearchLimits
from app.api.search.service import SearchService
from app.web import middleware, problems
from app.web.request_body import BodyLimits
from tests.app.api.stub_worker import serving
from tests.fakes import FakeGallery, FakeQueryEncoder, fake_services, gallery_image

IMAGES = [gallery_image("one", "1" * 64), gallery_image("two", "2" * 64)]
ASKED = {"reference_image": {"image_id": "one"}, "modification_text": "the same but blue"}
BODIES = BodyLimits(1_000_000, 1_433_333)
PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
JSON = {"content-type": "application/json"}


class WatchedSearch(SearchService):
    """Counts who came through the door, be it to upload only."""

    entered = 0

    def check_room(self, timeout_ms: int | None = None) -> None:
        super().check_room(timeout_ms)
        self.entered += 1


@dataclass
class Service:
    """A search service on fakes, behind its routes and real HTTP."""

    url: str
    encoder: FakeQueryEncoder
    search: "WatchedSearch"


@contextmanager
def service(delay_s: float = 0, bodies: BodyLimits = BODIES, **limits: Any) -> Iterator[Service]:
    values: dict[str, Any] = {
        "max_top_k": 50, "max_retrieval_depth": 200, "timeout_ms": 5000,
        "max_concurrent_searches": 2,
    }  # fmt: skip
    encoder = FakeQueryEncoder(delay_s=delay_s)
    app = FastAPI()
    middleware.install(app, bodies)
    gallery = FakeGallery(IMAGES)
    search = WatchedSearch(encoder, gallery, SearchLimits(**(values | limits)))
    app.state.services = fake_services(gallery, search)
    app.add_api_route("/thumbnails/{image_id:path}", lambda: None, name="thumbnail")
    app.add_api_route("/images/{image_id:path}", lambda: None, name="image")
    app.include_router(router)
    problems.install(app)
    with serving(app) as url:
        yield Service(url, encoder, search)


def in_two(body: bytes, pause_s: float) -> Iterator[bytes]:
    yield body[:10]
    time.sleep(pause_s)
    yield body[10:]


@pytest.mark.parametrize("path", ["/search", "/search/stream"])
def test_the_deadline_counts_from_the_end_of_the_upload(path: str) -> None:
    with service() as running:
        body = json.dumps(ASKED | {"timeout_ms": 500}).encode()
        answer = httpx.post(running.url + path, content=in_two(body, 0.6), headers=JSON)
    assert answer.status_code == 200, answer.text
    said = answer.text.strip().rpartition("data: ")[2]
    timings = json.loads(said)["timings_ms"]
    assert timings["upload"] >= 500
    assert timings["decode"] >= 0
    assert timings["total"] < timings["upload"]


class Connection:
    """What is sent is up to the test; answers are read as they come."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), 20)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def begin(self, body: bytes, sent: int, headers: dict[str, str] = JSON) -> None:
        """A request of which only so many bytes of the body are sent."""
        head = f"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        self.send(head.encode() + body[:sent])

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def has_answer(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def answer(self) -> tuple[int, dict[str, str], Any]:
        """The next answer: status, headers, body as JSON."""
        answer = http.client.HTTPResponse(self._socket)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(answer.read())


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_without_room_a_search_is_refused_before_its_body_is_read() -> None:
    search = json.dumps(ASKED).encode()
    broken = json.dumps(ASKED | {"reference_image": {"base64": "AAAA"}}).encode()
    with (
        service(delay_s=30, max_concurrent_searches=1) as running,
        Connection(running.url) as first,
        Connection(running.url) as uploading,
        Connection(running.url) as late,
    ):
        uploading.begin(broken, sent=10)
        wait_for(lambda: running.search.entered == 1)
        first.begin(search, sent=len(search))
        wait_for(lambda: running.encoder.modes)
        late.begin(search, sent=10)
        status, headers, problem = late.answer()
        assert status == 429
        assert headers["retry-after"] == "1"
        assert problem["type"] == "urn:cir:overloaded"
        # the room was taken during its upload: refused, and nothing of it decoded
        uploading.send(broken[10:])
        assert uploading.answer()[0] == 429


def test_who_leaves_during_its_upload_is_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}
    with service() as running, caplog.at_level("INFO"):
        with Connection(running.url) as json_body, Connection(running.url) as form_body:
            json_body.begin(b"{" * 1000, sent=100)
            form_body.begin(PART % (b"modification_text", b"blue" * 100), sent=100, headers=form)
            wait_for(lambda: running.search.entered == 2)
        wait_for(lambda: caplog.text.count("the client left") == 2)
    assert "Traceback" not in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_form_without_its_end_is_refused() -> None:
    """Its last field is missing, or cut short, and nobody could tell."""
    whole = PART % (b"reference_image_id", b"one") + PART % (b"modification_text", b"blue")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    with service() as running:
        for end, status in ((b"--x--\r\n", 200), (b"--x--", 200), (b"--x", 400), (b"", 400)):
            answer = httpx.post(f"{running.url}/search", content=whole + end, headers=headers)
            assert answer.status_code == status, answer.text
        assert "does not end with its boundary" in answer.json()["detail"]


def test_a_body_that_does_not_come() -> None:
    impatient = dataclasses.replace(BODIES, timeout_s=0.3, min_bytes_per_s=1000)
    with service(bodies=impatient) as running, Connection(running.url) as stuck:
        body = json.dumps(ASKED).encode()
        stuck.begin(body, sent=10)
        status, headers, problem = stuck.answer()
        assert status == 408
        assert headers["connection"] == "close"
        assert problem["type"] == "urn:cir:upload-too-slow"
        # slow, but never stuck
        with Connection(running.url) as slow:
            padded = body + b" " * 500
            slow.begin(padded, sent=len(padded) - 10)
            time.sleep(0.5)
            slow.send(padded[-10:])
            assert slow.answer()[0] == 200


def test_half_sent_bodies_take_no_more_than_their_share() -> None:
    """Beyond it large ones are refused, small ones are not, and room comes back."""
    half = 500_000
    with service(bodies=dataclasses.replace(BODIES, max_held_bytes=2 * half)) as running:
        with contextlib.ExitStack() as open_:
            many = [open_.enter_context(Connection(running.url)) for _ in range(6)]
            for connection in many:
                connection.begin(b" " * 1_400_000, sent=half)
            # no more than two of them fit
            wait_for(lambda: sum(connection.has_answer() for connection in many) >= 4)
            refused = next(connection for connection in many if connection.has_answer())
            status, headers, problem = refused.answer()
            assert status == 503
            assert headers["retry-after"] == "1"
            assert problem["type"] == "urn:cir:overloaded"
            assert httpx.post(f"{running.url}/search", json=ASKED).status_code == 200
        large = json.dumps(ASKED).encode() + b" " * 1_000_000
        wait_for(
            lambda: httpx.post(f"{running.url}/search", content=large, headers=JSON).is_success
        )


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with service() as running, Connection(running.url) as connection:
        connection.begin(b" " * 9_000_000, sent=10)
        status, _, problem = connection.answer()
        assert (status, problem["type"]) == (413, "urn:cir:too-large")
        assert running.search.entered == 0
