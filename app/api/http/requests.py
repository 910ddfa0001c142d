"""Requests → composed queries: the two spellings of `POST /search`, read and checked, then decoded.

Reading waits for the client, decoding takes our time: between the two, a search is admitted or
refused. Decoding runs on threads, so a large photograph does not block the event loop.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.http.schemas import FORM_FIELDS_IN_JSON, ReferenceImage, SearchRequest
from app.api.search.types import SearchQuery, Upload
from app.web.client_text import parse_base64, parse_json
from app.web.errors import InvalidReferenceImage
from indexer.gallery.errors import InvalidRequest
from models.datasets.images import ImageLimits, InvalidImage, decode_image

_MAX_FORM_FIELDS = 32
_TARGET_PX = 512  # no encoder takes more; large photographs are decoded at a fraction


@dataclass(frozen=True)
class ReceivedQuery:
    """What a client sent, its fields checked and its image not decoded yet.

    Attributes:
        fields: The request; its reference is a placeholder where there is an `upload`.
        upload: The bytes of a form's file.
    """

    fields: SearchRequest
    upload: bytes | None


async def parse_search(request: Request) -> ReceivedQuery:
    """Receive either spelling, to its end.

    Raises:
        RequestValidationError: Fields are missing, unknown or wrong.
        InvalidReferenceImage: The form's reference image is no file.
        InvalidRequest: Neither JSON nor a form.
        HTTPException: 400, the form is broken or cut short.
    """
    content_type = _content_type(request)
    if content_type == "application/json":
        return ReceivedQuery(_validated(parse_json(await request.body(), "the body")), None)
    if content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with _form(request, content_type) as form:
            return ReceivedQuery(*await _read_form(form))
    raise InvalidRequest(
        f"expected multipart/form-data or application/json, found {content_type or 'nothing'}"
    )


async def decode_query(received: ReceivedQuery, limits: ImageLimits) -> SearchQuery:
    """Decode the reference image, if one was sent.

    Raises:
        InvalidReferenceImage: The image cannot be used.
    """
    fields, data = received.fields, received.upload
    reference = fields.reference_image
    if data is None and reference.image_id is not None:
        return SearchQuery(reference.image_id, fields.modification_text, fields)
    if data is None:
        data = parse_base64(reference.base64 or "", "reference_image.base64")
    upload = await asyncio.to_thread(_decode, data, limits)
    return SearchQuery(upload, fields.modification_text, fields)


def _content_type(request: Request) -> str:
    """The body's type in lower case; the charset of a form can only be UTF-8.

    Python knows codecs by names like `undefined` and `unicode_escape`, and a form's parser takes
    whichever it is told.
    """
    content_type, parameters = parse_options_header(request.headers.get("content-type"))
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8"):
        raise InvalidRequest(f"the body's charset can only be UTF-8, found {charset[:40]!r}")
    return content_type.decode("latin-1").lower()


class _WholeMultipart(MultiPartParser):
    """Knows whether the form came to its end; else its last field may be missing or cut short."""

    whole = False

    def on_end(self) -> None:
        self.whole = True


@asynccontextmanager
async def _form(request: Request, content_type: str) -> AsyncIterator[FormData]:
    """The fields of a form while inside; its file is gone afterwards."""
    if content_type == "application/x-www-form-urlencoded":
        form = await request.form(max_fields=_MAX_FORM_FIELDS)
    else:
        parser = _WholeMultipart(
            request.headers, request.stream(), max_files=1, max_fields=_MAX_FORM_FIELDS
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise HTTPException(400, error.message) from None
        if not parser.whole:
            await form.close()
            raise HTTPException(400, "the form does not end with its boundary; was it cut short?")
    try:
        yield form
    finally:
        await form.close()


async def _read_form(form: FormData) -> tuple[SearchRequest, bytes | None]:
    """Form fields → the same request as in JSON, and the uploaded bytes if there are any."""
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in fields:
            raise InvalidRequest(f"the form field `{name}` is given twice")
        fields[name] = value
    file = fields.pop("reference_image", None)
    image_id = fields.pop("reference_image_id", None)
    if (file is None) == (image_id is None):
        raise InvalidRequest(
            "give exactly one of the form fields reference_image (a file) and reference_image_id"
        )
    if file is not None and not isinstance(file, UploadFile):
        raise InvalidReferenceImage("the form field reference_image must be a file, found text")
    for name in FORM_FIELDS_IN_JSON:
        if isinstance(fields.get(name), str):
            fields[name] = parse_json(fields[name], f"the form field `{name}`")
    if file is None:
        return _validated({**fields, "reference_image": {"image_id": image_id}}), None
    data = await file.read()
    # the bytes travel beside the request; the placeholder only satisfies "exactly one"
    placeholder = ReferenceImage(base64="").model_dump(exclude_none=True)
    return _validated({**fields, "reference_image": placeholder}), data


def _validated(body: Any) -> SearchRequest:
    try:
        return SearchRequest.model_validate(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


def _decode(data: bytes, limits: ImageLimits) -> Upload:
    try:
        picture = decode_image(data, limits, _TARGET_PX)
    except InvalidImage as error:
        raise InvalidReferenceImage(f"the reference image cannot be used: {error}") from error
    return Upload(picture, hashlib.sha256(data).hexdigest())
