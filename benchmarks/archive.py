"""A long archive behind the real service: what pages, series and tables cost at 10^5 and at 10^7 frames.

    python -m benchmarks.archive [--frames 100000 10000000] [--requests 1000]

Loads each archive into a Postgres of its own making (under the temporary folder, removed at the end; 10^7
frames take some 25 GB and half an hour), serves it by `heliowatch serve`'s application in a process of its
own, and asks over HTTP on one kept connection. Ends with 1 when a median grew by more than half, or when
the service's memory grew with the table it sent.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from benchmarks.archive_load import (
    CADENCE_S,
    EMPTY_SCORES,
    END,
    RARE_CAUSE,
    RARE_WAVELENGTH,
    load,
    start_server,
)
from tests.servers import free_port

_MOST = 1.5
_DAY = f"{END:%Y}-10-31/{END:%Y-%m-%d}"
_MONTH = f"{END:%Y}-10-01/{END:%Y-%m-%d}"
_YEAR = f"{END.year - 1}-11-01/{END:%Y-%m-%d}"
QUESTIONS = {
    "frames: newest page": "frames",
    "frames: a page of one instrument": "frames?instrument=aia-193",
    "frames: a day of one instrument, good": f"frames?instrument=kso-halpha&time={_DAY}&quality_min=0.8",
    "frames: cause cloud": "frames?cause=cloud",
    "frames: cause of 20, the oldest": f"frames?cause={RARE_CAUSE}",
    "frames: cause and instrument": "frames?cause=eclipse&instrument=aia-171",
    "frames: quality 0.8 and more": "frames?quality_min=0.8",
    "frames: quality 0.02 to 0.021": "frames?quality_min=0.02&quality_max=0.021&limit=20",
    "frames: quality of no frame": f"frames?quality_min={EMPTY_SCORES[0]}&quality_max={EMPTY_SCORES[1]}",
    "frames: status failed": "frames?status=failed",
    "frames: failed of one instrument": "frames?status=failed&instrument=aia-171&limit=1",
    "frames: status received": "frames?status=received",
    "frames: rejected of one instrument": "frames?status=rejected&instrument=aia-94&limit=10",
    "frames: done of one instrument": "frames?status=done&instrument=aia-94",
    "frames: 193 A": "frames?wavelength=193A",
    "frames: wavelength of 20, the oldest": f"frames?wavelength={RARE_WAVELENGTH}",
    "frames: 193 A, bad, by eclipse": "frames?wavelength=193A&quality_max=0.3&cause=eclipse",
    "frames: with coronal holes": "frames?event_type=CH",
    "frames: arcs over one camera": "frames?sky_class=arc&instrument=allsky",
    "frames: marked bad": "frames?mark=bad",
    "quality: a day, 5 minutes": f"quality?time={_DAY}&bin=5m",
    "quality: a day of one instrument": f"quality?time={_DAY}&bin=5m&instrument=kso-halpha",
    "regions: a month, first page": f"regions?time={_MONTH}",
    "regions: a month, large holes": f"regions?time={_MONTH}&event_type=CH&area_min=0.2%25",
    "regions/series: a month, hourly": f"regions/series?time={_MONTH}&bin=1h",
    "instruments": "instruments",
    "status": "status",
    "models": "models",
}
SERIES = {
    "a day of one instrument, 5 minutes": f"quality?time={_DAY}&bin=5m&instrument=kso-halpha",
    "a year of one instrument, hourly": f"quality?time={_YEAR}&bin=1h&limit=10000&instrument=kso-halpha",
    "a year of one instrument, daily": f"quality?time={_YEAR}&bin=1d&limit=10000&instrument=kso-halpha",
    "a year of all, daily": f"quality?time={_YEAR}&bin=1d&limit=10000",
    "everything of one instrument, daily": "quality?bin=1d&limit=10000&instrument=kso-halpha",
}

_SERVE = """
import sys, uvicorn
from observatory.settings import load_settings
from service.main import create_app
settings = load_settings(database_url=sys.argv[1], data_dir=sys.argv[3])
settings.service.rate_limits.read = "1000000/second"
app = create_app(settings, probe_queue=lambda: None)
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", timeout_keep_alive=600)
"""


@contextmanager
def serving(url: str) -> Iterator[tuple[http.client.HTTPConnection, int]]:
    """Serve a database; give a connection to the service, and its process's number."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="heliowatch-archive-") as home:
        process = subprocess.Popen([sys.executable, "-c", _SERVE, url, str(port), home])
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
            _wait(connection)
            yield connection, process.pid
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait(connection: http.client.HTTPConnection) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            ask(connection, "/healthz")
            return
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ask(connection: http.client.HTTPConnection, path: str) -> bytes:
    """Answer's body; a refusal is an error."""
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
    return body


