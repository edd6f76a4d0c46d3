"""Answers as HAPI wants them: every one with a status of its own, errors included, for any web page."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import orjson
import structlog
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from observatory.errors import QueryTooLongError, StorageUnavailableError
from service.problems import ProblemError

VERSION = "3.3"

_log = structlog.get_logger()
_RETRY_AFTER_S = 5
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Content-Type",
}

#: Code, HTTP status and message: HAPI data access specification 3.3, section 4.2.
STATUSES: Mapping[int, tuple[int, str]] = {
    1200: (200, "OK"),
    1201: (200, "OK - no data for time range"),
    1400: (400, "Bad request - user input error"),
    1401: (400, "Bad request - unknown API parameter name"),
    1402: (400, "Bad request - syntax error in start time"),
    1403: (400, "Bad request - syntax error in stop time"),
    1404: (400, "Bad request - start equal to or after stop"),
    1406: (404, "Bad request - unknown dataset id"),
    1407: (404, "Bad request - unknown dataset parameter"),
    1408: (400, "Bad request - too much time or data requested"),
    1409: (400, "Bad request - unsupported output format"),
    1410: (400, "Bad request - unsupported include value"),
    1411: (400, "Bad request - out-of-order or duplicate parameters"),
    1412: (400, "Bad request - unsupported resolve_references value"),
    1413: (400, "Bad request - unsupported depth value"),
    1500: (500, "Internal server error"),
    1501: (503, "Internal server error - upstream request error"),
}


class HapiError(Exception):
    """A request that cannot be answered. What was sent is not repeated (specification, section 5.2).

    Parameters
    ----------
    code : int
        HAPI's.
    hint : str
        What to do.
    """

    def __init__(self, code: int, hint: str) -> None:
        super().__init__(hint)
        self.code = code
        self.hint = hint


def envelope(code: int = 1200, hint: str = "") -> dict[str, Any]:
    """What every JSON answer begins with."""
    message = STATUSES[code][1] + (f"; {hint}" if hint else "")
    return {"HAPI": VERSION, "status": {"code": code, "message": message}}


def json_answer(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON document."""
    return Response(
        orjson.dumps(body, option=orjson.OPT_INDENT_2),
        status,
        {"Cache-Control": "no-cache", **(headers or {})},
        "application/json",
    )


def _refusal(
    code: int, hint: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    return json_answer(envelope(code, hint), status or STATUSES[code][0], headers)


class HapiRoute(APIRoute):
    """A route all of whose answers, refusals of others among them, are HAPI's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            response = await _answered(handler, request)
            response.headers.update(_CORS)
            return response

        return answer


async def _answered(
    handler: Callable[[Request], Coroutine[Any, Any, Response]], request: Request
) -> Response:
    try:
        return await handler(request)
    except HapiError as error:
        return _refusal(error.code, error.hint)
    except ProblemError as error:  # no key, no right, too many requests
        code = 1400 if error.status < 500 else 1500
        return _refusal(code, error.detail, status=error.status, headers=error.headers)
    except QueryTooLongError:
        return _refusal(1408, "the database needs too long for it; ask for a shorter time")
    except StorageUnavailableError as error:
        _log.warning("storage_unavailable", path=request.url.path, error=str(error))
        hint = "the database cannot be used now; ask again in a moment"
        return _refusal(1501, hint, headers={"Retry-After": str(_RETRY_AFTER_S)})
    except Exception as error:  # noqa: BLE001 - the border: what nobody foresaw is logged, and told as HAPI tells it
        _log.error("request_failed", path=request.url.path, exc_info=error)
        return _refusal(1500, "something that ought not to happen; the log tells more")
