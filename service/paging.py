"""Pages of a list: where we stand behind a proxy, what follows, and whether the client has it already."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response

from service.ranges import has_it
from service.shapes import API


def base_of(request: Request) -> str:
    """What comes before every path, when a proxy serves us below one."""
    return str(request.scope.get("root_path", ""))


def next_address(request: Request, resource: str, cursor: str) -> str:
    """Address of the next page of a list, such as ``frames``."""
    return f"{base_of(request)}{API}/{resource}?{request.url.include_query_params(cursor=cursor).query}"


def link_header(following: str | None) -> dict[str, str]:
    """RFC 8288 header that names the next page; nothing on the last one."""
    return {} if following is None else {"Link": f'<{following}>; rel="next"'}


def list_response(request: Request, body: Any, following: str | None = None) -> Response:
    """Answer with a list as JSON, or with 304 to a client that has the very same."""
    data = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    etag = f'"{hashlib.blake2b(data, digest_size=16).hexdigest()}"'
    headers = {"Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept, Authorization"}
    if has_it(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/json", headers=headers | link_header(following))
