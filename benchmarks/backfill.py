"""Taking an archive in: files a second and memory, on SQLite and Postgres, new and known.

    python -m benchmarks.backfill --files 100000 --database sqlite

Small files show what each costs beside its bytes: walking, comparing, opening, summing, writing rows.
No worker runs; the frames wait.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np

import migrations
from observatory.settings import load_settings
from observatory.storage.frames import Priority
from observatory.storage.session import Database
from tests.making import KSO_CARDS, NOON, fits_bytes
from tests.servers import PostgresServer
from workers.app import make_app
from workers.archive import ArchiveIngester, Taken, count_files
from workers.publisher import Publisher
from workers.watching import WatchFolder

_A_FOLDER = 2000


def make_archive(root: Path, files: int) -> None:
    """Small frames, no two alike, some thousands a folder as archives keep them by day."""
    model = bytearray(
        fits_bytes(np.zeros((8, 8), np.int16), KSO_CARDS | {"DATE-OBS": "2024-05-08T12:00:00.000"})
    )
    where = model.index(b"2024-05-08T12:00:00.000")
    for number in range(files):
        if number % _A_FOLDER == 0:
            folder = root / f"{number // _A_FOLDER:05}"
            folder.mkdir(parents=True)
        moment = NOON + timedelta(seconds=6 * number)
        model[where : where + 23] = f"{moment:%Y-%m-%dT%H:%M:%S}.000".encode()
        path = folder / f"kanz_halph_fi_{moment:%Y%m%d_%H%M%S}.fts"
        with open(path, "wb") as file:  # noqa: PTH123 - a hundred thousand times
            file.write(model)
        os.utime(path, (moment.timestamp(), moment.timestamp()))


def measure(root: Path, url: str, home: Path, label: str, stop_after: int | None = None) -> Taken:
    """Take the archive and print how that went."""
    settings = load_settings(data_dir=home, database_url=url)
    db = Database(url)
    folder = WatchFolder(root)
    ingester = ArchiveIngester(
        settings, db, Publisher(make_app(settings)), [folder], priority=Priority.BACKFILL
    )
    begun, cpu = time.perf_counter(), time.process_time()

    def look(done: Taken) -> None:
        if stop_after is not None and done.files >= stop_after:
            ingester.stop()

    taken = ingester.take(look)
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "what": label,
                "new": taken.new,
                "known": taken.known,
                "left": taken.left,
                "wall_s": round(wall_s, 1),
                "files_per_s": round(taken.files / wall_s),
                "cpu_ms_per_file": round(1000 * cpu_s / max(taken.files, 1), 3),
                "peak_rss_mib": round(peak),
            }
        ),
        flush=True,
    )
    db.dispose()
    return taken


def main() -> None:
    """Make the archive, take it in part, then the rest, then once more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    given = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="heliowatch-backfill-"))
    server = PostgresServer() if given.database == "postgres" else None
    url = server.new_database() if server else f"sqlite:///{home / 'heliowatch.db'}"
    try:
        begun = time.perf_counter()
        make_archive(home / "archive", given.files)
        print(f"made in {time.perf_counter() - begun:.0f} s", flush=True)
        begun = time.perf_counter()
        count_files([WatchFolder(home / "archive")], lambda: True)
        print(f"counted in {time.perf_counter() - begun:.2f} s", flush=True)
        migrations.upgrade(url)
        measure(home / "archive", url, home, "first tenth", given.files // 10)
        measure(home / "archive", url, home, "the rest")
        measure(home / "archive", url, home, "all known")
    finally:
        shutil.rmtree(home, ignore_errors=True)
        if server:
            server.stop()


if __name__ == "__main__":
    main()
