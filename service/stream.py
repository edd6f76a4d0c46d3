"""The live stream: events from the database to every listener, none lost, none doubled.

One thread waits for changes and reads the new events once for all listeners. A listener knows the
number of the last event it sent; what is newer comes from the short memory of this process, and
from the database where the memory does not reach back far enough. Replay, live and a listener that
fell behind are so one case, and no listener can make this process keep more than it wants to.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool

from observatory.errors import StorageUnavailableError
from observatory.storage import events
from observatory.storage.session import Database

_log = structlog.get_logger()

_MEMORY = 2_000  # events; about 1 MB
_PAGE = 500
_KEEP_ALIVE_S = 15.0  # proxies cut a silent connection after 30 to 60 s
_RETRY_MS = 2_000
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Encoded:
    """An event as it goes over the wire."""

    seq: int
    instrument: str | None
    wire: bytes


def encode(event: events.Event) -> Encoded:
    """Write an event in the format of server-sent events."""
    wire = format_sse_event(
        data_str=orjson.dumps(event.payload).decode(), event=event.type, id=str(event.seq)
    )
    return Encoded(event.seq, event.instrument, wire)


class EventStream:
    """Fans the database's events out to listeners of one event loop.

    Parameters
    ----------
    keep_alive_s : float
        Seconds of silence after which a listener gets a comment.
    memory : int
        Newest events kept in this process.
    """

    def __init__(self, db: Database, *, keep_alive_s: float = _KEEP_ALIVE_S, memory: int = _MEMORY) -> None:
        self._db = db
        self._keep_alive_s = keep_alive_s
        self._recent: deque[Encoded] = deque(maxlen=memory)
        self._last = 0  # newest event in memory; touched by the event loop alone
        self._read = 0  # newest event read; touched by the thread alone
        self._failures = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self.listeners = 0

    def start(self) -> None:
        """Start the thread; call it from the event loop."""
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._read = self._last = events.last_seq(self._db)
        self._thread = threading.Thread(target=self._follow, name="event-stream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all streams soon; safe from any thread and from a signal handler."""
        self._stop.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is gone already
                self._loop.call_soon_threadsafe(self._wake)

    def join(self, timeout_s: float = 5.0) -> None:
        """Wait for the thread after `close`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                events.wait_for_change(self._db, self._stop, self._read_new)
            except Exception as error:  # noqa: BLE001 - whatever it was, the stream must live on
                if not isinstance(error, StorageUnavailableError):
                    _log.warning("event_stream_broken", error=str(error), kind=type(error).__name__)
                pause_s = _BACKOFF_S[min(self._failures, len(_BACKOFF_S) - 1)]
                self._failures += 1
                self._stop.wait(pause_s)

    def _read_new(self) -> None:
        while not self._stop.is_set():
            new = events.after(self._db, self._read, _PAGE)
            self._failures = 0
            if not new:
                return
            self._read = new[-1].seq
            self._post([encode(event) for event in new])
            if len(new) < _PAGE:
                return

    def _post(self, new: list[Encoded]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # shutting down: nobody listens any more
            self._loop.call_soon_threadsafe(self._remember, new)

    def _remember(self, new: list[Encoded]) -> None:
        self._recent.extend(new)
        self._last = new[-1].seq
        self._wake()

    def _wake(self) -> None:
        assert self._changed is not None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def listen(self, after: int | None, instrument: str | None) -> AsyncIterator[bytes]:
        """Yield what is newer than event ``after`` (None: than now), until the service stops."""
        self.listeners += 1
        try:
            position = self._last if after is None else after
            yield b": heliowatch\n" + format_sse_event(retry=_RETRY_MS)
            if after is not None:
                position, told = await self._reconcile(after)
                if told:
                    yield told
            async for chunk in self._stream_from(position, instrument):
                yield chunk
        except StorageUnavailableError as error:
            _log.warning("event_stream_cut", error=str(error))  # the client comes back with its last id
        finally:
            self.listeners -= 1

    async def _stream_from(self, position: int, instrument: str | None) -> AsyncIterator[bytes]:
        assert self._changed is not None
        while not self._stop.is_set():
            changed = self._changed  # taken before looking, so that nothing slips between
            found = self._in_memory(position)
            if found is None:
                found = await self._in_database(position)
            if found:
                position = found[-1].seq
                wanted = [event.wire for event in found if instrument in (None, event.instrument)]
                if wanted:
                    yield b"".join(wanted)
                continue
            try:
                async with asyncio.timeout(self._keep_alive_s):
                    await changed.wait()
            except TimeoutError:
                # An id alone moves the browser's Last-Event-ID on past what a filter left out.
                yield KEEPALIVE_COMMENT + format_sse_event(id=str(position))

    def _in_memory(self, position: int) -> list[Encoded] | None:
        """Events after ``position``; None when memory does not reach back that far."""
        if position >= self._last:
            return []
        if not self._recent or self._recent[0].seq > position + 1:
            return None
        newer = []
        for event in reversed(self._recent):
            if event.seq <= position:
                break
            newer.append(event)
        return newer[::-1]

    async def _in_database(self, position: int) -> list[Encoded]:
        """Read a page; the position moves to the newest even where numbers were skipped."""
        found = await run_in_threadpool(events.after, self._db, position, _PAGE)
        return [encode(event) for event in found]

    async def _reconcile(self, after: int) -> tuple[int, bytes]:
        """Where to go on from, and what to say when events between were deleted meanwhile."""
        # In this order: an event that comes between then never looks like one that was deleted.
        last = await run_in_threadpool(events.last_seq, self._db)
        first = await run_in_threadpool(events.first_seq, self._db)
        if first and after >= first - 1 and after <= last:
            return after, b""
        if after == last == 0:
            return 0, b""
        go_on = first - 1 if first and after < first else last
        status = {"missed": True, "after": after, "oldest_kept": first or None, "newest": last}
        told = format_sse_event(data_str=orjson.dumps(status).decode(), event="status", id=str(go_on))
        return go_on, told
