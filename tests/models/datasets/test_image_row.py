"""A row's file: whole, or refused after as many bytes as the limit allows."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import fsspec
import pytest

from models.datasets.images import InvalidImage
from models.datasets.manifest import ImageRow
from tests.web_server import Quiet, web_server

FILE = bytes(range(256)) * 400  # more than one packet
ENDLESS_BYTES = 1_000_000_000


class Files(Quiet, BaseHTTPRequestHandler):
    """`/file`, and `/endless`, of which it counts what is taken."""

    taken = 0

    def do_GET(self) -> None:
        endless = self.path == "/endless"
        self.send_response(200)
        self.send_header("Content-Length", str(ENDLESS_BYTES if endless else len(FILE)))
        self.end_headers()
        try:
            for _ in range(ENDLESS_BYTES // len(FILE) if endless else 1):
                self.wfile.write(FILE)
                Files.taken += len(FILE)
        except OSError:  # the client has gone
            pass


@pytest.fixture
def web() -> Iterator[str]:
    with web_server(Files) as address:
        yield address


@pytest.fixture(params=["disk", "web", "memory"])
def row(request: pytest.FixtureRequest, tmp_path: Path, web: str) -> ImageRow:
    if request.param == "web":
        return ImageRow("it", f"{web}/file")
    if request.param == "memory":
        with fsspec.open("memory://row/file", "wb") as file:
            file.write(FILE)
        return ImageRow("it", "memory://row/file")
    (tmp_path / "file").write_bytes(FILE)
    return ImageRow("it", str(tmp_path / "file"))


def test_a_file_within_the_limit_is_read_whole(row: ImageRow) -> None:
    assert row.read_bytes() == FILE
    assert row.read_bytes(max_bytes=len(FILE)) == FILE


def test_a_file_above_the_limit_is_refused(row: ImageRow) -> None:
    with pytest.raises(InvalidImage, match="more bytes than the limit of 102,399") as refused:
        row.read_bytes(max_bytes=len(FILE) - 1)
    assert refused.value.reason == "too_many_bytes"


def test_of_a_huge_file_on_the_web_little_is_taken(web: str) -> None:
    Files.taken = 0
    with pytest.raises(InvalidImage):
        ImageRow("it", f"{web}/endless").read_bytes(max_bytes=1000)
    assert Files.taken < ENDLESS_BYTES / 10
