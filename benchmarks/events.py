"""The event stream under load: many listeners, and a service that dies in the midst of it.

    python -m benchmarks.events [--seconds 30] [--only 100x50]

Runs `heliowatch serve` on a Postgres of its own, a crowd of listeners in another process, and writes events
at a steady rate, each in its own transaction. Reports whether each listener got each event once and in
order, the delay from before the transaction to the listener, and the memory of the service. Then the same
with the service killed (SIGKILL) and started again: every listener comes back with its last number.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import migrations
from observatory.storage import events
from observatory.storage.session import Database
from tests.servers import PostgresServer, free_port

_LOADS = {"100x50": (100, 50.0), "1000x5": (1000, 5.0), "2000x5": (2000, 5.0), "4000x2": (4000, 2.0)}
_PADDING = "x" * 500  # a result's event has about 600 bytes


class House:
    """`heliowatch serve`, which can be killed and started again."""

    def __init__(self, db: Database, home: Path) -> None:
        self.port = free_port()
        self._environment = {
            **os.environ,
            "HELIOWATCH_DATA_DIR": str(home),
            "HELIOWATCH_DATABASE_URL": db.url,
            "HELIOWATCH_SERVICE__MAX_LISTENERS": "10000",
            "HELIOWATCH_LOG__LEVEL": "WARNING",
        }
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, "-m", "heliowatch.cli", "serve", "--port", str(self.port)]
        self._process = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the service did not answer within 60 s")

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def memory_mb(self, what: str = "VmRSS") -> float:
        """Resident memory, or its highest (VmHWM)."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return round(int(text.split(f"{what}:")[1].split()[0]) / 1024, 1)

    def cpu_s(self) -> float:
        """Time on the processors so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_events(db: Database, count: int, rate: float) -> None:
    """Write events at a steady rate, each in its own transaction, its time inside."""
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        payload = {"at": time.time(), "number": number, "padding": _PADDING}
        with db.write() as connection:
            events.append(db, connection, [events.NewEvent("result", "kso-halpha", None, payload)])


def crowd(port: int, count: int, first: int, last: int, timeout_s: float) -> subprocess.Popen[str]:
    """Start the listeners and wait until all listen."""
    command = [sys.executable, "-m", "tests.listeners", *map(str, (port, count, first, last))]
    listening = subprocess.Popen([*command, "--timeout", str(timeout_s)], stdout=subprocess.PIPE, text=True)
    assert listening.stdout is not None
    if listening.stdout.readline().strip() != "ready":
        raise RuntimeError("not all listeners could listen")
    return listening


def measure(
    house: House, db: Database, load: tuple[int, float], seconds: float, *, with_restart: bool
) -> dict[str, Any]:
    """One run."""
    listeners, rate = load
    first, count = events.last_seq(db), int(seconds * rate)
    before_mb = house.memory_mb()
    listening = crowd(house.port, listeners, first, first + count, seconds + 60)
    writer = threading.Thread(target=write_events, args=(db, count, rate))
    started, cpu_s = time.monotonic(), house.cpu_s()
    writer.start()
    if with_restart:
        time.sleep(seconds / 3)
        house.kill()
        house.start()
        cpu_s = 0.0
    writer.join()
    spent = (house.cpu_s() - cpu_s) / (time.monotonic() - started)
    during_mb, highest_mb = house.memory_mb(), house.memory_mb("VmHWM")
    said, _ = listening.communicate(timeout=seconds + 90)
    return json.loads(said) | {
        "events_a_second": rate,
        "killed": with_restart,
        "service_mb": {"before": before_mb, "during": during_mb, "highest": highest_mb},
        "service_cores": round(spent, 2),
    }


def main() -> int:
    """Measure and print; 1 when an event was missed or doubled."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--only", choices=_LOADS)
    given = parser.parse_args()
    server = PostgresServer()
    is_good = True
    try:
        url = server.new_database()
        migrations.upgrade(url)
        db = Database(url)
        with tempfile.TemporaryDirectory(prefix="heliowatch-events-") as name:
            for word in [given.only] if given.only else ["100x50", "1000x5"]:
                for with_restart in (False, True):
                    house = House(db, Path(name))
                    try:
                        report = measure(house, db, _LOADS[word], given.seconds, with_restart=with_restart)
                    finally:
                        house.kill()
                    print(json.dumps(report))
                    is_good &= (
                        report["heard"] == report["wanted"] and not report["missed"] + report["doubled"]
                    )
        db.dispose()
    finally:
        server.stop()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
