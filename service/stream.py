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
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool

from observatory.errors import StorageUnavailableError
from observatory.storage import events
from observatory.storage.session import Database
from service.formats import iso_z
from service.metrics import utc_now

_log = structlog.get_logger()

_MEMORY = 2_000  # events; about 1 MB
_PAGE = 500
_CHUNK = 200  # events sent at once
_CHUNK_BYTES = 1 << 16  # the same in bytes: with as much in the connection, all that a listener can hold
_FAR_BEHIND = 5_000
_CHECK_S = 2.0
_SHARED = 64  # chunks
_KEEP_ALIVE_S = 15.0  # proxies cut a silent connection after 30 to 60 s
_RETRY_MS = 2_000
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True)
class Encoded:
    """An event as it goes over the wire."""

    seq: int
    instrument: str | None
    wire: bytes


IsGood = Callable[[], Awaitable[bool]]
"""Asks whether a listener may go on listening."""


def notice(facts: dict[str, Any], seq: int | None = None) -> bytes:
    """Write an event of the stream itself."""
    number = None if seq is None else str(seq)
    return format_sse_event(data_str=orjson.dumps(facts).decode(), event="status", id=number)


def _pulse(seq: int | None = None) -> bytes:
    """What time it is, for pages: they hear no comments, and their clocks may be wrong."""
    return notice({"now": iso_z(utc_now())}, seq)


def encode(event: events.Event) -> Encoded:
    """Write an event in the format of server-sent events."""
    wire = format_sse_event(
        data_str=orjson.dumps(event.payload).decode(), event=event.type, id=str(event.seq)
    )
    return Encoded(event.seq, event.instrument, wire)


def _as_much_as_fits(found: list[Encoded]) -> list[Encoded]:
    """The first events of a list, up to what is sent at once; at least one where there is one."""
    size = 0
    for number, event in enumerate(found):
        size += len(event.wire)
        if number and size > _CHUNK_BYTES:
            return found[:number]
    return found[:_CHUNK]


