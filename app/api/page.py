"""The web page: static files under an address that changes with them, so browsers keep them.

`/` is asked for anew each time (by ETag) and names the version; everything it loads lies under
`/static/<version>/` and may be kept for ever. Modules import each other by relative paths, so they
stay within their version. Nothing is ever loaded from elsewhere, and the browser is told so.

Scripts and style sheets are sent as they lie here, less their comments.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from app.api.caching import not_modified, quoted

_STATIC = Path(__file__).parent / "static"
_CONTENT_SECURITY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# Whole lines, whose ends stay: a browser's line numbers are those of the files.
_COMMENT = re.compile(r"^[ \t]*(//.*|/\*.*\*/)$", re.MULTILINE)


def install(app: FastAPI) -> None:
    """Serve the page at `/`, and what it is made of."""
    version = _version(_STATIC)
    html = (_STATIC / "index.html").read_text("utf-8").replace("/static/", f"/static/{version}/")
    headers = {
        "ETag": quoted(version),
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _CONTENT_SECURITY,
    }

    async def page(request: Request) -> Response:
        return not_modified(request, headers) or HTMLResponse(html, headers=headers)

    app.mount(f"/static/{version}", _KeptForEver(directory=_STATIC), name="static")
    app.add_api_route("/", page, include_in_schema=False)


class _KeptForEver(StaticFiles):
    """Static files that never change at their address."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, to be kept for ever."""
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse) and str(response.path).endswith((".js", ".css")):
            code = _without_comments(Path(response.path))
            response = Response(code, media_type=response.media_type)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


@cache
def _without_comments(path: Path) -> str:
    return _COMMENT.sub("", path.read_text("utf-8"))


def _version(folder: Path) -> str:
    """A hash of all files' names and bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
