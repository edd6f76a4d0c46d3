"""From the file's last byte to the event on the stream: one frame at a time on an idle house.

    python -m benchmarks.latency [--frames 100] [--size 2048]

Runs `heliowatch up` as a process of its own, listens to its event stream, moves simulated frames in one
after the other, and reports the time from the move to the `result` event, in all and without reading
(gunzip, decoding) and inference, whose times the house itself measures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from models.simulate.halpha import HalphaSun, HalphaTelescope
from models.simulate.kso_fits import write_kso_fits
from tests.servers import free_port

_WARM_UP = 5


def stage_sums(port: int) -> dict[str, float]:
    """Seconds spent in each stage so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    pattern = re.compile(r'heliowatch_stage_duration_seconds_sum\{[^}]*stage="(\w+)"[^}]*\} (\S+)')
    return {stage: float(value) for stage, value in pattern.findall(text)}


def measure(port: int, staged: Path, incoming: Path) -> list[tuple[float, dict[str, float]]]:
    """Move each staged file in and wait for its result; seconds in all and by stage."""
    measured = []
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/events", timeout=60) as stream:
        for file in sorted(staged.iterdir()):
            before = stage_sums(port)
            time.sleep(0.15)  # the house is idle again
            start = time.perf_counter()
            file.rename(incoming / file.name)
            _await_result(stream, file.name)
            took = time.perf_counter() - start
            time.sleep(0.05)
            after = stage_sums(port)
            measured.append((took, {name: after[name] - before.get(name, 0.0) for name in after}))
    return measured[_WARM_UP:]


def _await_result(stream: object, file_name: str) -> None:
    kind = ""
    for raw in stream:  # type: ignore[attr-defined]
        line = raw.decode().rstrip("\r\n")
        if line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:") and kind == "result" and json.loads(line[5:])["file_name"] == file_name:
            return


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=2048)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heliowatch-latency-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        staged, incoming = home / "staged", home / "incoming"
        staged.mkdir()
        incoming.mkdir()
        taken = HalphaSun(seed=5).frame(datetime(2026, 6, 1, 6, tzinfo=UTC), HalphaTelescope(arguments.size))
        random = np.random.default_rng(0)
        for number in range(arguments.frames + _WARM_UP):
            pixels = taken.pixels + random.integers(-3, 4, taken.pixels.shape, dtype=np.int16)
            write_kso_fits(staged, pixels, taken.date_obs + timedelta(seconds=6 * number), taken.pointing)
        port = free_port()
        environment = {
            **os.environ,
            "HELIOWATCH_DATA_DIR": str(home / "data"),
            "HELIOWATCH_LOG__LEVEL": "ERROR",
        }
        house = subprocess.Popen(
            [sys.executable, "-m", "heliowatch.cli", "up", "--watch", str(incoming), "--port", str(port)],
            env=environment,
        )
        try:
            _wait_ready(port)
            measured = measure(port, staged, incoming)
        finally:
            house.terminate()
            house.wait(timeout=20)
    _print(measured, arguments.size)
    return 0


def _wait_ready(port: int) -> None:
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("the house did not become ready within 60 s")


def _print(measured: list[tuple[float, dict[str, float]]], size: int) -> None:
    totals = [1000 * took for took, _ in measured]
    rest = [1000 * (took - stages["read"] - stages["inference"]) for took, stages in measured]
    print(f"{len(measured)} frames of {size} x {size} (gzip), one at a time; milliseconds")
    for label, values in (("file closed -> event", totals), ("  without reading and inference", rest)):
        ranks = np.percentile(values, [50, 99])
        print(f"{label:34s} p50 {ranks[0]:7.1f}   p99 {ranks[1]:7.1f}")
    for stage in measured[0][1]:
        print(f"  stage {stage:26s} p50 {1000 * statistics.median(s[stage] for _, s in measured):7.1f}")
    share = statistics.median(b / a for a, b in zip(totals, rest, strict=True))
    print(f"share that is not reading or inference: {share:.0%}")


if __name__ == "__main__":
    sys.exit(main())
