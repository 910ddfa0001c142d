"""Files elsewhere: a real local web server that fails at first, manifests at URLs, tar archives."""

import io
import json
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from models.datasets.manifest import ManifestError, open_archives, open_manifest
from models.datasets.remote import HostUnreachable
from models.datasets.rows import ImageRow
from tests.web_server import Quiet, web_server

FILES: dict[str, bytes] = {}


class Moody(Quiet, BaseHTTPRequestHandler):
    """`/busy/…` answers 503 twice before it gives the file; `/broken/…` is cut short twice."""

    asked: Counter[str] = Counter()

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        Moody.asked[self.path] += 1
        name = self.path.rpartition("/")[2]
        if name not in FILES:
            self.send_error(404)
            return
        first_times = Moody.asked[self.path] <= 2
        if self.path.startswith("/busy") and first_times:
            self.send_error(503)
            return
        body = FILES[name]
        start, end = 0, len(body)
        if (span := self.headers.get("Range")) is not None:
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, end = int(first), min(end, int(last) + 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if with_body:
            cut = 3 if self.path.startswith("/broken") and first_times else end
            self.wfile.write(body[start:end][:cut])


@pytest.fixture
def web() -> Iterator[str]:
    FILES.clear()
    Moody.asked.clear()
    with web_server(Moody) as address:
        yield address


@pytest.mark.parametrize("mood", ["busy", "broken"])
def test_what_may_pass_is_tried_again(web: str, mood: str) -> None:
    FILES["it"] = b"0123456789"
    assert ImageRow("it", f"{web}/{mood}/it").read_bytes() == b"0123456789"
    assert Moody.asked[f"/{mood}/it"] == 3


def test_what_will_not_pass_is_not(web: str) -> None:
    with pytest.raises(FileNotFoundError):
        ImageRow("it", f"{web}/none").read_bytes()
    assert Moody.asked["/none"] == 1


def test_tries_end_with_the_time_given(web: str) -> None:
    FILES["it"] = b"0123456789"
    started = time.monotonic()
    with pytest.raises(OSError, match="503"):
        ImageRow("it", f"{web}/busy/it").read_bytes(timeout_s=0.5)
    assert time.monotonic() - started < 0.7
    assert Moody.asked["/busy/it"] == 2


def test_a_host_that_takes_no_connection_is_told_from_a_file_that_is_not_there(web: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as closed:
        port = closed.server_port
    with pytest.raises(HostUnreachable, match=f"127.0.0.1:{port}"):
        ImageRow("it", f"http://127.0.0.1:{port}/it").read_bytes()


def test_a_manifest_at_a_url_names_images_beside_it(web: str) -> None:
    FILES["m.jsonl"] = b'{"image": "x/a.jpg", "image_id": "a"}\n{"image": "s3://b/c.jpg"}\n'
    rows = list(open_manifest(f"{web}/cat/m.jsonl"))
    assert [row.location for row in rows] == [f"{web}/cat/x/a.jpg", "s3://b/c.jpg"]
    with fsspec.open("memory://cat/m.csv", "w") as file:
        file.write("image,attributes.colour\na.jpg,red\n")
    (row,) = open_manifest("memory://cat/m.csv")
    assert (row.location, row.attributes) == ("memory://cat/a.jpg", {"colour": "red"})


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("file:///etc/passwd", "must be on a network, as its manifest is"),
        ("local:///etc/passwd", "must be on a network"),
        ("simplecache::file:///etc/passwd", "must be on a network"),
        ("/etc/passwd", "leads out of its manifest's folder"),
        ("../x.jpg", "leads out of its manifest's folder"),
        ("a/../../x.jpg", "leads out of its manifest's folder"),
        ("..\\\\x.jpg", "leads out of its manifest's folder"),
    ],
)
def test_a_manifest_at_a_url_names_nothing_of_this_machine(image: str, sentence: str) -> None:
    with fsspec.open("memory://cat/m.jsonl", "w") as file:
        file.write(f'{{"image": "{image}", "image_id": "1"}}\n')
    with pytest.raises(ManifestError, match=f"line 1: `image` {sentence}"):
        open_manifest("memory://cat/m.jsonl")


def test_a_manifest_that_is_not_there_is_a_sentence(web: str) -> None:
    for url in (f"{web}/none.csv", "s3://bucket/m.csv", "tape://x/m.csv"):
        with pytest.raises(ManifestError, match=f"{url} cannot be read: "):
            open_manifest(url)


