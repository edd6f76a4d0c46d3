"""Pages of a list: where we stand behind a proxy, and the address of the page that follows."""

from __future__ import annotations

from fastapi import Request

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
