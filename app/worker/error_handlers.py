"""Errors → `application/problem+json` (RFC 9457), in the same form as the API's."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import errors
from app.observability import request_id_var
from app.worker.errors import ComposeFailed, IntentUnreadable, NotReady, QueueFull

_log = logging.getLogger(__name__)

_STATUS: dict[type[errors.ServiceError], int] = {
    errors.InvalidRequest: 422,
    IntentUnreadable: 422,
    errors.Overloaded: 429,
    ComposeFailed: 500,
    NotReady: 503,
    errors.DeadlineExceeded: 504,
}
_NOT_READY_RETRY_S = 5


def install(app: FastAPI) -> None:
    """Register the handlers."""
    app.add_exception_handler(errors.ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, type_: str, detail: str, retry_after_s: int | None = None) -> JSONResponse:
    """A problem document as a response."""
    body = {
        "type": f"urn:cir:{type_}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id_var.get(),
    }
    headers = None if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return JSONResponse(body, status, headers, "application/problem+json")


async def _service_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.ServiceError)
    status = next(code for kind, code in _STATUS.items() if isinstance(error, kind))
    retry_after_s = error.retry_after_s if isinstance(error, QueueFull) else None
    if isinstance(error, NotReady):
        retry_after_s = _NOT_READY_RETRY_S
    return problem(status, error.type, str(error), retry_after_s)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    wrong = [
        f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}"
        for entry in error.errors()[:5]
    ]
    return problem(422, "invalid-request", "; ".join(wrong))


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
    return problem(error.status_code, kinds.get(error.status_code, "http-error"), error.detail)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected error", exc_info=error)
    return problem(500, "internal", "something went wrong on our side; the log has the details")
