"""The answer that never ends: an event stream to one listener, who must take what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import cast

import structlog
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from service.protocol import FAREWELL
from service.stream import notice

_log = structlog.get_logger()

_PATIENCE_S = 10.0


class Listening(EventSourceResponse):
    """Sends chunks as they come, and lets a listener go that takes nothing for a while.

    Its last words lie behind what it has not read yet, and a few seconds later all of that is thrown
    away: a listener that sleeps holds no memory.

    Parameters
    ----------
    patience_s : float
        With one that does not read.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], headers: dict[str, str], *, patience_s: float = _PATIENCE_S
    ) -> None:
        super().__init__(chunks, headers=headers)
        self._patience_s = patience_s
        self._farewell: Callable[[bytes], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one listener."""
        self._farewell = scope.get("extensions", {}).get(FAREWELL)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send until the stream ends, or its listener is found not to read."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(cast(AsyncGenerator[bytes, None], self.body_iterator)) as chunks:
            async for chunk in chunks:
                try:
                    async with asyncio.timeout(self._patience_s):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                except TimeoutError:
                    self._let_go()
                    return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _let_go(self) -> None:
        _log.info("listener_dropped", reason="it read nothing", patience_s=self._patience_s)
        if self._farewell is not None:
            self._farewell(
                notice({"dropped": True, "reason": f"nothing was read for {self._patience_s:g} s"})
            )
