"""What a request may bring along: how much, and how slowly."""

from __future__ import annotations

import asyncio
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth import UNSAFE
from service.context import Context, context_of
from service.problems import problem_response
from service.shapes import API

_UPLOAD = ("POST", f"{API}/frames")
_FORM_BYTES = 1 << 16  # a form's other fields and the lines between them
_LEAST_BYTES_A_SECOND = 8192
_DRAIN_S = 1.0
_DRAIN_BYTES = 64 << 20


class Bodies:
    """Refuses bodies that are too large, before they are read where they say so, and those that dawdle.

    What is left of a body when the answer goes out is read for a moment and thrown away: a connection
    that is closed over unread bytes takes the answer with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, send)
        if body.announced is not None and body.announced > body.limit:
            answer = problem_response(413, "too-large", body.too_large)
            await answer(scope, body.receive, body.send)
        else:
            await self._app(scope, body.receive, body.send)


class _Body:
    """One request's body, on its way in."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        here = context_of(scope)
        self._receive, self._send = receive, send
        self.limit, self._words = _limit(scope, here)
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        self.announced = int(length) if length.isdecimal() else None
        self._patience_s = here.settings.service.body_patience_s
        self._started = time.monotonic()
        self._got = 0
        has_none = not self.announced and "transfer-encoding" not in headers
        self._is_whole = scope["method"] not in UNSAFE or has_none
        self._is_gone = False

    @property
    def too_large(self) -> str:
        """What to say of a body that is too large."""
        return f"the body is larger than {self.limit:,} bytes; {self._words}"

    async def receive(self) -> Message:
        """Give the next piece.

        Raises
        ------
        HTTPException
            413 when it is more than allowed, 408 when it does not come.
        """
        if self._is_whole:
            return await self._receive()
        allowed_s = self._patience_s + self._got / _LEAST_BYTES_A_SECOND
        try:
            async with asyncio.timeout(self._started + allowed_s - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            self._is_gone = True  # whoever is so slow is not waited for twice
            raise HTTPException(408, f"the body did not come within {allowed_s:.0f} s") from None
        if message["type"] != "http.request":
            self._is_gone = True
            return message
        self._got += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._got > self.limit:
            raise HTTPException(413, self.too_large)
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on; when the body was not read to its end, end the connection after it."""
        if self._is_whole:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["connection"] = "close"
            await self._send(message)
        elif self._is_gone or message.get("more_body", False):
            await self._send(message)
        else:
            await self._send({**message, "more_body": True})
            await self._drain()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                left = _DRAIN_BYTES
                while left > 0:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
                    left -= len(message.get("body", b""))
        except TimeoutError:
            return


def _limit(scope: Scope, here: Context) -> tuple[int, str]:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if (scope["method"], path) == _UPLOAD:
        return (
            here.settings.limits.max_file_bytes + _FORM_BYTES,
            "raise limits.max_file_bytes in the settings if the file is genuine",
        )
    return here.settings.service.max_body_bytes, "send less, or raise service.max_body_bytes in the settings"
