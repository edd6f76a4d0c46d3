"""What a person sees where a page cannot be had: the same words as a program is told, on a page."""

from __future__ import annotations

import orjson
from fastapi import Request
from fastapi.responses import Response

from service.paging import base_of
from service.shapes import API
from service.views.assets import templates

_OF_PROGRAMS = (f"{API}/", "/hapi/", "/vo/")
_PLAIN = {404: "there is no page at this address", 405: "this page takes no such request"}
_OF_THE_BODY = {"content-type", "content-length"}


def for_people(request: Request, problem: Response) -> Response:
    """Show a problem as a page to who asked for one; else leave it as it is."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    wants_page = "text/html" in request.headers.get("accept", "") and "hx-request" not in request.headers
    if not wants_page or path.startswith(_OF_PROGRAMS):
        return problem
    said = orjson.loads(problem.body)
    # Of an address that no route has, the framework repeats the title.
    detail = (
        said["detail"] if said["detail"] != said["title"] else _PLAIN.get(problem.status_code, said["title"])
    )
    values = {
        "base": base_of(request),
        "title": said["title"],
        "detail": f"{detail[:1].upper()}{detail[1:]}",
        "is_passing": problem.status_code >= 500,
    }
    headers = {name: value for name, value in problem.headers.items() if name not in _OF_THE_BODY}
    return templates.TemplateResponse(
        request, "refused.html", values, status_code=problem.status_code, headers=headers
    )
