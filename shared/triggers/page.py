"""``GET /api/ui``: the page. Its files hold nothing secret, so that a browser can load them without a key.

The page asks for a key, and sends it as a header with its calls of the API, which check it as for any caller.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import azure.functions as func

from shared.triggers.once import Once

_FOLDER = Path(__file__).parent.parent / "ui"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

#: What is served under ``/api/ui/``, and nothing else: a request's path is never made a path of files.
FILES = (
    "api.js", "app.js", "ask.js", "axis.js", "bars.js", "dom.js", "icon.svg", "live.js", "numbers.js",
    "page.css", "points.js", "policies.js", "router.js", "rows.js", "run.js", "runs.js", "text.js",
    "timeline.css", "vm.js",
)  # fmt: skip

#: Nothing but the app's own files, no inline code, no frame around it, and no address told to anybody.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page as it is sent."""

    body: bytes
    mimetype: str
    etag: str


@cache  # they are part of the package: another version is another process
def page_file(name: str) -> PageFile:
    """Read one of the page's files."""
    path = _FOLDER / name
    body = path.read_bytes()
    return PageFile(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def blueprint(application: Once) -> func.Blueprint:
    """Give the functions. They need neither a key nor anything of the app."""
    del application
    triggers = func.Blueprint()

    @triggers.route("ui", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
    async def page(req: func.HttpRequest) -> func.HttpResponse:
        return _send(req, "index.html")

    @triggers.route("ui/{file}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
    async def page_files(req: func.HttpRequest) -> func.HttpResponse:
        name = req.route_params["file"]
        if name not in FILES:
            return func.HttpResponse(status_code=404, headers=dict(HEADERS))
        return _send(req, name)

    return triggers


def _send(req: func.HttpRequest, name: str) -> func.HttpResponse:
    file = page_file(name)
    headers = {**HEADERS, "ETag": file.etag}
    if req.headers.get("if-none-match") == file.etag:
        return func.HttpResponse(status_code=304, headers=headers)
    return func.HttpResponse(file.body, status_code=200, mimetype=file.mimetype, headers=headers)
