"""HTTP with bounds that uvicorn has not: patience with a request's head, and with who reads nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import MutableMapping
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from observatory.service_settings import ServiceSettings

FAREWELL = "heliowatch.farewell"
"""Extension of the ASGI scope: ends an answer with last words, whether the client reads or not."""

_LINGER_S = 5.0  # for last words to be read


def bounded_http(settings: ServiceSettings) -> type[H11Protocol]:
    """Make the protocol's class for these settings."""
    return type(
        "BoundedHttp",
        (_BoundedHttp,),
        {"head_patience_s": settings.header_patience_s, "reader_patience_s": settings.reader_patience_s},
    )


class _Told(logging.LoggerAdapter[logging.Logger]):
    """The server's log, in which an answer cut short by the server's end is no defect."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Change nothing."""
        return msg, kwargs

    @property
    def level(self) -> int:
        """Least that is logged."""
        return self.logger.level

    def error(self, msg: object, *args: object, **named: Any) -> None:
        """Log an error, unless it is that the server was told to stop."""
        if isinstance(named.get("exc_info"), asyncio.CancelledError):
            self.info("an answer was not finished before the server stopped, and was cut off")
        else:
            super().error(msg, *args, **named)


class _BoundedHttp(H11Protocol):
    """One connection.

    A head must be whole some seconds after the connection was made, or after its first byte on one that
    was used before. A client must take something of its answer every minute or so: else its part of
    the answer would stay in memory for as long as it likes.
    """

    head_patience_s: float
    reader_patience_s: float

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _Told(self.logger, None)  # type: ignore[assignment]
        self._served: Any = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def handle_events(self) -> None:
        super().handle_events()
        if self.cycle is not None and self.cycle is not self._served:
            self._served = self.cycle
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
            # The application starts in a later turn of the loop, so it finds this in its scope.
            scope = cast(dict[str, Any], self.scope)
            scope.setdefault("extensions", {})[FAREWELL] = self._farewell

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(self.reader_patience_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_patience_s, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _farewell(self, last: bytes) -> None:
        """Write last words behind what waits to be read, and end the connection soon, come what may."""
        if self.cycle is None or self.cycle.response_complete or self.transport.is_closing():
            return
        with contextlib.suppress(h11.LocalProtocolError):
            for event in (h11.Data(data=last), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.cycle.response_complete = True
        self.cycle.message_event.set()
        self.transport.close()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._reader_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._reader_timer = None
