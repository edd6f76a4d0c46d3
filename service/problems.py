"""Errors as RFC 9457 ``application/problem+json``: which parameter, and what is allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from observatory.errors import QueryTooLongError, StorageUnavailableError

_log = structlog.get_logger()

_RETRY_AFTER_S = 5


class ParameterProblem(BaseModel):
    """What is wrong with one parameter."""

    parameter: str
    detail: str
    allowed: str | None = None


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ParameterProblem] | None = None


class ProblemError(Exception):
    """An answer that is a problem."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Sequence[ParameterProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


class NotFoundError(ProblemError):
    """Nothing is there under that name."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(404, "not-found", f"there is no {what}{'; ' + hint if hint else ''}")


class ParameterError(ProblemError):
    """One parameter cannot be used."""

    def __init__(self, parameter: str, detail: str, allowed: str) -> None:
        problem = ParameterProblem(parameter=parameter, detail=detail, allowed=allowed)
        super().__init__(422, "invalid-parameter", f"{parameter}: {detail}", errors=[problem])


def problem_response(
    status: int,
    kind: str,
    detail: str,
    errors: Sequence[ParameterProblem] = (),
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """Build the answer; ``extra`` are members of its own beside those of the standard."""
    body: dict[str, Any] = {
        "type": f"urn:heliowatch:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(extra or {}),
    }
    if errors:
        body["errors"] = [error.model_dump(exclude_none=True) for error in errors]
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/problem+json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


Handler = Callable[[Request, Exception], Awaitable[Response]]
Present = Callable[[Request, Response], Response]


def install(app: FastAPI, present: Present) -> None:
    """Answer every error of an app as a problem, which `present` may show in another form to who asked."""
    for kind, handler in (
        (ProblemError, _on_problem),
        (RequestValidationError, _on_invalid),
        (HTTPException, _on_http),
        (StorageUnavailableError, _on_unavailable),
        (QueryTooLongError, _on_too_long),
    ):
        app.add_exception_handler(kind, _presented(handler, present))


def _presented(handler: Handler, present: Present) -> Handler:
    async def answer(request: Request, error: Exception) -> Response:
        return present(request, await handler(request, error))

    return answer


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.status, error.kind, error.detail, error.errors, error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    allowed = _allowed_values(request)
    errors = [_body_problem(item, request) or _parameter_problem(item, allowed) for item in error.errors()]
    detail = "; ".join(f"{item.parameter}: {item.detail}" for item in errors)
    return problem_response(422, "invalid-parameter", detail, errors)


def _body_problem(item: Mapping[str, Any], request: Request) -> ParameterProblem | None:
    """What is wrong with a body as a whole; None when it is something else."""
    if item["type"] == "json_invalid":
        place, why = item["loc"][-1], item.get("ctx", {}).get("error", "it cannot be read")
        return ParameterProblem(
            parameter="body", detail=f"is no JSON: {why}, at character {place}", allowed="JSON in UTF-8"
        )
    if item["loc"] != ("body",) or item["type"] == "missing":
        return None
    kind = request.headers.get("content-type", "")
    if "json" not in kind.partition(";")[0].lower():
        detail = f"does not say that the body is JSON{': ' + kind[:100] if kind else ''}"
        return ParameterProblem(parameter="Content-Type", detail=detail, allowed="application/json")
    return ParameterProblem(
        parameter="body", detail="is no JSON object", allowed='an object, such as {"name": "value"}'
    )


def _parameter_problem(item: Mapping[str, Any], allowed: Mapping[str, str]) -> ParameterProblem:
    name = str(item["loc"][-1])
    if item["type"] == "extra_forbidden":
        return ParameterProblem(
            parameter=name, detail="is not a parameter here", allowed=f"parameters: {', '.join(allowed)}"
        )
    message = item["msg"].removeprefix("Value error, ")
    if not message[1:2].isupper():  # a word that is written large, such as START, stays so
        message = message[:1].lower() + message[1:]
    return ParameterProblem(parameter=name, detail=message, allowed=allowed.get(name))


def _allowed_values(request: Request) -> dict[str, str]:
    """What each parameter of the route may be: its own description."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    if dependant is None:
        return {}
    found: dict[str, str] = {}
    for parameter in (
        *dependant.path_params,
        *dependant.query_params,
        *dependant.header_params,
        *dependant.body_params,
    ):
        annotation = parameter.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= _described_fields(annotation)
        else:
            found[parameter.alias] = parameter.field_info.description or parameter.alias
    return found


def _described_fields(model: type[BaseModel]) -> dict[str, str]:
    """Descriptions of a model's fields, and of those of the models that they may hold."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        for held in _models_in(field.annotation):
            found |= _described_fields(held)
        found[name] = field.description or name
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return problem_response(error.status_code, kind, str(error.detail), headers=error.headers)


async def _on_too_long(request: Request, error: Exception) -> Response:
    _log.warning("query_too_long", path=request.url.path)
    return problem_response(503, "query-too-long", str(error), headers={"Retry-After": str(_RETRY_AFTER_S)})


async def _on_unavailable(request: Request, error: Exception) -> Response:
    return unavailable_response(request.url.path, error)


def unavailable_response(path: str, error: Exception) -> Response:
    """Answer while the database is away."""
    _log.warning("storage_unavailable", path=path, error=str(error))
    return problem_response(
        503,
        "storage-unavailable",
        "the database cannot be used now; ask again in a moment",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


class Defects:
    """Answers what nobody foresaw with 500 and logs it once.

    An exception handler would not do: Starlette raises the exception again after it, and the server
    logs it a second time. Once the answer has begun it can only be cut; then the server logs alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception as error:
            if has_begun:
                raise
            _log.error("request_failed", path=scope["path"], exc_info=error)
            answer = problem_response(500, "defect", "something that ought not to happen; the log tells more")
            await answer(scope, receive, send)