class EventStream:
    """Fans the database's events out to listeners of one event loop.

    Parameters
    ----------
    keep_alive_s : float
        Seconds of silence after which a listener gets a comment.
    memory : int
        Newest events kept in this process.
    far_behind : int
        Events that a listener who was abreast once may fall behind.
    check_s : float
        Between two looks at whether a listener may go on.
    """

    def __init__(
        self,
        db: Database,
        *,
        keep_alive_s: float = _KEEP_ALIVE_S,
        memory: int = _MEMORY,
        far_behind: int = _FAR_BEHIND,
        check_s: float = _CHECK_S,
    ) -> None:
        self._db = db
        self._keep_alive_s = keep_alive_s
        self._far_behind, self._check_s = far_behind, check_s
        self._chunks: dict[tuple[int, str | None], tuple[int, bytes]] = {}
        self._pages: dict[int, asyncio.Future[tuple[int, list[Encoded]]]] = {}
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
        self._recall()
        self._thread = threading.Thread(target=self._follow, name="event-stream", daemon=True)
        self._thread.start()

    def _recall(self) -> None:
        """Begin with the newest events in memory: after a restart most listeners come back for them."""
        self._read = self._last = events.last_seq(self._db)
        size = self._recent.maxlen or 0
        new = events.after(self._db, self._last - size, size)
        if new:
            self._recent.extend(encode(event) for event in new)
            self._read = self._last = new[-1].seq

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
        self._chunks.clear()
        self._wake()

    def _wake(self) -> None:
        assert self._changed is not None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def listen(
        self,
        after: int | None,
        instrument: str | None,
        is_good: IsGood | None = None,
        *,
        with_pulse: bool = False,
    ) -> AsyncIterator[bytes]:
        """Yield what is newer than event ``after`` (None: than now), until the service stops.

        Parameters
        ----------
        is_good : callable or None
            Asked every few seconds; when it says no, the stream ends.
        with_pulse : bool
            Whether the time is told at the beginning and after each silence, as a `status` event.
        """
        self.listeners += 1
        try:
            position = self._last if after is None else after
            # The number goes at once: who is cut off before the first event must know where to go on, too.
            begun = format_sse_event(retry=_RETRY_MS, id=None if after is not None else str(position))
            yield b": heliowatch\n" + begun + (_pulse() if with_pulse else b"")
            if after is not None:
                position, told = await self._reconcile(after)
                if told:
                    yield told
            async for chunk in self._stream_from(position, instrument, is_good, with_pulse=with_pulse):
                yield chunk
        except StorageUnavailableError as error:
            _log.warning("event_stream_cut", error=str(error))  # the client comes back with its last id
        finally:
            self.listeners -= 1

    async def _stream_from(
        self, position: int, instrument: str | None, is_good: IsGood | None, *, with_pulse: bool
    ) -> AsyncIterator[bytes]:
        assert self._changed is not None
        clock = asyncio.get_running_loop().time
        now = clock()
        check_at, silent_at = now + self._check_s, now + self._keep_alive_s
        was_abreast = False
        while not self._stop.is_set():
            changed = self._changed  # taken before looking, so that nothing slips between
            now = clock()
            if is_good is not None and now >= check_at:
                check_at = now + self._check_s
                if not await is_good():
                    yield notice({"ended": True, "reason": "the key is no longer valid"})
                    return
            if was_abreast and self._last - position > self._far_behind:
                yield notice(
                    {"dropped": True, "reason": "too far behind", "after": position, "newest": self._last}
                )
                return
            if position < self._last:
                position, chunk = await self._next(position, instrument)
                was_abreast |= position == self._last
                if chunk:
                    silent_at = clock() + self._keep_alive_s
                    yield chunk
                continue
            was_abreast = True
            if now >= silent_at:
                # An id alone moves the browser's Last-Event-ID on past what a filter left out.
                silent_at = now + self._keep_alive_s
                silence = _pulse(position) if with_pulse else format_sse_event(id=str(position))
                yield KEEPALIVE_COMMENT + silence
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(silent_at if is_good is None else min(silent_at, check_at)):
                    await changed.wait()

    async def _next(self, position: int, instrument: str | None) -> tuple[int, bytes]:
        """What follows a position, at most a chunk of it, and where one then stands.

        Most listeners stand at the same place: what was found for one serves them all.
        """
        key = position, instrument
        known = self._chunks.get(key)
        if known is None:
            newest, found = self._last, self._in_memory(position)
            if found is None:
                newest, found = await self._in_database(position)
            found = _as_much_as_fits(found)
            wire = b"".join(event.wire for event in found if instrument in (None, event.instrument))
            known = (found[-1].seq if found else newest), wire
            if len(self._chunks) >= _SHARED:
                self._chunks.clear()
            self._chunks[key] = known
        return known

    def _in_memory(self, position: int) -> list[Encoded] | None:
        """Events after ``position``; None when memory does not reach back that far."""
        if not self._recent or self._recent[0].seq > position + 1:
            return None
        newer = []
        for event in reversed(self._recent):
            if event.seq <= position:
                break
            newer.append(event)
        return newer[::-1]

    async def _in_database(self, position: int) -> tuple[int, list[Encoded]]:
        """Read a page, and say up to where it is whole when nothing is in it: numbers may be skipped."""
        page = self._pages.get(position)
        if page is None:  # else one who stands there, too, has asked
            page = asyncio.ensure_future(run_in_threadpool(self._read_page, self._last, position))
            self._pages[position] = page
            page.add_done_callback(lambda _: self._pages.pop(position, None))
        return await asyncio.shield(page)

    def _read_page(self, newest: int, position: int) -> tuple[int, list[Encoded]]:
        return newest, [encode(event) for event in events.after(self._db, position, _CHUNK)]

    async def _reconcile(self, after: int) -> tuple[int, bytes]:
        """Where to go on from, and what to say when events between were deleted meanwhile."""
        if self._recent and self._recent[0].seq - 1 <= after <= self._last:
            return after, b""
        # In this order: an event that comes between then never looks like one that was deleted.
        last = await run_in_threadpool(events.last_seq, self._db)
        first = await run_in_threadpool(events.first_seq, self._db)
        if first and after >= first - 1 and after <= last:
            return after, b""
        if after == last == 0:
            return 0, b""
        go_on = first - 1 if first and after < first else last
        facts = {"missed": True, "after": after, "oldest_kept": first or None, "newest": last}
        return go_on, notice(facts, go_on)
