"""Errors → `application/problem+json` (RFC 9457): one table, no stack traces."""

import logging
import reprlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.web import errors
from app.web.logging import request_id_var
from indexer.gallery.errors import GalleryUnavailable, ImageNotFound, InvalidRequest, ServiceError

_log = logging.getLogger(__name__)

_STATUS: dict[type[ServiceError], int] = {
    InvalidRequest: 422,
    ImageNotFound: 404,
    errors.Overloaded: 429,
    errors.DeadlineExceeded: 504,
    GalleryUnavailable: 503,
    errors.NotSupported: 501,
}
_MAX_ECHO_CHARS = 80
_ECHO = reprlib.Repr()  # looks at the beginning of an input only, however long it is
_ECHO.maxstring = _ECHO.maxother = _MAX_ECHO_CHARS
_UNEXPECTED = "something went wrong on our side; the log has the details"


class ProblemDetail(BaseModel):
    """RFC 9457, `application/problem+json`."""

    type: str = Field(examples=["urn:cir:invalid-filter"])
    title: str
    status: int
    detail: str = Field(description="what was wrong, where, and what would be right")
    errors: list[dict[str, Any]] | None = Field(None, description="one entry per bad field")
    request_id: str | None = None


def install(app: FastAPI, more: Mapping[type[ServiceError], int] | None = None) -> None:
    """Answer errors of an app with problem documents; the outermost middleware
    answers all others with `unexpected`.

    Args:
        app: The app.
        more: Status codes of errors that only this app has.
    """
    status = {**_STATUS, **(more or {})}

    async def service_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        code = next(code for kind, code in status.items() if isinstance(error, kind))
        return problem(code, error.type, str(error), retry_after_s=error.retry_after_s)

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def problem(
    status: int,
    type_: str,
    detail: str,
    fields: list[dict[str, Any]] | None = None,
    retry_after_s: int | None = None,
) -> JSONResponse:
    """A problem document as a response."""
    headers = None if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    body = _document(status, type_, detail, fields)
    return JSONResponse(body, status, headers, "application/problem+json")


def unexpected(error: Exception) -> JSONResponse:
    """The answer to an error that is a mistake of ours; the log gets its details."""
    _log.error("unexpected error", exc_info=error)
    return problem(500, "internal", _UNEXPECTED)


def problem_of(error: Exception) -> dict[str, Any]:
    """A problem document for an answer that has begun, where no status can be given any more."""
    for kind, code in _STATUS.items():
        if isinstance(error, kind):
            return _document(code, error.type, str(error))
    _log.error("unexpected error", exc_info=error)
    return _document(500, "internal", _UNEXPECTED)


def _document(
    status: int, type_: str, detail: str, fields: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return ProblemDetail(
        type=f"urn:cir:{type_}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=fields,
        request_id=request_id_var.get(),
    ).model_dump(exclude_none=True)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        {
            "field": ".".join(str(part) for part in entry["loc"]),
            "message": entry["msg"],
            "found": _ECHO.repr(entry.get("input"))[:_MAX_ECHO_CHARS],
        }
        for entry in error.errors()
    ]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:5])
    return problem(422, "invalid-request", detail, fields)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
    return problem(error.status_code, kinds.get(error.status_code, "http-error"), error.detail)
