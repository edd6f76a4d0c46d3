"""Does the house lose a frame when its parts are killed under it?

    python -m benchmarks.chaos [--frames 2000] [--flush]

Starts a Postgres and a Redis of its own, then `heliowatch ingest`, two `worker` processes and `serve`
as separate processes. While simulated frames are copied in, one worker is killed with -9 five times
(three times with all its children, twice alone) and Redis is killed and started again twice; with
``--flush`` the broker's memory is wiped in the middle as well. Ends with 0 when every frame is done
exactly once, with one result each, none rejected, and nothing waits a minute after the last fault.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import redis

import migrations
from models.simulate.halpha import HalphaSun, HalphaTelescope
from models.simulate.kso_fits import write_kso_fits
from tests.servers import PostgresServer, RedisServer, free_port

_SIZE_PX = 384
_GRACE_S = 60.0


def make_frames(folder: Path, count: int) -> None:
    """Write different frames of one Sun: the noise alone would make them differ."""
    telescope = HalphaTelescope(size_px=_SIZE_PX)
    first = datetime(2026, 6, 1, 6, tzinfo=UTC)
    taken = HalphaSun(seed=5, detail=256).frame(first, telescope)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = taken.pixels + random.integers(-3, 4, taken.pixels.shape, dtype=np.int16)
        write_kso_fits(folder, pixels, first + timedelta(seconds=6 * number), taken.pointing)


class House:
    """The parts of the house as processes of their own."""

    def __init__(self, home: Path, database_url: str, broker_url: str, port: int) -> None:
        self.home = home
        self._environment = {
            **os.environ,
            "HELIOWATCH_DATABASE_URL": database_url,
            "HELIOWATCH_BROKER_URL": broker_url,
            "HELIOWATCH_DATA_DIR": str(home / "data"),
            "HELIOWATCH_WATCH": f'["{home / "incoming"}"]',
            "HELIOWATCH_WORKER__PROCESSES": "1",
            "HELIOWATCH_LOG__LEVEL": "WARNING",
        }
        self.parts = {
            "ingest": self._start("ingest"),
            "serve": self._start("serve", "--port", str(port)),
            "worker-0": self._start("worker"),
            "worker-1": self._start("worker"),
        }

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.home / f"{arguments[0]}.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "-m", "heliowatch.cli", *arguments],
            env=self._environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def kill_worker(self, name: str, *, with_children: bool) -> None:
        """Kill -9, then start another in its place."""
        process = self.parts[name]
        if with_children:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        self.parts[name] = self._start("worker")

    def stop(self) -> None:
        """Ask every part to end; kill what does not."""
        for process in self.parts.values():
            process.terminate()
        for process in self.parts.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def feed(staged: Path, incoming: Path, over_s: float) -> None:
    """Copy the frames in as a camera would: written under a temporary name, then renamed."""
    files = sorted(staged.iterdir())
    began = time.monotonic()
    for number, file in enumerate(files):
        part = incoming / f".{file.name}.part"
        shutil.copyfile(file, part)
        part.rename(incoming / file.name)
        time.sleep(max(0.0, began + over_s * (number + 1) / len(files) - time.monotonic()))


def faults(
    house: House, broker: RedisServer, *, with_flush: bool
) -> list[tuple[float, str, Callable[[], object]]]:
    """What goes wrong, and when, as a share of the feeding time."""

    def restart_redis() -> None:
        broker.kill()
        time.sleep(2)
        broker.start()

    plan: list[tuple[float, str, Callable[[], object]]] = [
        (
            0.15,
            "worker 0 killed with its children",
            lambda: house.kill_worker("worker-0", with_children=True),
        ),
        (0.28, "worker 1 killed alone", lambda: house.kill_worker("worker-1", with_children=False)),
        (0.40, "Redis killed and started", restart_redis),
        (
            0.55,
            "worker 0 killed with its children",
            lambda: house.kill_worker("worker-0", with_children=True),
        ),
        (0.65, "worker 1 killed alone", lambda: house.kill_worker("worker-1", with_children=False)),
        (0.75, "Redis killed and started", restart_redis),
        (
            0.85,
            "worker 0 killed with its children",
            lambda: house.kill_worker("worker-0", with_children=True),
        ),
    ]
    if with_flush:
        wipe = lambda: redis.Redis.from_url(broker.url).flushall()  # noqa: E731
        plan.insert(4, (0.5, "broker's memory wiped", wipe))
    return sorted(plan, key=lambda fault: fault[0])


def state(url: str) -> dict[str, int]:
    """Frames by status, frames with other than one result, and results in all."""
    with psycopg.connect(url) as connection:
        found = dict(connection.execute("SELECT status, count(*) FROM frames GROUP BY status").fetchall())
        found["results"] = connection.execute("SELECT count(*) FROM results").fetchone()[0]  # type: ignore[index]
        found["not one result"] = connection.execute(
            "SELECT count(*) FROM (SELECT f.id FROM frames f LEFT JOIN results r ON r.frame_id = f.id "
            "GROUP BY f.id HAVING count(r.id) <> 1) AS odd"
        ).fetchone()[0]  # type: ignore[index]
        found["tried again"] = connection.execute(
            "SELECT count(*) FROM frames WHERE attempts > 1"
        ).fetchone()[0]  # type: ignore[index]
        return found


def run(count: int, feed_s: float, *, with_flush: bool) -> bool:
    """Run once; True when nothing was lost."""
    home = Path(tempfile.mkdtemp(prefix="heliowatch-chaos-"))
    staged, incoming = home / "staged", home / "incoming"
    staged.mkdir()
    incoming.mkdir()
    print(f"making {count} simulated frames of {_SIZE_PX} px …", flush=True)
    make_frames(staged, count)
    postgres, broker, port = PostgresServer(), RedisServer(), free_port()
    url = postgres.new_database()
    migrations.upgrade(url)
    house = House(home, url, broker.url, port)
    try:
        _wait_ready(port)
        feeder = threading.Thread(target=feed, args=(staged, incoming, feed_s))
        began = time.monotonic()
        feeder.start()
        for share, name, happen in faults(house, broker, with_flush=with_flush):
            time.sleep(max(0.0, began + share * feed_s - time.monotonic()))
            print(
                f"{time.monotonic() - began:6.1f} s  {name}; done so far {state(url).get('done', 0)}",
                flush=True,
            )
            happen()
        last_fault = time.monotonic()
        feeder.join()
        while time.monotonic() - last_fault < _GRACE_S and state(url).get("done", 0) < count:
            time.sleep(0.5)
        found = state(url)
        print(f"all settled {time.monotonic() - last_fault:.1f} s after the last fault: {found}")
        _print_health(port)
    finally:
        house.stop()
        broker.stop()
        postgres.stop()
    is_whole = found.get("done") == count and found["results"] == count and not found["not one result"]
    has_odd = any(found.get(status) for status in ("rejected", "failed", "received", "processing"))
    if is_whole and not has_odd:
        shutil.rmtree(home)
        return True
    print(f"NOT WHOLE; the logs are in {home}")
    return False


def _wait_ready(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("the house did not become ready within 60 s")


def _print_health(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
        print(f"readyz: {answer.status} {answer.read().decode()[:200]}")


def main() -> int:
    """Run as asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--feed", type=float, default=80.0, help="seconds over which the frames arrive")
    parser.add_argument("--flush", action="store_true", help="wipe the broker's memory in the middle too")
    arguments = parser.parse_args()
    return 0 if run(arguments.frames, arguments.feed, with_flush=arguments.flush) else 1


if __name__ == "__main__":
    sys.exit(main())
