"""The page *Frame*: one frame whole, its picture to look into, where its numbers come from, a human's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from observatory.errors import HeliowatchError
from observatory.instruments import open_bytes
from observatory.instruments.formats import read_bytes
from observatory.storage import catalogue, events, marks, originals, products, provenance
from observatory.storage.catalogue import FrameFilter
from observatory.storage.marks import LONGEST_NOTE, Mark, Marked, NoSuchFrameError
from service.auth import Identity, Scope, requires
from service.context import Context, Here
from service.gate import note
from service.metrics import utc_now
from service.numbers import RowNumber
from service.paging import base_of
from service.problems import NotFoundError, ProblemError
from service.routes.originals import place_of
from service.shapes import API
from service.turns import in_turn
from service.views import now
from service.views.assets import templates
from service.views.now import Selected
from service.views.page import outlines_of

router = APIRouter(include_in_schema=False)

_FRESH = {"Cache-Control": "no-store"}
_MARKS = 20
_LONGEST_CARD = 2000

Number = Annotated[RowNumber, Path()]
Writer = Annotated[Identity, Depends(requires(Scope.WRITE))]


@dataclass(frozen=True)
class Result:
    """One result with what made it."""

    id: int
    analysis: str
    model: str
    model_sha256: str
    software_version: str
    created_at: datetime
    is_current: bool
    payload: str
    parameters: str


@dataclass(frozen=True)
class Product:
    """A file that was made of the frame."""

    kind: str
    address: str
    bytes: int


@dataclass(frozen=True)
class Page:
    """All of it."""

    now: datetime
    seq: int
    selected: Selected
    previous: int | None
    following: int | None
    results: Sequence[Result]
    products: Sequence[Product]
    marks: Sequence[Marked]
    may_serve_original: bool


@dataclass(frozen=True)
class Header:
    """What the frame's file says of itself, or why that cannot be told."""

    cards: Sequence[tuple[str, str]]
    refusal: str | None


@router.get("/frame/{frame_id}")
def page(request: Request, here: Here, frame_id: Number) -> Response:
    """The page of one frame."""
    with here.db.snapshot():
        shown = _page(request, here, frame_id)
    base = base_of(request)

    def address(path: str = "/", **query: Any) -> str:
        given = {name: value for name, value in query.items() if value is not None}
        return f"{base}{path}{'?' + urlencode(given) if given else ''}"

    values = {
        "base": base,
        "page": shown,
        "selected": shown.selected,
        "address": address,
        "panel_address": f"{base}/frame/{frame_id}",
        "kept": f"?{request.query_params}" if request.query_params else "",
    }
    return templates.TemplateResponse(request, "frame_page.html", values, headers=_FRESH)


@router.get("/frame/{frame_id}/header")
def header(request: Request, here: Here, frame_id: Number) -> Response:
    """The header of a frame's file, read from where the file lies."""
    row = catalogue.get(here.db, frame_id)
    if row is None:
        raise NotFoundError(f"frame {frame_id}")
    values = {"base": base_of(request), "frame": row, "header": _header(here, row)}
    return templates.TemplateResponse(request, "header.html", values, headers=_FRESH)


@router.post("/frame/{frame_id}/mark", dependencies=[in_turn])
def mark(
    request: Request,
    here: Here,
    frame_id: Number,
    identity: Writer,
    mark: Annotated[Mark, Form()],
    words: Annotated[str, Form(alias="note", max_length=LONGEST_NOTE)] = "",
) -> Response:
    """Say that a frame is good or bad, and show it again."""
    note(request, mark=mark.value)
    try:
        marks.put(here.db, frame_id, mark, words.strip() or None, identity.name, utc_now())
    except NoSuchFrameError as error:
        raise NotFoundError(f"frame {frame_id}") from error
    return RedirectResponse(f"{base_of(request)}/frame/{frame_id}#marks", 303, headers=_FRESH)


def _page(request: Request, here: Context, frame_id: int) -> Page:
    seq = events.last_seq(here.db)
    row = catalogue.get(here.db, frame_id)
    if row is None:
        raise NotFoundError(f"frame {frame_id}")
    base = base_of(request)
    wish = now.Wish(frame_id=frame_id, outlines=outlines_of(request))
    return Page(
        now=utc_now(),
        seq=seq,
        selected=now.selected(here, row, base, wish),
        previous=_neighbour(here, row, is_later=False),
        following=_neighbour(here, row, is_later=True),
        results=[_result(item) for item in provenance.of_frame(here.db, frame_id)],
        products=[_product(item, base) for item in products.of_frame(here.db, frame_id)],
        marks=marks.of_frame(here.db, frame_id, _MARKS),
        may_serve_original=here.settings.service.serve_originals and row["sha256"] is not None,
    )


def _neighbour(here: Context, row: Mapping[str, Any], *, is_later: bool) -> int | None:
    """The frame of the same instrument before or after, by time."""
    if row["instrument"] is None:
        return None
    found = catalogue.find(
        here.db,
        FrameFilter(instrument=row["instrument"]),
        limit=1,
        after=(row["moment"], row["id"]),
        is_ascending=is_later,
    )
    return found[0]["id"] if found else None


def _result(row: Mapping[str, Any]) -> Result:
    return Result(
        id=row["id"],
        analysis=row["analysis"],
        model=f"{row['model_name']} {row['model_version']}",
        model_sha256=row["model_sha256"],
        software_version=row["software_version"],
        created_at=row["created_at"],
        is_current=row["is_current"],
        payload=_indented(row["payload"]),
        parameters=_indented(row["parameters"]),
    )


def _indented(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=str).decode()


def _product(row: Mapping[str, Any], base: str) -> Product:
    return Product(row["kind"], f"{base}{API}/products/{row['id']}/data", row["bytes"])


def _header(here: Context, row: Mapping[str, Any]) -> Header:
    """Cards of the frame's header; the file is read within the limits of the settings."""
    found = originals.original(here.db, row["id"])
    if found is None:
        raise NotFoundError(f"frame {row['id']}")
    limits = here.settings.limits.as_limits
    try:
        opened = open_bytes(
            read_bytes(place_of(found, row["id"]), limits),
            found.file_name,
            limits,
            instrument=row["instrument"],
            stations=here.settings.stations,
            is_peek=True,
        )
        cards = opened.container.header(row["frame_index"])
    except ProblemError as error:
        return Header((), error.detail)
    except (HeliowatchError, IndexError) as error:
        return Header((), str(error))
    return Header([(name, str(value)[:_LONGEST_CARD]) for name, value in cards.items()], None)
