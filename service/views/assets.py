"""Static files and templates: addresses carry the content's hash, so browsers keep them for ever.

Pages, scripts and styles are sent packed to whoever takes gzip: a day of a camera that sends a frame every
six seconds is 400 kB of points otherwise. Pictures and the API's answers are not touched.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.metrics import utc_now
from service.views import words
from service.views.modes import template_values

STATIC = Path(__file__).parent / "static"
_TEMPLATES = Path(__file__).parent / "templates"
_TEXTS = {".css", ".js", ".svg"}
_SMALL_BYTES = 1000  # packing less than that saves no packet
_QUICK, _THOROUGH = 5, 9


class Assets(StaticFiles):
    """Static files; those asked for by hash never change."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve one file."""
        response = await super().get_response(path, scope)
        is_hashed = scope["query_string"].startswith(b"v=")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        if Path(path).suffix not in _TEXTS:
            return response
        response.headers.add_vary_header("Accept-Encoding")
        given = Headers(scope=scope)
        if not isinstance(response, FileResponse) or "range" in given or not _takes_gzip(given):
            return response
        file = Path(response.path)
        packed = _packed(file, file.stat().st_mtime_ns)
        headers = dict(response.headers) | {
            "Content-Encoding": "gzip",
            "Content-Length": str(len(packed)),
            "ETag": f"W/{response.headers['etag']}",  # other bytes of the same meaning
        }
        return Response(packed, headers={name.lower(): value for name, value in headers.items()})


class Pages(Jinja2Templates):
    """Templates whose answers are packed where that is wished."""

    def TemplateResponse(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        """Render a page."""
        response = super().TemplateResponse(*args, **kwargs)
        response.headers.add_vary_header("Accept-Encoding")
        request = response.context["request"]
        if len(response.body) > _SMALL_BYTES and _takes_gzip(request.headers):
            response.body = gzip.compress(response.body, _QUICK, mtime=0)
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Content-Length"] = str(len(response.body))
        return response


def _takes_gzip(headers: Headers) -> bool:
    said = headers.get("accept-encoding", "").lower().replace(" ", "")
    return any(one == "gzip" or (one.startswith("gzip;q=") and one[7:] > "0.000") for one in said.split(","))


@cache
def _packed(file: Path, _changed_ns: int) -> bytes:
    return gzip.compress(file.read_bytes(), _THOROUGH, mtime=0)


@cache
def static_address(name: str) -> str:
    """Address of a static file below the service's root, with its hash."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def _templates() -> Pages:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        auto_reload=False,  # a running process must not mix its code with newer templates
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"static": static_address, "utc_now": utc_now}
    environment.filters |= words.FILTERS
    return Pages(env=environment, context_processors=[template_values])


templates = _templates()
