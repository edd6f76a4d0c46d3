"""An archive is taken in piece by piece, whatever ends a run, and nothing in it is read twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heliowatch
from observatory.settings import Settings
from observatory.storage import catalogue
from observatory.storage.frames import Priority, Status
from observatory.storage.session import Database
from observatory.storage.texts import text_path
from tests.embedded import lay_out
from tests.making import KSO_CARDS, fits_bytes
from workers import archive as archive_module
from workers.app import make_app
from workers.archive import ArchiveIngester, Taken, count_files
from workers.publisher import Publisher
from workers.watching import WatchFolder, walk

NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)
LONG_AGO = 1_700_000_000


def small_frame(path: Path, number: int) -> Path:
    """A frame of a few pixels, as old as an archive's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cards = KSO_CARDS | {"DATE-OBS": f"{NOON + timedelta(days=number):%Y-%m-%dT%H:%M:%S}", "FRAMENO": number}
    path.write_bytes(fits_bytes(np.zeros((4, 4), np.int16), cards))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def fill(folder: Path, count: int, start: int = 0) -> list[Path]:
    return [
        small_frame(folder / f"{n // 4:03}" / f"kanz_halph_fi_{n:06}.fts", n)
        for n in range(start, start + count)
    ]


def ingester(settings: Settings, db: Database, *folders: Path, **options: Any) -> ArchiveIngester:
    named = [WatchFolder(folder) for folder in folders]
    publisher = Publisher(make_app(settings))
    return ArchiveIngester(settings, db, publisher, named, priority=Priority.BACKFILL, **options)


def names(db: Database) -> list[str]:
    return sorted(row["file_name"] for row in catalogue.find(db, catalogue.FrameFilter(), limit=1000))


def test_everything_is_taken_once_at_low_priority(settings: Settings, db: Database, tmp_path: Path) -> None:
    fill(tmp_path / "archive", 10)
    assert ingester(settings, db, tmp_path / "archive").take() == Taken(known=0, new=10)
    assert ingester(settings, db, tmp_path / "archive").take() == Taken(known=10, new=0)
    assert len(names(db)) == 10
    assert sum(catalogue.counts_of(db, Priority.BACKFILL).values()) == 10


def test_what_is_known_by_path_length_and_time_is_not_read_again(
    settings: Settings, db: Database, tmp_path: Path
) -> None:
    first, second = fill(tmp_path / "archive", 2)
    ingester(settings, db, tmp_path / "archive").take()
    for path in (first, second):
        path.write_bytes(bytes(path.stat().st_size))  # who reads them now finds no FITS
    os.utime(first, (LONG_AGO, LONG_AGO))
    os.utime(second, (LONG_AGO + 1, LONG_AGO + 1))
    assert ingester(settings, db, tmp_path / "archive").take() == Taken(known=1, new=1)
    assert names(db) == [first.name, second.name, second.name]


def test_a_piece_after_the_other_is_held_in_memory(
    settings: Settings, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "_PIECE", 4)
    fill(tmp_path / "archive", 10)
    one = ingester(settings, db, tmp_path / "archive")
    most = 0

    def look(_: Taken) -> None:
        nonlocal most
        most = max(most, len(one._seen), len(one._pending))

    assert one.take(look).new == 10
    assert most <= 4
    assert not one._seen


def test_refused_files_are_passed_over_until_they_are_asked_for(
    settings: Settings, db: Database, tmp_path: Path
) -> None:
    fill(tmp_path / "archive", 1)
    bad = tmp_path / "archive" / "broken.fits"
    bad.write_bytes(b"SIMPLE  =")
    os.utime(bad, (LONG_AGO, LONG_AGO))
    assert ingester(settings, db, tmp_path / "archive").take() == Taken(new=2)
    assert ingester(settings, db, tmp_path / "archive").take() == Taken(known=2)
    again = ingester(settings, db, tmp_path / "archive").take(with_rejected=True)
    assert again == Taken(known=1, new=1, refused_before=1)
    assert catalogue.counts(db)["rejected"] == 1


def test_frames_of_other_times_are_left_for_another_run(
    settings: Settings, db: Database, tmp_path: Path
) -> None:
    fill(tmp_path / "archive", 4)
    span = (NOON + timedelta(days=1), NOON + timedelta(days=3))
    ingester(settings, db, tmp_path / "archive", span=span).take()
    assert names(db) == ["kanz_halph_fi_000001.fts", "kanz_halph_fi_000002.fts"]
    ingester(settings, db, tmp_path / "archive").take()
    assert len(names(db)) == 4


def test_folders_inside_each_other_are_walked_once_and_by_name(
    settings: Settings, db: Database, tmp_path: Path
) -> None:
    paths = fill(tmp_path / "archive", 9)
    assert next(path for path, _ in walk(tmp_path / "archive")) in {str(path) for path in paths[:4]}
    folders = [WatchFolder(tmp_path / "archive"), WatchFolder(tmp_path / "archive" / "001")]
    assert count_files(folders, lambda: True) == 9
    assert count_files(folders, lambda: False) is None
    both = ingester(settings, db, tmp_path / "archive", tmp_path / "archive" / "001")
    assert both.take() == Taken(new=9)


def test_a_run_that_is_stopped_ends_after_its_batch(settings: Settings, db: Database, tmp_path: Path) -> None:
    fill(tmp_path / "archive", 12)
    small = settings.model_copy(update={"ingest": settings.ingest.model_copy(update={"batch": 3})})
    one = ingester(small, db, tmp_path / "archive")
    taken = one.take(lambda done: one.stop() if done.new else None)
    assert taken.new == 3
    assert ingester(small, db, tmp_path / "archive").take() == Taken(known=3, new=9)


def test_a_run_that_is_killed_goes_on_without_reading_what_was_written(
    tmp_path: Path, settings: Settings
) -> None:
    """A real process, SIGKILL in the middle, and the same command again."""
    paths = fill(tmp_path / "archive", 1200)
    home = tmp_path / "data"
    environment = {
        **os.environ,
        "HELIOWATCH_DATA_DIR": str(home),
        "HELIOWATCH_INGEST__BATCH": "100",
        "HELIOWATCH_BROKER_URL": "redis://127.0.0.1:9/0",  # no worker: the frames wait in the database
        "PYTHONPATH": str(Path(heliowatch.__file__).parents[1]),
    }
    url = lay_out(f"sqlite:///{home / 'heliowatch.db'}")
    db = Database(url)
    command = [sys.executable, "-m", "heliowatch.cli", "backfill", str(tmp_path / "archive")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait_for(lambda: catalogue.counts(db)["received"] >= 100)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    written = {Path(str(row["path"])) for row in _rows(db)}
    assert 100 <= len(written) <= 1200
    for path in written:
        size = path.stat().st_size
        path.write_bytes(bytes(size))  # read again, it would be refused
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert ingester(settings, db, tmp_path / "archive").take() == Taken(
        len(written), len(paths) - len(written)
    )
    counts = catalogue.counts(db)
    assert (counts["received"], counts["rejected"]) == (1200, 0)
    db.dispose()


def _rows(db: Database) -> list[dict[str, Any]]:
    found = catalogue.find(db, catalogue.FrameFilter(status=Status.RECEIVED), limit=2000)
    return [row | {"path": text_path(row["path"])} for row in found]


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
