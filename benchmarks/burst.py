"""A burst of small files that overflows the inotify queue: does every one get its row in time?

    python -m benchmarks.burst [--files 50000] [--url postgresql://…]

Starts `heliowatch ingest` as a process of its own (SQLite unless a URL is given, an in-memory queue that
nobody hears), writes the files in a few seconds, and counts rows. Ends with 1 when one is missing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import migrations
from observatory.storage import catalogue
from observatory.storage.session import Database

_SIZE = 16  # pixels on a side


def write_burst(folder: Path, count: int) -> float:
    """Write ``count`` different tiny PGM-like FITS files; return the seconds it took."""
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                   16",
        "NAXIS   =                    2",
        f"NAXIS1  = {_SIZE:20d}",
        f"NAXIS2  = {_SIZE:20d}",
        "TELESCOP= 'KHPI    '",
        "OBS_TYPE= 'HALPH   '",
        "WAVELNTH=               6562.8",
        "DATE-OBS= '2026-11-20T10:00:00'",
        "END",
    ]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    start = time.perf_counter()
    for number in range(count):
        body = number.to_bytes(4, "big") + bytes(2880 - 4)
        descriptor = os.open(folder / f"{number:06d}.fits", os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, header + body)
        os.close(descriptor)
    return time.perf_counter() - start


def main() -> int:
    """Run the burst once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--url", default="")
    parser.add_argument("--within", type=float, default=60.0, help="seconds after the last file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heliowatch-burst-") as home:
        incoming = Path(home) / "incoming"
        incoming.mkdir()
        url = arguments.url or f"sqlite:///{home}/heliowatch.db"
        migrations.upgrade(url)
        db = Database(url)
        environment = {
            **os.environ,
            "HELIOWATCH_DATABASE_URL": url,
            "HELIOWATCH_DATA_DIR": f"{home}/data",
            "HELIOWATCH_LOG__LEVEL": "WARNING",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "heliowatch.cli", "ingest", str(incoming)], env=environment
        )
        try:
            time.sleep(3)
            wrote_s = write_burst(incoming, arguments.files)
            start = time.perf_counter()
            count = 0
            while count < arguments.files and time.perf_counter() - start < arguments.within:
                time.sleep(0.25)
                count = sum(catalogue.counts(db).values())
            took_s = time.perf_counter() - start
        finally:
            process.terminate()
            process.wait(timeout=20)
        print(f"files written        {arguments.files} in {wrote_s:.1f} s")
        print(f"rows                 {count} ({arguments.files - count} missing)")
        print(f"all rows after       {took_s:.1f} s (after the last file)")
        return 0 if count == arguments.files else 1


if __name__ == "__main__":
    sys.exit(main())
