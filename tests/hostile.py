"""Hostile requests, made from a seed; and what is wrong with an answer to one.

Bodies, forms, uploads, addresses and headers are each sound at first and then spoilt here or there,
so that some are refused at the door and others get far. The HTTP around them is well-formed.
"""

import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from PIL import Image

_NUMBERS: list[Any] = [
    0, -1, 1, 3, 10, 255, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0, 1e-320,
    1e308, float("nan"), float("inf"), float("-inf"), True, False, "1", "1e999", "NaN", "٣", " 7 ",
]  # fmt: skip
_TEXTS = [
    "", " ", "\0", "\n", "blue", "the same but blue", "not red", "\ud800", "\U0010ffff", "é", "猫",
    "a" * 499, "b" * 501, "c" * 5000, "'; DROP TABLE images; --", "<script>alert(1)</script>",
    "${jndi:ldap://x}", "../../etc/passwd", "%00", "%ff%fe", "{{7*7}}", "\u202e", "1" * 400, "[",
    "without without without", "just only just", "more " * 100, ".", "-", "🙂" * 50,
]  # fmt: skip
_FIELDS = [
    "top_k", "retrieval_depth", "rerank_depth", "timeout_ms", "rerank_weight", "composition",
    "filter", "among", "exclude_reference", "intent", "intent_source", "weights",
    "reference_image", "modification_text", "colour", "__class__", "",
]  # fmt: skip
_ATTRIBUTES = ["category", "colour", "price", "pattern", "setting", "size", "", "a.b", '"', "a[0]"]
_VALUES = ["red", "blue", "sofa", "mug", "snow", 10, 700.5, True, None, [], ["red", "blue"], {}]
_METHODS = ["GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"]
_PATHS = [
    "/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics", "/gallery", "/search",
    "/search/", "/search/stream", "/gallery/images", "/gallery/random", "/explain", "/images/",
    "/thumbnails/", "/static/", "/static/../app/main.py", "/nothing", "//", "/v1/compose",
]  # fmt: skip
_CHARSETS = ["utf-8", "undefined", "punycode", "utf-7", "latin-1", "idna", "", "x" * 300]
_CONTENT_TYPES = [
    "application/json", "application/json; charset=undefined", "text/plain", "", ";", "a/b; c=",
    "multipart/form-data", "multipart/form-data; boundary=", "application/x-www-form-urlencoded",
    'multipart/form-data; boundary="', "multipart/mixed; boundary=b", "image/jpeg", "*/*",
]  # fmt: skip


