"""The ledger and closures at the shell."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from heliowatch import cli
from heliowatch.spans import Span
from observatory.errors import SettingsError
from observatory.settings import Settings
from observatory.storage.session import Database
from tests.embedded import lay_out
from tests.observatory.test_completeness import put

DAY = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def db(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("HELIOWATCH_DATA_DIR", str(settings.data_dir))
    lay_out(settings.resolved_database_url)
    made = Database(settings.resolved_database_url)
    times = DAY.timestamp() + 6 * 3600 + np.arange(0.0, 3 * 3600.0, 60.0)
    put(made, "aia-193", np.delete(times, np.arange(100, 107)))
    return made


def run(*words: str) -> str:
    result = CliRunner().invoke(cli.app, list(words), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_ledger_is_printed_for_people_and_for_programs(db: Database) -> None:
    span = ("--time", "2026-06-01T06:00Z/2026-06-01T09:00Z")
    table = run("coverage", *span)
    assert "aia-193" in table and "60 s (learned)" in table and "7 (3.9%)" in table
    (row,) = (orjson.loads(line) for line in run("coverage", *span, "--format", "json").splitlines())
    assert (row["expected"], row["received"], row["missing"]) == (180, 173, 7)
    hours = list(csv.DictReader(io.StringIO(run("coverage", *span, "--bin", "1h", "--format", "csv"))))
    assert [hour["missing"] for hour in hours] == ["0", "7", "0"]
    gap = orjson.loads(run("coverage", *span, "--gaps", "--format", "json"))
    assert (gap["start"], gap["frames_lost"], gap["state"]) == ("2026-06-01T07:40:00Z", 7, "missing")
    assert "7 min" in run("coverage", "--date", "2026-06-01", "--gaps")


def test_how_late_an_archive_came_is_told_in_years(db: Database) -> None:
    times = DAY.timestamp() + 60.0 * np.arange(180)
    put(db, "old", times, received_at=DAY + timedelta(days=4100, minutes=2))
    assert "11 y 82 d" in run("coverage", "--date", "2026-06-01", "--instrument", "old")


def test_a_year_is_told_with_all_its_digits(db: Database) -> None:
    assert "0001-01-01 00:00" in run("coverage", "--date", "0001-01-01")
    result = CliRunner().invoke(cli.app, ["coverage", "--date", "0999-12-31", "--gaps"])
    assert "nothing from 0999-12-31 00:00 to 1000-01-01 00:00 UTC" in result.stderr
    assert str(Span(datetime(1, 2, 3, 4, 5, 6, 7, tzinfo=UTC))) == "0001-02-03T04:05:06Z/.."


def test_a_closure_is_noted_counts_and_is_taken_back(db: Database) -> None:
    span = ("coverage", "--time", "2026-06-01T06:00Z/2026-06-01T09:00Z", "--format", "json")
    said = run("closures", "add", "2026-06-01T07:30/2026-06-01T07:50", "-i", "aia-193", "-r", "solar panels")
    assert "closure 1" in said
    row = orjson.loads(run(*span))
    assert (row["missing"], row["excused_weather"]) == (0, 7)
    assert "solar panels" in run("closures", "list")
    run("closures", "remove", "1")
    assert run("closures", "list", "--json") == "" and orjson.loads(run(*span))["missing"] == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("coverage", "--date", "yesterday"), "write a day"),
        (("coverage", "--date", "2026-06-01", "--time", "2026-06-01/.."), "either"),
        (("coverage", "--time", "../2026-06-01"), "needs a start"),
        (("coverage", "--time", "2020-01-01/2026-06-01"), "366 days"),
        (("coverage", "--time", "9998-12-31/9999-12-31T23:59:59Z"), "beyond the year 9998"),
        (("coverage", "--instrument", "soho"), "aia-193"),
        (("closures", "add", "tomorrow"), "write START/END"),
        (("closures", "add", "2026-06-01/2026-06-02", "-i", "soho"), "soho"),
    ],
)
def test_what_cannot_be_answered_is_said(db: Database, words: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        run(*words)
