"""`heliowatch db clean`: what it prints, what it removes, what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observatory.settings import Settings
from observatory.storage.files import ProductFiles
from tests.heliowatch.ended import Run
from tests.making import drop, kso_bytes

NINE_DAYS_AGO = 9 * 86_400


@pytest.fixture(autouse=True)
def _home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line works where the settings do."""
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))


def age(folder: Path) -> None:
    """Let every file be nine days old."""
    for path in folder.rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - NINE_DAYS_AGO
            os.utime(path, (then, then))


def test_a_frames_pictures_stay_and_strays_go(run: Run, settings: Settings, tmp_path: Path):
    (tmp_path / "in").mkdir()
    drop(tmp_path / "in" / "kanz_halph_fi_a.fts.gz", kso_bytes(1))
    assert run("backfill", tmp_path / "in").code == 0
    files = ProductFiles(settings.product_dir)
    pictures = list(files.walk())
    assert pictures
    files.write(b"what nobody names", ".jpg")
    assert run("db", "clean").out == f"0 files removed, 0.0 MB; {len(pictures) + 1} stay\n"
    age(settings.product_dir)
    assert run("db", "clean", "--dry-run").out.startswith("1 file would go")
    assert run("db", "clean").out.startswith("1 file removed")
    assert sorted(files.walk()) == sorted(pictures)


def test_a_database_without_its_schema_is_refused(run: Run, settings: Settings):
    ProductFiles(settings.product_dir).write(b"somebody's", ".jpg")
    ended = run("db", "clean")
    assert ended.code != 0
    assert "heliowatch db upgrade" in ended.err


def test_a_folder_of_another_database_is_refused(run: Run, settings: Settings):
    assert run("db", "upgrade").code == 0
    ProductFiles(settings.product_dir).write(b"somebody's", ".jpg")
    ended = run("db", "clean")
    assert ended.code != 0
    assert "give the database that they belong to" in ended.err
