"""Ceilometer files: cloud from 2000 m on is clear, and nothing is guessed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from observatory.ceilometer import read_ceilometer
from observatory.errors import UnreadableFileError


def written(folder: Path, text: str) -> Path:
    path = folder / "ceilometer.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_cloud_that_begins_at_2000_m_is_clear_and_below_it_is_not(tmp_path: Path) -> None:
    text = "time,cloud_base_m\n2026-11-20T23:59:00Z,1999.9\n2026-11-21T00:00:00Z,2000\n2026-11-21 00:01,\n"
    series = read_ceilometer(written(tmp_path, text))
    assert series.is_cloudy.tolist() == [1.0, 0.0, 0.0]
    assert np.diff(series.times_s).tolist() == [60.0, 60.0]


def test_no_cloud_is_told_from_no_measurement(tmp_path: Path) -> None:
    no_cloud = ["", "none", "inf", "////", "-1", "-1.0"]
    nothing = ["NaN", "n/a", "-99", "-999.0", "-9999", "99999.0"]
    text = "# a comment\n\nDateTime;note;CBH\n\n" + "".join(
        f"2026-11-20 {n:02}:00;x;{word}\n" for n, word in enumerate([*no_cloud, *nothing, "0", "1.0", "350"])
    )
    series = read_ceilometer(written(tmp_path, text))
    np.testing.assert_array_equal(series.cloud_base_m, [np.inf] * 6 + [np.nan] * 6 + [0.0, 1.0, 350.0])
    np.testing.assert_array_equal(series.is_cloudy, [0.0] * 6 + [np.nan] * 6 + [1.0] * 3)


def test_a_time_without_a_zone_is_utc_wherever_the_computer_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "time,cbh\n1970-01-01T00:01,100\n")
    with monkeypatch.context() as here:
        here.setenv("TZ", "America/Denver")
        time.tzset()
        found = read_ceilometer(path)
    time.tzset()
    assert found.times_s.tolist() == [60.0]


def test_of_several_columns_that_would_do_the_plainest_name_counts(tmp_path: Path) -> None:
    text = "date,cbh,time,cloud_base_m\n1970-01-03,100,1970-01-02,3000\n"
    series = read_ceilometer(written(tmp_path, text))
    assert (series.times_s.tolist(), series.cloud_base_m.tolist()) == ([86_400.0], [3000.0])


def test_rows_are_put_in_order_and_zones_are_converted(tmp_path: Path) -> None:
    text = "time\tcbh\n2026-11-20T12:00:00+01:00\t100\n2026-11-20T10:30:00\t200\n"
    series = read_ceilometer(written(tmp_path, text))
    assert series.cloud_base_m.tolist() == [200.0, 100.0]
    assert np.diff(series.times_s).tolist() == [1800.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "no column named time"),
        ("time,height\n2026-11-20,3\n", "no column named cloud_base_m"),
        ("time,cbh\n2026-11-20,low\n", "line 2"),
        ("time,cbh\n2026-11-20\n", "line 2"),
        ("time,cbh\nyesterday,300\n", "line 2"),
        ("time,cbh\n2026-11-20,-40\n", "line 2"),
        ("time,cbh\n2026-11-20,-inf\n", "line 2"),
    ],
)
def test_what_is_no_measurement_is_refused_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UnreadableFileError, match=said):
        read_ceilometer(written(tmp_path, text))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UnreadableFileError, match="no text"):
        read_ceilometer(path)