def timings(connections: Sequence[http.client.HTTPConnection], path: str, requests: int) -> list[list[float]]:
    """Milliseconds of so many warm requests to each service, sorted.

    They are asked in turns, so that whatever else the machine does hits all alike.
    """
    found: list[list[float]] = [[] for _ in connections]
    for number in range(-min(10, requests), requests):
        for connection, mine in zip(connections, found, strict=True):
            start = time.perf_counter()
            ask(connection, f"/api/v1/{path}")
            if number >= 0:
                mine.append((time.perf_counter() - start) * 1000)
    return [sorted(mine) for mine in found]


def peak_memory_kb(process: int) -> int:
    """Most memory that a process ever had."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def forget_peak(process: int) -> None:
    """Begin to watch a process's memory anew."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def stream(connection: http.client.HTTPConnection, path: str) -> tuple[int, float]:
    """Bytes of an answer and the seconds it took, nothing of it kept."""
    start = time.perf_counter()
    connection.request("GET", f"/api/v1/{path}")
    answer = connection.getresponse()
    size = 0
    while piece := answer.read(1 << 16):
        size += len(piece)
    return size, time.perf_counter() - start


def newest(rows: int) -> str:
    """Range of time that holds about so many of the newest frames."""
    return f"{END - timedelta(seconds=rows / 20 * CADENCE_S):%Y-%m-%dT%H:%M:%SZ}/.."


def compare(urls: Sequence[str], requests: int, only: str = "") -> bool:
    """Ask both archives every question; print the table; whether no median grew by more than half."""
    is_good = True
    print(f"{'':40}{'median, ms':>20}{'p99, ms':>20}{'ratio':>8}")
    with serving(urls[0]) as (small, _), serving(urls[1]) as (large, _):
        for name, path in QUESTIONS.items():
            if only not in name:
                continue
            found = timings((small, large), path, requests)
            medians = [statistics.median(mine) for mine in found]
            tails = [mine[int(len(mine) * 0.99) - 1] for mine in found]
            ratio = medians[1] / medians[0]
            is_good = is_good and ratio <= _MOST
            print(
                f"{name:40}{medians[0]:10.2f}{medians[1]:10.2f}{tails[0]:10.2f}{tails[1]:10.2f}{ratio:8.2f}",
                flush=True,
            )
    return is_good


def measure_series(url: str) -> None:
    """Print what series over a long time cost."""
    with serving(url) as (connection, _):
        for name, path in SERIES.items():
            points = len(json.loads(ask(connection, f"/api/v1/{path}"))["items"])
            took = statistics.median(timings([connection], path, 5)[0])
            print(f"quality, {name:38} {points:6d} points {took:8.0f} ms")


def measure_tables(url: str, sizes: tuple[int, int]) -> bool:
    """Print what tables of two lengths cost; whether memory stayed."""
    is_flat = True
    for form in ("csv", "parquet", "votable"):
        with serving(url) as (connection, process):
            stream(connection, f"frames?time={newest(1000)}&format={form}")  # libraries are loaded
            peaks = []
            for rows in sizes:
                forget_peak(process)
                size, took_s = stream(connection, f"frames?time={newest(rows)}&format={form}")
                peaks.append(peak_memory_kb(process) / 1024)
                print(
                    f"{form:8} {rows:9d} rows {size / 1e6:8.1f} MB {took_s:7.1f} s {size / took_s / 1e6:6.2f} MB/s "
                    f"{rows / took_s:8.0f} rows/s  peak {peaks[-1]:.0f} MiB"
                )
            is_flat = is_flat and peaks[1] < peaks[0] + 40
    return is_flat


def main() -> int:
    """Load, ask, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, nargs=2, default=(100_000, 10_000_000))
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--url", nargs=2, help="archives that are loaded already")
    parser.add_argument("--only", default="", help="questions whose name holds this")
    parser.add_argument("--without-tables", action="store_true")
    arguments = parser.parse_args()
    os.environ.pop("HELIOWATCH_CONFIG", None)
    server = None if arguments.url else start_server()
    try:
        urls = arguments.url or [server.new_database() for _ in arguments.frames]  # type: ignore[union-attr]
        if server is not None:
            for url, rows in zip(urls, arguments.frames, strict=True):
                print(f"{rows} frames loaded in {load(url, rows):.0f} s", flush=True)
        is_good = compare(urls, arguments.requests, arguments.only)
        if not arguments.only:
            measure_series(urls[1])
        if not arguments.without_tables:
            longest = min(1_000_000, max(arguments.frames))
            is_good = measure_tables(urls[1], (min(10_000, longest), longest)) and is_good
    finally:
        if server is not None:
            server.stop()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