@pytest.mark.parametrize(
    ("bucket", "sentence"),
    [
        ("s3://bucket", "s3:// needs s3fs, which is not installed: pip install s3fs"),
        ("gs://bucket", "gs:// needs gcsfs, which is not installed: pip install gcsfs"),
        ("simplecache::s3://bucket", "s3:// needs s3fs, which is not installed"),
        ("tape://bucket", "Protocol not known: tape"),
    ],
)
def test_what_has_no_driver_says_what_to_install(bucket: str, sentence: str) -> None:
    for name in ("m.csv", "m.jsonl", "m.parquet"):
        with pytest.raises(ManifestError, match=f"{bucket}/{name} cannot be read: {sentence}"):
            open_manifest(f"{bucket}/{name}")
    for name in ("1.tar", "{1..2}.tar", "*.tar"):
        with pytest.raises(ManifestError, match=f"cannot be read: {sentence}"):
            open_archives(f"{bucket}/{name}")
    with pytest.raises(OSError, match=f"^{sentence}"):
        ImageRow("it", f"{bucket}/it.jpg").read_bytes()


def test_archives_that_cannot_be_fetched_are_a_sentence(web: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="none.tar cannot be read: "):
        open_archives(f"{web}/none.tar")
    FILES["a.tar"] = write_archive(tmp_path / "a.tar", SAMPLES)
    with pytest.raises(ManifestError, match="a.tar cannot be read: "):
        open_archives(f"{web}/broken/a.tar")


def write_archive(path: Path, files: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.read_bytes()


SAMPLES = {
    "00/1.jpg": b"first picture", "00/1.txt": b"a sofa\n",
    "00/1.json": json.dumps({"sha": 5, "attributes": {"colour": "red"}}).encode(),
    "00/2.json": b'{"status": "failed"}',
    "../../etc/3.PNG": b"second picture", "../../etc/3.json": b'{"caption": "mug", "sha": 6}',
}  # fmt: skip


def test_samples_of_an_archive_are_rows_and_their_images_are_read_in_place(
    tmp_path: Path, web: str
) -> None:
    FILES["a.tar"] = write_archive(tmp_path / "a.tar", SAMPLES)
    for source in (f"{tmp_path}/a.tar", str(tmp_path), f"{tmp_path}/*.tar", f"{web}/a.tar"):
        first, second = open_archives(source)
        assert (first.image_id, first.caption) == ("00/1", "a sofa")
        assert (first.attributes, first.payload) == ({"colour": "red"}, {"sha": 5})
        assert (second.image_id, second.caption) == ("../../etc/3", "mug")
        assert (first.read_bytes(), second.read_bytes()) == (b"first picture", b"second picture")
        assert list(open_archives(source, ("sha",)))[1].attributes == {"sha": 6}


def test_archives_are_named_by_a_pattern(tmp_path: Path) -> None:
    for number in range(12):
        write_archive(tmp_path / f"{number:03}.tar", {f"{number}.jpg": b"x"})
    rows = open_archives(f"{tmp_path}/{{002..010}}.tar")
    assert [row.image_id for row in rows] == [f"{number}" for number in range(2, 11)]


def test_archives_that_cannot_be_used_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there are no archives at"):
        open_archives(str(tmp_path))
    whole = write_archive(tmp_path / "a.tar", SAMPLES | {"big.jpg": b"x" * 5000})
    (tmp_path / "a.tar").write_bytes(whole[:-9000])
    with pytest.raises(ManifestError, match=r"is no tar archive, or damaged after this row"):
        open_archives(str(tmp_path / "a.tar"))
    write_archive(tmp_path / "a.tar", {"1.jpg": b"x", "1.json": b"{oops"})
    with pytest.raises(ManifestError, match=r"row 1: 1\.json in .*a\.tar is not JSON"):
        open_archives(str(tmp_path / "a.tar"))
    write_archive(tmp_path / "b.tar", {"1.jpg": b"x"})
    write_archive(tmp_path / "a.tar", {"1.jpg": b"x"})
    with pytest.raises(ManifestError, match=r"row 2: an image id .* once: 1 \(first in row 1\)"):
        open_archives(str(tmp_path))
    (tmp_path / "c.tar.gz").touch()
    with pytest.raises(ManifestError, match=r"ends in \.tar, and is not compressed"):
        open_archives(str(tmp_path / "c.tar.gz"))
