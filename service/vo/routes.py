"""The Virtual Observatory's addresses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from itertools import chain, islice
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from observatory.errors import QueryTooLongError, StorageUnavailableError
from service.context import Context, Here
from service.vo import vosi
from service.vo.obscore import FIELDS, Publisher
from service.vo.sia import Answer, UsageError, read_query
from service.vo.votable import MEDIA_TYPE, error, table

_log = structlog.get_logger()
_RETRY_AFTER_S = 5
_FRESH = {"Cache-Control": "no-cache"}
_ROWS_A_PIECE = 100
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class VotableErrors(APIRoute):
    """A route whose errors are VOTables, as DALI wants them; who may not ask at all is told as elsewhere."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except UsageError as problem:
                return _error(400, str(problem))
            except QueryTooLongError:
                return _error(
                    400, "UsageFault: the database needs too long for it; give TIME a smaller range"
                )
            except StorageUnavailableError as problem:
                _log.warning("storage_unavailable", path=request.url.path, error=str(problem))
                return _error(503, "TransientFault: the database cannot be used now; ask again in a moment")

        return answer


def _error(status: int, message: str) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    return Response(error(message), status, headers, MEDIA_TYPE)


router = APIRouter(prefix="/vo", include_in_schema=False)
_queries = APIRouter(route_class=VotableErrors)


@router.get("/capabilities")
def capabilities(request: Request, here: Here) -> Response:
    """What there is, and where."""
    document = vosi.capabilities(f"{_address(request, here)}/vo")
    return Response(document, headers=_FRESH, media_type=vosi.MEDIA_TYPE)


@router.get("/availability")
def availability(here: Here) -> Response:
    """Whether it can be used now."""
    try:
        here.db.revision()
        is_available, note = True, "the database answers"
    except StorageUnavailableError:
        is_available, note = False, "the database cannot be used now"
    document = vosi.availability(is_available=is_available, note=note)
    return Response(document, headers={"Cache-Control": "no-store"}, media_type=vosi.MEDIA_TYPE)


@router.get("/tables")
def tables() -> Response:
    """What an answer's columns are."""
    return Response(vosi.tables(FIELDS), headers=_FRESH, media_type=vosi.MEDIA_TYPE)


async def _asked(request: Request) -> list[tuple[str, str]]:
    """Parameters of the address and of a form, as DALI 1.1 lets both carry them.

    Raises
    ------
    UsageError
        When the body is no form, or has files.
    """
    asked = request.query_params.multi_items()
    if request.method != "POST":
        return asked
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        if await request.body():
            raise UsageError("the Content-Type", f"one of {', '.join(_FORMS)}")
        return asked
    try:
        async with request.form(max_files=0) as form:
            return [*asked, *((name, str(value)) for name, value in form.multi_items())]
    except HTTPException as error:
        if error.status_code != 400:
            raise  # too large, or too slow
        raise UsageError("the body", f"a form of plain fields ({error.detail})") from error


@_queries.api_route("/sia2", methods=["GET", "POST"])
def sia2(request: Request, here: Here, asked: Annotated[list[tuple[str, str]], Depends(_asked)]) -> Response:
    """Images by time, wavelength, instrument and more (SIA 2.0)."""
    settings = here.settings
    query = read_query(asked, settings.publisher.authority)
    publisher = Publisher(
        settings.publisher.authority, _address(request, here), settings.service.serve_originals
    )
    answer = Answer(here.db, query, publisher)
    rows = answer.rows()
    first = list(islice(rows, 1))  # asked now, while an error can still be told
    infos = (
        ("standardID", "ivo://ivoa.net/std/SIA#query-2.0"),
        ("service", settings.publisher.title),
        ("contact", settings.publisher.contact),
    )
    pieces = table(FIELDS, chain(first, rows), infos=infos, overflow=answer.overflow())
    return StreamingResponse(_joined(pieces), media_type=MEDIA_TYPE, headers=_FRESH)


router.include_router(_queries)


def _joined(pieces: Iterator[str]) -> Iterator[bytes]:
    """Pieces of some hundred rows: each costs a change of thread."""
    while some := list(islice(pieces, _ROWS_A_PIECE)):
        yield "".join(some).encode()


def _address(request: Request, here: Context) -> str:
    """Where the service is, as the world sees it."""
    return here.settings.publisher.url.rstrip("/") or str(request.base_url).rstrip("/")