@dataclass(frozen=True)
class HostileRequest:
    """One request, as it is sent.

    Attributes:
        path: With its query, percent-encoded where that is needed at all.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    content: bytes | None = None

    def sent_by(self, client: Any) -> Any:
        """Send it by an httpx client, or a test client that behaves as one; the whole answer."""
        address = client.base_url.copy_with(raw_path=self.path.encode("ascii"))
        return client.request(self.method, address, headers=self.headers, content=self.content)


def hostile_request(seed: int, ids: Sequence[str]) -> HostileRequest:
    """The request of a seed.

    Args:
        seed: Says everything.
        ids: Of some images of the gallery.
    """
    chance = random.Random(seed)
    make = chance.choice(
        [_json_search, _json_search, _form, _upload, _upload, _browse, _image, _any]
    )
    made = make(chance, ids)
    if chance.random() < 0.15:
        headers = {**made.headers, **_odd_headers(chance)}
        made = HostileRequest(made.method, made.path, headers, made.content)
    return made


def fault_of(answer: httpx.Response) -> str | None:
    """What is wrong with an answer, whatever was asked; None: nothing.

    Errors are problem documents, and none of them is a mistake of ours, not even in a stream.
    """
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 500 and answer.status_code not in (503, 504):
        return f"status {answer.status_code}"
    if answer.status_code >= 400 and kind != "application/problem+json":
        return f"status {answer.status_code} as {kind or 'nothing'}"
    if "x-request-id" not in answer.headers:
        return "no X-Request-ID"
    if "text/event-stream" in kind and "urn:cir:internal" in answer.text:
        return "a stream that ended in a mistake of ours"
    return None


def _json_search(chance: random.Random, ids: Sequence[str]) -> HostileRequest:
    """A search in JSON: some fields spoilt, or else the text itself."""
    body: dict[str, Any] = {
        "reference_image": chance.choice(
            [{"image_id": chance.choice(ids)}, _reference(chance, ids)]
        ),
        "modification_text": "the same but blue",
    }
    for _ in range(chance.randrange(3)):
        name = chance.choice(_FIELDS)
        body[name] = _field(chance, name, ids)
    text = json.dumps(body).encode()
    if chance.random() < 0.15:
        text = _spoilt(chance, text)
    headers = {b"content-type": b"application/json"}
    return HostileRequest("POST", _search_path(chance), headers, text)


def _form(chance: random.Random, ids: Sequence[str]) -> HostileRequest:
    """A search as a form without a file."""
    body = urlencode(list(_form_fields(chance, ids).items()), errors="surrogatepass").encode()
    if chance.random() < 0.1:
        body = _spoilt(chance, body)
    headers = {b"content-type": b"application/x-www-form-urlencoded"}
    return HostileRequest("POST", _search_path(chance), headers, body)


def _upload(chance: random.Random, ids: Sequence[str]) -> HostileRequest:
    """A search as a form with a file, written by hand because libraries write sound ones only."""
    boundary = b"boundary"
    parts = [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s'
        % (name.encode("utf-8", "replace"), value.encode("utf-8", "replace"))
        for name, value in _form_fields(chance, ids, reference=False).items()
    ]
    name = chance.choice(["a.jpg", "", "../../a.jpg", "a\0b", "é.png", "x" * 3000])
    parts.append(
        b'Content-Disposition: form-data; name="reference_image"; filename="%s"\r\n'
        b"Content-Type: %s\r\n\r\n%s"
        % (name.encode(), chance.choice([b"image/jpeg", b"text/html", b""]), _picture(chance))
    )
    chance.shuffle(parts)
    closing = b"--" if chance.random() < 0.9 else b""
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    body += b"--%s%s\r\n" % (boundary, closing)
    if chance.random() < 0.1:
        body = _spoilt(chance, body)
    kind = b"multipart/form-data; boundary=" + boundary
    if chance.random() < 0.1:
        kind += b"; charset=" + chance.choice(_CHARSETS).encode()
    return HostileRequest("POST", _search_path(chance), {b"content-type": kind}, body)


def _browse(chance: random.Random, ids: Sequence[str]) -> HostileRequest:
    """Pages, random images and heat maps with odd parameters."""
    path = chance.choice(["/gallery/images", "/gallery/random", "/explain"])
    asked: dict[str, Any] = {}
    if path == "/explain" and chance.random() < 0.9:
        asked = {"image_id": chance.choice(ids), "phrase": chance.choice(_TEXTS)}
    if chance.random() < 0.5:
        asked["filter"] = json.dumps(_filter(chance))
    if chance.random() < 0.5:
        asked["limit"] = chance.choice([1, 24, 100, *_NUMBERS])
    if chance.random() < 0.3:
        asked["offset"] = chance.choice([*_NUMBERS, *_TEXTS])
    if chance.random() < 0.1:
        asked[chance.choice(_TEXTS)] = chance.choice(_TEXTS)
    query = urlencode(asked, errors="surrogatepass")
    return HostileRequest("GET", f"{path}?{query}", {})


def _image(chance: random.Random, ids: Sequence[str]) -> HostileRequest:
    """Copies of images that are and that are not there."""
    name = chance.choice([chance.choice(ids), *_TEXTS])
    sent = quote(name, safe=chance.choice(["", "/"]), errors="surrogatepass")
    path = chance.choice(["/images/", "/thumbnails/", "/gallery/images/"])
    return HostileRequest(chance.choice(["GET", "GET", "HEAD"]), path + sent, {})


def _any(chance: random.Random, ids: Sequence[str]) -> HostileRequest:
    """Any method on any path with any body."""
    content = chance.choice([None, b"", b"{}", b"\xff" * 100, b"a=b&c=d", b"[" * 5000])
    headers = {b"content-type": chance.choice(_CONTENT_TYPES).encode()} if content else {}
    return HostileRequest(chance.choice(_METHODS), chance.choice(_PATHS), headers, content)


def _odd_headers(chance: random.Random) -> dict[bytes, bytes]:
    """One unexpected header."""
    name, values = chance.choice(
        [
            (b"x-request-id", [b"", b"x" * 2000, b"\xe9\xff", b"a b", b"mine"]),
            (b"if-none-match", [b"*", b'"', b'W/"', b"," * 3000, b'"a", "b"', b"\xff"]),
            (
                b"range",
                [b"bytes=0-", b"bytes=-1", b"bytes=9-1", b"bytes=99999999-", b"x", b"bytes="],
            ),
            (b"if-range", [b'"x"', b"Wed, 21 Oct 2015 07:28:00 GMT", b"\xff"]),
            (b"accept", [b"", b"*/*;q=x", b"text/html"]),
            (b"accept-encoding", [b"gzip", b"x" * 500]),
            (b"expect", [b"100-continue", b"x"]),
            (b"content-encoding", [b"gzip", b"deflate"]),
            (b"content-type", [kind.encode() for kind in _CONTENT_TYPES]),
            (b"x-forwarded-for", [b"127.0.0.1", b"\xff"]),
            (b"cookie", [b"a=" + b"b" * 3000]),
        ]
    )
    return {name: chance.choice(values)}


def _search_path(chance: random.Random) -> str:
    return "/search" if chance.random() < 0.7 else "/search/stream"


def _form_fields(
    chance: random.Random, ids: Sequence[str], reference: bool = True
) -> dict[str, str]:
    fields = {"modification_text": chance.choice(["the same but blue", *_TEXTS])}
    if reference and chance.random() < 0.9:
        fields["reference_image_id"] = chance.choice([chance.choice(ids), *_TEXTS])
    for _ in range(chance.randrange(3)):
        name = chance.choice(_FIELDS)
        value = _field(chance, name, ids)
        fields[name] = value if isinstance(value, str) else json.dumps(value)
    return fields


def _field(chance: random.Random, name: str, ids: Sequence[str]) -> Any:
    """A value for a field: often of its kind, else of any."""
    if chance.random() < 0.3:
        return _junk(chance, 3)
    match name:
        case "filter":
            return _filter(chance)
        case "among":
            return [
                chance.choice([chance.choice(ids), *_TEXTS]) for _ in range(chance.randrange(40))
            ]
        case "weights":
            roles = ["target", "desired", "preserve", "text", "forbidden", "union_reference"]
            return {role: chance.choice(_NUMBERS) for role in chance.sample(roles, 3)}
        case "intent":
            phrases = [chance.choice(_TEXTS) for _ in range(chance.randrange(20))]
            return {"target": chance.choice(_TEXTS), chance.choice(["desired", "x"]): phrases}
        case "composition" | "intent_source":
            return chance.choice(["intersection", "union", "text", "image", "mllm", "facets", "x"])
        case "reference_image":
            return _reference(chance, ids)
        case "modification_text":
            return chance.choice(_TEXTS)
    return chance.choice(_NUMBERS)


def _filter(chance: random.Random) -> Any:
    bounds = ["gte", "gt", "lte", "lt", "above"]
    conditions = [
        chance.choice(_VALUES),
        chance.choice(_NUMBERS),
        [chance.choice(_VALUES) for _ in range(chance.choice([1, 3, 300]))],
        {chance.choice(bounds): chance.choice(_NUMBERS)},
        _junk(chance, 2),
    ]
    return {
        chance.choice(_ATTRIBUTES): chance.choice(conditions)
        for _ in range(chance.choice([1, 1, 40]))
    }


def _junk(chance: random.Random, depth: int) -> Any:
    """Any JSON, and some that is none."""
    if depth and chance.random() < 0.5:
        parts = [_junk(chance, depth - 1) for _ in range(chance.randrange(4))]
        return parts if chance.random() < 0.5 else {chance.choice(_TEXTS): part for part in parts}
    return chance.choice([None, chance.choice(_NUMBERS), chance.choice(_TEXTS)])


def _reference(chance: random.Random, ids: Sequence[str]) -> Any:
    encoded = base64.b64encode(_picture(chance)).decode()
    texts = [encoded, f"data:image/png;base64,{encoded}", encoded[:-3], chance.choice(_TEXTS)]
    kinds = [{"base64": chance.choice(texts)}, {"image_id": chance.choice(_TEXTS)}, {}]
    return chance.choice([*kinds, {"base64": encoded, "image_id": chance.choice(ids)}])


def _picture(chance: random.Random) -> bytes:
    """A picture's bytes: sound, spoilt, or a promise of more than there is."""
    data = chance.choice(_pictures())
    return _spoilt(chance, data) if chance.random() < 0.3 else data


