"""The page *Now* in a real browser: how long until it is on screen, and what it weighs.

    python -m benchmarks.now [--frames 1000000] [--loads 10] [--keep]

Fills a Postgres of its own with twenty instruments and so many frames (10^6: 2.5 GB, minutes), serves it by the
application that `heliowatch serve` runs, and opens *Now* in Chromium on 127.0.0.1: once with everything cold,
then in new browsers, then again and again in one. With `--keep` the database stays, and the next run with
`--keep` finds it. Ends with 1 when the page took a second (median of the warm loads) or weighs 300 kB.
"""

from __future__ import annotations

import argparse
import http.client
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from PIL import Image

from benchmarks.archive import _SERVE, _wait
from benchmarks.archive_load import load, start_server
from tests.servers import PostgresServer, free_port

_MOST_MS = 1000.0
_MOST_BYTES = 300_000
_NEW_BROWSERS = 3
_PICTURED = 2000
"""Newest frames whose previews exist; the page shows the newest of each instrument."""

_TOLD = """() => {
  const [page] = performance.getEntriesByType("navigation");
  if (!page.loadEventEnd) return null;
  const painted = performance.getEntriesByName("first-contentful-paint")[0];
  const files = performance.getEntriesByType("resource")
    .filter((one) => /\\.(css|js)(\\?|$)/.test(one.name));
  const size = (one) => [one.name, one.encodedBodySize, one.decodedBodySize];
  return {
    answered: page.responseEnd,
    painted: painted ? painted.startTime : null,
    loaded: page.loadEventEnd,
    parts: [page, ...files].map(size),
  };
}"""


@dataclass(frozen=True)
class Opened:
    """One load of the page, in milliseconds since the address was asked for."""

    answered: float
    painted: float
    loaded: float
    parts: Sequence[tuple[str, int, int]]
    """Address, bytes sent, and bytes when unpacked, of the page and its scripts and styles."""


def open_now(page: Any, address: str) -> Opened:
    """Load the page and wait until it is on screen."""
    page.goto(address, wait_until="load")
    told = page.wait_for_function(
        f"() => {{ const told = ({_TOLD})(); return told && told.painted && told; }}"
    )
    found = told.json_value()
    return Opened(**found | {"parts": [tuple(part) for part in found["parts"]]})


@contextmanager
def serving(url: str) -> Iterator[str]:
    """Serve a database with pictures to its newest frames; gives the address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="heliowatch-now-") as home:
        _picture(url, Path(home))
        process = subprocess.Popen([sys.executable, "-c", _SERVE, url, str(port), home])
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
            _wait(connection)
            connection.close()
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()
            process.wait(timeout=60)


def _picture(url: str, data_dir: Path) -> None:
    """Put one picture under the names of all the newest previews."""
    y, x = np.mgrid[:1024, :1024]
    disk = np.where(np.hypot(x - 512, y - 512) < 450, 150, 12)
    noisy = np.clip(disk + np.random.default_rng(1).normal(0, 6, disk.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=60)
    first = data_dir / "products" / "first.jpg"
    first.parent.mkdir(parents=True)
    first.write_bytes(buffer.getvalue())
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT path FROM products ORDER BY id DESC LIMIT %s", [_PICTURED])
        for (path,) in rows:
            (first.parent / path).parent.mkdir(exist_ok=True)
            os.link(first, first.parent / path)


def measure(url: str, loads: int) -> bool:
    """Open the page so often, print what it took; whether that was fast and light enough."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    with serving(url) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        cold = [_in_new_browser(browser, address) for _ in range(1 + _NEW_BROWSERS)]
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(120_000)
        page = context.new_page()
        open_now(page, address)
        warm = [open_now(page, address) for _ in range(loads)]
        shown = page.locator(".tile:not([hidden])").count()
        browser.close()
    print(f"{shown} tiles; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'ms from asking':44}{'answered':>10}{'painted':>10}{'loaded':>10}")
    _line("first of all: service and browser cold", cold[:1])
    _line(f"new browsers, median of {_NEW_BROWSERS}", cold[1:])
    _line(f"again in one browser, median of {loads}", warm)
    sent = sum(part[1] for part in cold[1].parts)
    unpacked = sum(part[2] for part in cold[1].parts)
    print(f"{'bytes without pictures':44}{'sent':>10}{'unpacked':>10}")
    for name, one_sent, one_unpacked in cold[1].parts:
        print(
            f"{name.partition('?')[0].removeprefix(address) or 'the page':44}{one_sent:10d}{one_unpacked:10d}"
        )
    print(f"{'all':44}{sent:10d}{unpacked:10d}")
    return statistics.median(one.loaded for one in warm) < _MOST_MS and sent < _MOST_BYTES


def _in_new_browser(browser: Any, address: str) -> Opened:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    try:
        return open_now(context.new_page(), address)
    finally:
        context.close()


def _line(name: str, opened: Sequence[Opened]) -> None:
    figures = [
        statistics.median(getattr(one, word) for one in opened) for word in ("answered", "painted", "loaded")
    ]
    print(f"{name:44}" + "".join(f"{figure:10.0f}" for figure in figures))


def _kept(frames: int) -> Path:
    return Path(tempfile.gettempdir()) / f"heliowatch-now-{frames}.url"


def _find(frames: int) -> str | None:
    """Address of a database that an earlier run kept, if it still answers."""
    note = _kept(frames)
    if not note.exists():
        return None
    url = note.read_text().strip()
    try:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1 FROM products LIMIT 1")
    except psycopg.Error:
        note.unlink()
        return None
    return url


def main() -> int:
    """Load, open, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--loads", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="leave the database for the next run with --keep")
    arguments = parser.parse_args()
    os.environ.pop("HELIOWATCH_CONFIG", None)
    server: PostgresServer | None = None
    url = _find(arguments.frames) if arguments.keep else None
    try:
        if url is None:
            server = start_server()
            url = server.new_database()
            print(f"{arguments.frames} frames loaded in {load(url, arguments.frames):.0f} s", flush=True)
        started = time.perf_counter()
        is_good = measure(url, arguments.loads)
        print(f"measured in {time.perf_counter() - started:.0f} s")
        if arguments.keep and server is not None:
            _kept(arguments.frames).write_text(url)
            print(f"kept: the Postgres in {server.home}, until it is stopped and that folder removed")
            server = None
    finally:
        if server is not None:
            server.stop()
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
