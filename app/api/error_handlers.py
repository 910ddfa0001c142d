"""Errors → `application/problem+json` (RFC 9457): one table, no stack traces."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import errors
from app.api.schemas import ProblemDetail
from app.observability import request_id_var

_log = logging.getLogger(__name__)

_STATUS: dict[type[errors.ServiceError], int] = {
    errors.InvalidReference: 422,
    errors.InvalidFilter: 422,
    errors.InvalidRequest: 422,
    errors.UnknownImage: 404,
    errors.Overloaded: 429,
    errors.DeadlineExceeded: 504,
    errors.GalleryUnavailable: 503,
}
_RETRY_AFTER_S = {429: "1", 503: "5"}
_MAX_ECHO_CHARS = 80
_UNEXPECTED = "something went wrong on our side; the log has the details"


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(errors.ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def problem(
    status: int, type_: str, detail: str, fields: list[dict[str, Any]] | None = None
) -> JSONResponse:
    """A problem document as a response."""
    body = _document(status, type_, detail, fields)
    headers = {"Retry-After": _RETRY_AFTER_S[status]} if status in _RETRY_AFTER_S else None
    return JSONResponse(body, status, headers, "application/problem+json")


def problem_of(error: Exception) -> dict[str, Any]:
    """A problem document for an answer that has begun, where no status can be given any more."""
    if isinstance(error, errors.ServiceError):
        return _document(_status(error), error.type, str(error))
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


def _status(error: errors.ServiceError) -> int:
    return next(code for kind, code in _STATUS.items() if isinstance(error, kind))


async def _service_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.ServiceError)
    return problem(_status(error), error.type, str(error))


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [
        {
            "field": ".".join(str(part) for part in entry["loc"]),
            "message": entry["msg"],
            "found": repr(entry.get("input"))[:_MAX_ECHO_CHARS],
        }
        for entry in error.errors()
    ]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:5])
    return problem(422, "invalid-request", detail, fields)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
    return problem(error.status_code, kinds.get(error.status_code, "http-error"), error.detail)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected error", exc_info=error)
    return problem(500, "internal", _UNEXPECTED)
