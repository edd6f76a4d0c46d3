"""HEAD and OPTIONS for every address, so that no route has to think of them."""

from __future__ import annotations

import contextlib

from starlette.datastructures import MutableHeaders
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ASKED = ("GET", "POST", "PUT", "PATCH", "DELETE")


class _HeadersSentError(Exception):
    """The answer's headers are out; nothing more is wanted."""


class HeadAndOptions:
    """Answers HEAD as GET without a body, and OPTIONS with what an address allows.

    A handler is left as soon as it has said its headers, so that HEAD of an endless answer (the
    event stream) or a long one (CSV) ends at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = scope["method"] if scope["type"] == "http" else ""
        if method == "HEAD":
            await self._head(scope, receive, send)
        elif method:
            await self._app(scope, receive, _with_allowed(scope, send, is_asked=method == "OPTIONS"))
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                raise _HeadersSentError

        with contextlib.suppress(_HeadersSentError):
            # A copy: the server must go on knowing that it was a HEAD.
            await self._app(dict(scope) | {"method": "GET"}, receive, _with_allowed(scope, send_headers))


def _methods_at(scope: Scope) -> set[str]:
    """Methods of all routes of an address: a refusal names only those of the first one that has it."""
    routes = [route for route in scope["app"].router.routes if not isinstance(route, Mount)]
    return {
        method
        for method in _ASKED
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
    }


def _with_allowed(scope: Scope, send: Send, *, is_asked: bool = False) -> Send:
    """Name all methods where a refusal says what is allowed; when that was asked, it is the answer."""
    asked = dict(scope)  # as it came: routing writes into it
    is_answered = False

    async def send_allowed(message: Message) -> None:
        nonlocal is_answered
        if message["type"] == "http.response.start" and message["status"] == 405:
            headers = MutableHeaders(scope=message)
            methods = {word.strip() for word in headers.get("allow", "GET").split(",")} | _methods_at(asked)
            allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"}))
            if is_asked:
                is_answered = True
                message = {**message, "status": 204, "headers": [(b"allow", allowed.encode())]}
            else:
                headers["allow"] = allowed
        elif is_answered:
            message = {**message, "body": b""}
        await send(message)

    return send_allowed
