"""HAPI's addresses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from observatory.storage import series
from service.context import Context, Here
from service.hapi import documents
from service.hapi.answers import HapiError, HapiRoute, json_answer
from service.hapi.encoding import MEDIA_TYPES, encoded
from service.hapi.names import by_name
from service.hapi.requests import check_references, given, read_columns, read_data_request, read_data_set
from service.paging import base_of
from service.views.assets import templates

router = APIRouter(prefix="/hapi", route_class=HapiRoute, include_in_schema=False)

_ENDPOINTS = ("about", "capabilities", "catalog", "info", "data")


@router.get("")
def landing(request: Request, here: Here) -> Response:
    """What there is, for people."""
    data_sets = by_name(here.series.get())
    return templates.TemplateResponse(
        request, "hapi.html", {"base": base_of(request), "data_sets": data_sets, "endpoints": _ENDPOINTS}
    )


@router.get("/about")
def about(request: Request, here: Here) -> Response:
    """Who serves what."""
    given(request, ())
    return json_answer(documents.about(here.settings.publisher))


@router.get("/capabilities")
def capabilities(request: Request) -> Response:
    """The formats."""
    given(request, ())
    return json_answer(documents.capabilities())


@router.get("/catalog")
def catalog(request: Request, here: Here) -> Response:
    """The data sets."""
    words = given(request, ("depth", "resolve_references"))
    check_references(words)
    depth = words.get("depth", "dataset")
    if depth not in ("dataset", "all"):
        raise HapiError(1413, "depth is dataset or all")
    found = here.series.get()
    return json_answer(documents.catalog(found, here.settings.publisher, is_deep=depth == "all"))


@router.get("/info")
def info(request: Request, here: Here) -> Response:
    """The parameters of a data set, and from when to when it reaches."""
    words = given(request, ("dataset", "parameters", "resolve_references"))
    check_references(words)
    data_set = _as_it_stands(here, read_data_set(words, by_name(here.series.get())))
    columns = read_columns(words, data_set)
    return json_answer(documents.info(data_set, columns, here.settings.publisher))


@router.get("/data")
def data(request: Request, here: Here) -> Response:
    """Records of a range."""
    wanted = read_data_request(request, by_name(here.series.get()))
    chunks, is_empty = _begun(
        series.records(
            here.db,
            wanted.data_set.series,
            wanted.data_set.instrument,
            wanted.columns,
            wanted.start,
            wanted.stop,
        )
    )
    head = None
    if wanted.has_header or wanted.form == "json":
        head = documents.info(
            _as_it_stands(here, wanted.data_set),
            wanted.columns,
            here.settings.publisher,
            code=1201 if is_empty else 1200,
            form=wanted.form,
        )
    body = encoded(wanted.form, head, wanted.columns, chunks)
    headers = {"Cache-Control": "no-cache"}
    return StreamingResponse(body, media_type=MEDIA_TYPES[wanted.form], headers=headers)


@router.get("/{rest:path}")
def unknown(request: Request, rest: str) -> Response:
    """Anything else: one of the addresses with a slash too many, or none of them."""
    if rest.rstrip("/") in ("", *_ENDPOINTS):
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(request.url.path.rstrip("/") + query, 301)
    raise HapiError(1400, f"there are /hapi/{', /hapi/'.join(_ENDPOINTS)}")


def _as_it_stands(here: Context, data_set: series.DataSet) -> series.DataSet:
    """The data set with its last record of now, not of a moment ago."""
    return series.look_up(here.db, data_set.series, data_set.instrument) or data_set


def _begun(chunks: Iterator[list[tuple[Any, ...]]]) -> tuple[Iterator[list[tuple[Any, ...]]], bool]:
    """Take the first chunk, while an error can still be told; whether there is none."""
    first = next(chunks, None)
    return (iter(()), True) if first is None else (chain([first], chunks), False)
