"""The web page at `/`, and the interface's description at `/docs`: static files, all of them ours.

They lie under addresses that change with them, so browsers keep them: `/` and `/docs` are asked for
anew each time (by ETag) and name the version; everything they load lies under `/static/<version>/`,
or `/swagger-ui/<version>/` for what the `fastapi-swagger` package brings, and never changes there.
Modules import each other by relative paths, so they stay within their version. Nothing is ever
loaded from elsewhere, and the browser is told so.

Our page, scripts and style sheets are sent as they lie here, less their comments and indentation.
"""

import hashlib
import importlib.metadata
import importlib.resources
import re
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from app.api.http.responses import etag, not_modified

_STATIC = Path(__file__).parents[1] / "static"
_SWAGGER = Path(str(importlib.resources.files("fastapi_swagger") / "resources"))
_CONTENT_SECURITY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Lines stay: a browser's line numbers are those of the files. No literal of ours goes over lines.
_COMMENT_OR_INDENTATION = re.compile(r"^[ \t]*(//.*|/\*.*\*/)$|^[ \t]+", re.MULTILINE)


def install(app: FastAPI) -> None:
    """Serve both pages, and what they are made of."""
    ours, swagger = _version(_STATIC), importlib.metadata.version("fastapi-swagger")
    app.mount(f"/static/{ours}", _Lighter(directory=_STATIC), name="static")
    app.mount(f"/swagger-ui/{swagger}", ImmutableStaticFiles(directory=_SWAGGER), name="swagger-ui")
    page = _lighter(_STATIC / "index.html").replace("/static/", f"/static/{ours}/")
    docs = (_STATIC / "docs" / "index.html").read_text("utf-8")
    docs = docs.replace("/static/", f"/static/{ours}/")
    docs = docs.replace("/swagger-ui/", f"/swagger-ui/{swagger}/")
    app.add_api_route("/", _endpoint(page, etag(ours)), include_in_schema=False)
    app.add_api_route("/docs", _endpoint(docs, etag(ours, swagger)), include_in_schema=False)


def _endpoint(html: str, etag: str) -> Callable[[Request], Awaitable[Response]]:
    headers = {
        "ETag": etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _CONTENT_SECURITY,
    }

    async def page(request: Request) -> Response:
        return not_modified(request, headers) or HTMLResponse(html, headers=headers)

    return page


class ImmutableStaticFiles(StaticFiles):
    """Static files that never change at their address."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with headers that let it be kept."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


class _Lighter(ImmutableStaticFiles):
    """Our own files, sent without their comments and indentation."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with headers that let it be kept."""
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse) and str(response.path).endswith((".js", ".css")):
            code = _lighter(Path(response.path))
            kept = {"Cache-Control": response.headers["Cache-Control"]}
            return Response(code, headers=kept, media_type=response.media_type)
        return response


@cache
def _lighter(path: Path) -> str:
    return _COMMENT_OR_INDENTATION.sub("", path.read_text("utf-8"))


def _version(folder: Path) -> str:
    """A hash of all files' names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
