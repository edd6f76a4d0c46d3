"""The colours of the pages: as the browser wishes, light, dark, or red for eyes used to the dark.

An address may say it (``?mode=red``); else it is what was chosen last in this browser, which a cookie keeps.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from service.paging import base_of

router = APIRouter(include_in_schema=False)

MODES = (
    ("auto", "◐", "colours as the browser wishes"),
    ("light", "☀", "light colours"),
    ("dark", "☾", "dark colours"),
    ("red", "●", "red colours, for eyes used to the dark"),
)
_NAMES = tuple(name for name, _, _ in MODES)
_COOKIE = "heliowatch_mode"
_YEAR_S = 31_557_600


def mode_of(request: Request) -> str:
    """The mode that the address asks for, or that was chosen last."""
    for said in (request.query_params.get("mode"), request.cookies.get(_COOKIE)):
        if said in _NAMES:
            return said
    return "auto"


def template_values(request: Request) -> dict[str, Any]:
    """What every page needs to show its mode, and to offer the others."""
    base = base_of(request)
    pairs = [pair for pair in request.query_params.multi_items() if pair[0] != "mode"]
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if request.method not in ("GET", "HEAD"):
        path = "/" + path.split("/")[1]  # a form was refused: the page it stands on
    back = f"{quote(path)}?{urlencode(pairs)}" if pairs else quote(path)

    def address(name: str) -> str:
        return f"{base}/mode?{urlencode({'to': name, 'back': back})}"

    return {"mode": mode_of(request), "modes": MODES, "mode_address": address}


@router.get("/mode")
def choose(request: Request, to: str = "auto", back: str = "/") -> Response:
    """Keep a mode and go back to the page; nothing else is kept in a browser."""
    is_ours = back.startswith("/") and not back.startswith(("//", "/\\")) and back.isprintable()
    answer = RedirectResponse(f"{base_of(request)}{back if is_ours else '/'}", status_code=303)
    if to in _NAMES and to != "auto":
        answer.set_cookie(
            _COOKIE, to, max_age=_YEAR_S, path=base_of(request) or "/", samesite="lax", httponly=True
        )
    else:
        answer.delete_cookie(_COOKIE, path=base_of(request) or "/")
    answer.headers["Cache-Control"] = "no-store"
    return answer
