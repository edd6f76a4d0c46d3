"""What every request passes before its route: it is counted, and a write is noted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from observatory.errors import StorageUnavailableError
from observatory.storage.audit import Entry
from observatory.storage.session import hurried
from service.auth import REMEMBERED, CrossOriginError, UnauthorisedError, identify, is_write
from service.context import Context, context_of
from service.identity import Identity
from service.limits import Kind, TooOftenError, caller_of, network_of
from service.problems import ProblemError, problem_response, unavailable_response
from service.shapes import API

EXEMPT = frozenset({"/healthz", "/readyz", "/metrics"})
NOTES = "heliowatch.notes"
"""Where a route leaves what the audit log is to say of a write: a dict."""

_WRITE_PATIENCE_S = 5.0  # with other writers, where there can be one at a time
_ENTRIES_AT_ONCE = 2  # a long queue for the audit log must not take the threads that read


class RateLimits:
    """Counts requests by who asks, and refuses a flood before it costs more.

    The machinery around us (health, metrics) is never refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].removeprefix(scope.get("root_path", "")) in EXEMPT:
            await self._app(scope, receive, send)
            return
        try:
            await _count(HTTPConnection(scope), context_of(scope))
        except TooOftenError as error:
            answer = problem_response(error.status, error.kind, error.detail, headers=error.headers)
            await answer(scope, receive, send)
            return
        except StorageUnavailableError as error:
            await unavailable_response(scope["path"], error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def _count(request: HTTPConnection, here: Context) -> None:
    """Count a request for its key, else for its address; wrong keys are counted apart.

    Raises
    ------
    TooOftenError
    """
    address = _address(request)
    network = network_of(address)
    shown = request.headers.get("authorization")
    if shown is not None and not here.keyring.is_remembered(shown):
        await here.limiter.check(Kind.REFUSED, network)
    try:
        caller = caller_of(await identify(request, here), address)
    except UnauthorisedError:
        await here.limiter.hit(Kind.REFUSED, network)
        return  # the route says why
    except CrossOriginError:
        caller = f"address:{network}"
    kind = Kind.WRITE if is_write(request) else Kind.READ
    await here.limiter.hit(kind, caller)


class AuditTrail:
    """Notes every write, before its answer goes out: who has the answer finds the entry."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = CapacityLimiter(_ENTRIES_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not is_write(HTTPConnection(scope)):
            await self._app(scope, receive, send)
            return
        scope[NOTES] = {}

        async def send_noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry = _entry(scope, message["status"])
                if entry is not None:
                    await to_thread.run_sync(context_of(scope).trail.note, entry, limiter=self._turns)
            await send(message)

        with hurried(_WRITE_PATIENCE_S):
            await self._app(scope, receive, send_noting)


def _entry(scope: Scope, status: int) -> Entry | None:
    route = scope.get("route")
    if route is None and status in (404, 405):
        return None  # there is nothing to write to
    request = HTTPConnection(scope)
    who = scope.get(REMEMBERED)
    identity = who if isinstance(who, Identity) else Identity("unknown" if who else "anonymous")
    path = getattr(route, "path", "")
    if path and API in scope["path"] and not path.startswith(API):
        path = f"{API}{path}"
    detail: dict[str, Any] = dict(scope[NOTES])
    if isinstance(who, ProblemError):
        detail["refused"] = who.kind
    return Entry(
        at=datetime.now(UTC),
        actor=identity.name,
        action=f"{scope['method']} {path}".strip(),
        status=status,
        key_id=identity.key_id,
        address=_address(request),
        target=scope["path"],
        detail=detail or None,
    )


def note(request: HTTPConnection, **facts: Any) -> None:
    """Let the audit log say more of a write."""
    request.scope.get(NOTES, {}).update(facts)


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client else "unknown"
