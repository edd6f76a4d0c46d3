"""Tables in time, joined by the nearest row: features, magnetometers, ceilometers, CSV."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from heliowatch.feature_store import Row, StoreFormat, gathered, write_months
from heliowatch.time_table import join, read_table, write_table
from observatory.analysis import SkyClass
from observatory.errors import SettingsError, UnreadableFileError
from observatory.magnetometer import MagneticSeries, write_iaga2002

MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


def stored(folder: Path, form: StoreFormat = StoreFormat.PARQUET) -> Path:
    """Ten frames, a minute apart, about a midnight in which a month ends."""
    random = np.random.default_rng(1)
    rows = [
        Row(
            time=MIDNIGHT + timedelta(minutes=n - 5),
            instrument="kho",
            frame=f"{n}.png#0",
            latitude_deg=78.2,
            longitude_deg=15.8,
            is_simulated=True,
            sky_class=SkyClass.ARC,
            probabilities=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1],
            cloud_cover=0.1,
            zenith_cloud=0.2,
            sun_elevation_deg=-30.0,
            moon_elevation_deg=None,
            features=random.normal(size=4).astype(np.float32),
            model="aurora 1",
            model_sha256="ab" * 32,
        )
        for n in range(10)
    ]
    folder.mkdir()
    assert [path.stem for path in write_months(folder, gathered(rows), form)] == ["202611", "202612"]
    return folder


@pytest.mark.parametrize("form", list(StoreFormat))
def test_features_meet_the_minutes_of_a_magnetometer_across_midnight(
    tmp_path: Path, form: StoreFormat
) -> None:
    start = (MIDNIGHT - timedelta(minutes=3)).timestamp() + 20.0
    times = start + 60.0 * np.arange(6)
    x = np.arange(6.0)
    x[1] = np.nan
    station = tmp_path / "sim.min"
    write_iaga2002(station, MagneticSeries("SIM", "", None, times, x, x, x, is_simulated=True))
    together = join(read_table(stored(tmp_path / "features", form)), read_table(station), 30.0)
    assert together["x_nt"].to_pylist() == [0.0, None, 2.0, 3.0, 4.0, 5.0]
    assert together["offset_s"].to_pylist() == [20.0] * 6
    assert together["time"].to_pylist()[2] == MIDNIGHT - timedelta(minutes=1)
    assert together["other_is_simulated"].to_pylist() == [True] * 6
    assert {"frame", "feature_003", "other_time"} <= set(together.column_names)


def test_onsets_meet_the_disturbance_that_a_folder_of_a_magnetometers_days_tells(tmp_path: Path) -> None:
    days = tmp_path / "magnetometer"
    days.mkdir()
    for day in range(3):
        start = (MIDNIGHT + timedelta(days=day)).timestamp()
        times = start + 60.0 * np.arange(1440)
        x = np.full(1440, 8000.0)
        x[720] -= 150.0  # each noon
        field = (x, np.full(1440, 900.0), np.full(1440, 53_000.0))
        write_iaga2002(
            days / f"sim{day}.min", MagneticSeries("SIM", "", None, times, *field, is_simulated=True)
        )
    onsets = tmp_path / "onsets.csv"
    onsets.write_text("time\n2026-12-01T12:00:10Z\n2026-12-03T13:00:00Z\n")
    together = join(read_table(onsets), read_table(days), 60.0)
    assert together["disturbance_x_nt"].to_pylist() == [-150.0, 0.0]
    assert together["x_nt"].to_pylist() == [7850.0, 8000.0]


def test_rows_without_a_partner_are_left_out_or_kept_with_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "clouds.csv"
    path.write_text("# heights\nnote;time;cloud_base_m\nlow;2026-11-30T23:55:10;300\n", encoding="utf-8")
    left, right = read_table(stored(tmp_path / "features")), read_table(path)
    assert right.column_names == ["time", "note", "cloud_base_m"]
    assert join(left, right, 15.0)["cloud_base_m"].to_pylist() == [300]
    kept = join(left, right, 15.0, keeps_all=True)
    assert kept["cloud_base_m"].to_pylist() == [300] + [None] * 9
    assert kept["offset_s"].to_pylist() == [10.0] + [None] * 9
    assert len(join(left, right, 86_400.0)) == 10


def test_nothing_is_near_to_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("time,cloud_base_m\n")
    left, empty = read_table(stored(tmp_path / "features")), read_table(path)
    assert len(join(left, empty, 60.0)) == 0
    kept = join(left, empty, 60.0, keeps_all=True)
    assert kept["offset_s"].to_pylist() == kept["cloud_base_m"].to_pylist() == [None] * 10
    assert len(join(empty, left, 60.0, keeps_all=True)) == 0


def test_what_was_joined_is_joined_again_and_each_column_keeps_a_name_of_its_own(tmp_path: Path) -> None:
    marks = tmp_path / "marks.csv"
    marks.write_text("time,mark\n2026-11-30T23:55:10,1\n")
    once = join(read_table(stored(tmp_path / "features")), read_table(marks), 15.0)
    write_table(tmp_path / "once.csv", once)
    twice = join(read_table(tmp_path / "once.csv"), read_table(marks), 15.0)
    assert twice.column_names[-4:] == ["offset_s", "other_other_time", "other_mark", "other_offset_s"]
    write_table(tmp_path / "twice.csv", twice)
    turned = join(read_table(marks), read_table(tmp_path / "twice.csv"), 15.0)
    assert len(set(turned.column_names)) == len(turned.column_names)
    assert turned.columns[-1].to_pylist() == [-10.0]


@pytest.mark.parametrize("name", ["joined.csv", "joined.parquet"])
def test_what_is_written_is_a_table_again(tmp_path: Path, name: str) -> None:
    table = read_table(stored(tmp_path / "features"))
    write_table(tmp_path / name, table)
    again = read_table(tmp_path / name)
    assert again["time"].to_pylist() == table["time"].to_pylist()
    assert again["frame"].to_pylist() == table["frame"].to_pylist()
    assert again["feature_002"].to_pylist() == pytest.approx(table["feature_002"].to_pylist())


def test_zones_are_converted_and_rows_without_a_time_have_no_partner(tmp_path: Path) -> None:
    path = tmp_path / "marks.csv"
    path.write_text("date_obs,mark\n2026-12-01T01:00:00+01:00,1\n,2\n")
    marks = read_table(path)
    assert marks["time"].to_pylist() == [MIDNIGHT, None]
    together = join(marks, read_table(stored(tmp_path / "features")), 60.0, keeps_all=True)
    assert together["frame"].to_pylist() == ["5.png#0", None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "no column named time"),
        (b"", "no CSV"),
        (b"time,x\nnow,2\n", "holds no times"),
        (b"time,x\n0001-01-01T00:00:00+01:00,2\n", "holds no times"),
        (b"time,x\n2026-01-01,2,3\n", "no CSV"),
        (b"time,x,,\n2026-01-01,2,,\n", "several columns are named ''"),
        (b"PAR1 and then nothing", "no whole Parquet"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "no text"),
    ],
)
def test_what_is_no_series_is_refused_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "given.csv"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=said):
        read_table(path)


def test_whole_numbers_are_no_times_for_nobody_tells_their_unit(tmp_path: Path) -> None:
    path = tmp_path / "seconds.parquet"
    parquet.write_table(pa.table({"time": [1_796_000_000], "x": [1.0]}), path)
    with pytest.raises(UnreadableFileError, match="whole numbers"):
        read_table(path)


def test_a_file_that_is_not_there_and_an_unknown_ending_are_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(SettingsError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "x.xls", read_table(stored(tmp_path / "features")))
