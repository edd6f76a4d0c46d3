"""A crowd of listeners to an event stream, in a process of its own: for tests and benchmarks alike.

    python -m tests.listeners PORT LISTENERS FIRST LAST [--timeout 60]

Each listener asks for what follows event FIRST, comes back with its last number when the stream breaks,
and is done at event LAST. Prints ``ready`` when all listen, then one JSON object: how many events were
heard, missed, doubled or out of order, and the delays from the writing of an event (its ``at``) to here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import sys
import time
from array import array
from dataclasses import dataclass, field

_AT = b'"at":'
_BACK_S = (0.2, 1.0)


@dataclass
class Crowd:
    """What all listeners heard together."""

    port: int
    first: int
    last: int
    delays: array[float] = field(default_factory=lambda: array("d"))
    heard: int = 0
    missed: int = 0
    doubled: int = 0
    returns: int = 0
    done: int = 0
    listening: set[int] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Listener(asyncio.Protocol):
    """One connection; a listener has one after another."""

    def __init__(self, crowd: Crowd, number: int, position: int, ended: asyncio.Future[int]) -> None:
        self._crowd, self._number, self._ended = crowd, number, ended
        self._rest, self._at = b"", 0.0
        self.position = position

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(
            b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nLast-Event-ID: %d\r\n\r\n" % self.position
        )

    def data_received(self, data: bytes) -> None:
        now = time.time()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and (place := line.find(_AT)) > 0:
                self._at = float(line[place + len(_AT) :].partition(b",")[0].rstrip(b"}\r"))
            elif line.startswith(b"id: ") and self._at:
                self._hear(int(line[4:]), now - self._at)
                self._at = 0.0
            elif line.startswith(b"retry"):
                self._crowd.listening.add(self._number)
                self._crowd.changed.set()

    def _hear(self, seq: int, delay_s: float) -> None:
        crowd = self._crowd
        if seq <= self.position:
            crowd.doubled += 1
            return
        crowd.missed += seq - self.position - 1
        crowd.heard += 1
        crowd.delays.append(delay_s)
        self.position = seq
        if seq >= crowd.last:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(self.position)


async def _listen(crowd: Crowd, number: int) -> None:
    loop = asyncio.get_running_loop()
    position = crowd.first
    while position < crowd.last:
        ended: asyncio.Future[int] = loop.create_future()
        try:
            await loop.create_connection(
                lambda at=position, end=ended: Listener(crowd, number, at, end), "127.0.0.1", crowd.port
            )
            position = await ended
        except OSError:
            pass
        if position < crowd.last:
            crowd.returns += 1
            await asyncio.sleep(random.uniform(*_BACK_S))
    crowd.done += 1


async def run(crowd: Crowd, count: int, timeout_s: float) -> None:
    """Listen until all have heard the last event, or the time is over."""
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(_listen(crowd, number)))
        if number % 50 == 49:
            await asyncio.sleep(0.01)
    while len(crowd.listening) < count:
        crowd.changed.clear()
        await asyncio.wait_for(crowd.changed.wait(), 60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.wait(tasks, timeout=timeout_s)


def main() -> int:
    """Listen and print."""
    parser = argparse.ArgumentParser()
    for name in ("port", "listeners", "first", "last"):
        parser.add_argument(name, type=int)
    parser.add_argument("--timeout", type=float, default=120.0)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    crowd = Crowd(given.port, given.first, given.last)
    asyncio.run(run(crowd, given.listeners, given.timeout))
    delays = sorted(crowd.delays)
    report = {
        "listeners": given.listeners,
        "done": crowd.done,
        "heard": crowd.heard,
        "wanted": given.listeners * (given.last - given.first),
        "missed": crowd.missed,
        "doubled": crowd.doubled,
        "returns": crowd.returns,
    }
    for name, rank in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
        report[name] = round(1000 * delays[min(int(rank * len(delays)), len(delays) - 1)], 1) if delays else 0
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
