"""The page *Now* and the pieces of it that are fetched again when something happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from observatory.analysis import EventType
from observatory.storage import catalogue
from service.context import Here
from service.filters import MAX_ID
from service.paging import base_of
from service.problems import NotFoundError
from service.views import now
from service.views.assets import templates
from service.views.corona import composite_tile
from service.views.firing import firing as what_fires

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}


@router.get("/")
def page(request: Request, here: Here, instrument: str = "", day: str = "", frame: str = "") -> Response:
    """The page. An address that makes no sense shows the newest instead of an error."""
    with here.db.snapshot():
        shown = now.whole(here, _wish(request, instrument, day, frame), base_of(request))
    return _render(request, "now.html", page=shown)


@router.get("/now/tile")
def tile(request: Request, here: Here, instrument: str) -> Response:
    """One instrument's tile."""
    wish = _wish(request, instrument)
    if wish.instrument is None:
        raise NotFoundError("instrument of that name")
    with here.db.snapshot():
        shown = now.tile(here, wish.instrument, base_of(request))
    return _render(request, "tile.html", tile=shown, current=None)


@router.get("/now/firing")
def firing(request: Request, here: Here) -> Response:
    """What fires."""
    return _render(request, "firing.html", firing=what_fires(here))


@router.get("/now/composite")
def composite(request: Request, here: Here) -> Response:
    """The newest composite's tile."""
    return _render(request, "composite.html", composite=composite_tile(here, base_of(request)))


@router.get("/now/frame/{frame_id}")
def frame(request: Request, here: Here, frame_id: str, pinned: str = "1") -> Response:
    """The panel of one frame."""
    wish = _wish(request, frame_id=frame_id)
    with here.db.snapshot():
        row = None if wish.frame_id is None else catalogue.get(here.db, wish.frame_id)
        if row is None:
            raise NotFoundError(f"frame {frame_id[:20]}")
        if pinned != "1":
            wish = replace(wish, frame_id=None)
        selected = now.selected(here, row, base_of(request), wish)
    return _render(request, "frame.html", selected=selected)


@router.get("/now/refusals")
def refusals(request: Request, here: Here) -> Response:
    """Files that could not be used."""
    return _render(request, "refusals.html", refusals=now.refusals(here, base_of(request)))


def _wish(request: Request, instrument: str = "", day: str = "", frame_id: str = "") -> now.Wish:
    is_name = 0 < len(instrument) <= 64 and instrument.isprintable()
    return now.Wish(instrument if is_name else None, _date(day), _number(frame_id), outlines_of(request))


def outlines_of(request: Request) -> frozenset[str] | None:
    """Outlines that the address switches on: ``outlines=CH,AR``, or once for each, as a form sends them."""
    given = request.query_params.getlist("outlines")
    if not given:
        return None
    return frozenset(word for words in given for word in words.split(",") if word in tuple(EventType))


def _date(word: str) -> date | None:
    try:
        found = date.fromisoformat(word)
    except ValueError:
        return None
    return found if 1600 <= found.year <= 9998 else None


def _number(word: str) -> int | None:
    is_number = word.isascii() and word.isdigit() and len(word) < 20
    return int(word) if is_number and int(word) <= MAX_ID else None


def _render(request: Request, name: str, **values: Any) -> Response:
    base = base_of(request)
    chosen = outlines_of(request)
    kept = {} if chosen is None else {"outlines": ",".join(sorted(chosen)) or "none"}

    def address(path: str, **query: Any) -> str:
        given = {key: value for key, value in query.items() if value is not None}
        given |= kept if path == "/" else {}
        return f"{base}{path}{'?' + urlencode(given) if given else ''}"

    return templates.TemplateResponse(
        request, name, {"base": base, "address": address, **values}, headers=_FRESH
    )