@cache
def _pictures() -> list[bytes]:
    pictures = [b"", b"<html>", b"\xff\xd8\xff\xe0" + bytes(50), _png_claiming(60_000, 60_000)]
    noise = Image.effect_noise((96, 64), 90)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"):
        pictures.append(_encoded(noise.convert("RGB"), kind))
    for mode in ("1", "L", "P", "LA", "RGBA"):
        pictures.append(_encoded(noise.convert(mode), "PNG"))
    pictures += [_encoded(noise.convert(mode), "TIFF") for mode in ("CMYK", "F", "I", "I;16")]
    for size in ((1, 1), (8, 8), (8, 100_000), (100_000, 8), (5, 600), (3000, 3000)):
        pictures.append(_encoded(Image.new("1", size), "PNG"))
    return pictures


def _encoded(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def _png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


def _spoilt(chance: random.Random, data: bytes) -> bytes:
    """Bytes cut off, changed, or with others in between."""
    place = chance.randrange(len(data) + 1)
    match chance.randrange(4):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
        case 2:
            inserted = [b"[" * 2000, b"\xff", b"\0" * 20, b"\\ud800", b"NaN", b"9" * 5000, b"\r\n"]
            return data[:place] + chance.choice(inserted) + data[place:]
    return data[:place] + data[place // 2 :]
