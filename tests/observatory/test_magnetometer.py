"""IAGA-2002: real files of Boulder, gaps, other components, broken files, and our own writing."""

from __future__ import annotations

import codecs
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from observatory.errors import UnreadableFileError
from observatory.magnetometer import (
    MagneticSeries,
    disturbance,
    read_iaga2002,
    read_many,
    write_iaga2002,
)
from observatory.sky import Site

SITE = Site(78.203, 15.829, 520)


def series(count: int = 5, *, step_s: float = 60.0, is_simulated: bool = True) -> MagneticSeries:
    times = 1_763_683_140.0 + step_s * np.arange(count)  # one minute before midnight
    x, y, z = (level + np.arange(count) for level in (7400.0, 900.0, 53_800.0))
    return MagneticSeries("SIM", "Adventdalen", SITE, times, x, y, z, is_simulated=is_simulated)


def file_of(folder: Path, *lines: str, letters: str = "XYZF", end: str = "\n", head: str = "") -> Path:
    columns = "".join(f"{'ABC' + letter:>10}" for letter in letters)
    path = folder / "abc20261120vmin.min"
    text = " Format                 IAGA-2002                                    |\n" + head
    text += f"DATE       TIME         DOY{columns}   |\n" + "\n".join(lines) + end
    path.write_text(text, encoding="latin-1")
    return path


def line(clock: str, *values: float) -> str:
    return f"2026-11-20 {clock}:00.000 324   " + "".join(f"{value:10.2f}" for value in values)


def test_a_real_week_of_boulder_has_the_field_that_the_map_shows_there(real_frames: Path) -> None:
    found = read_many(sorted((real_frames / "magnetometer").glob("*.min")))
    assert (found.station, found.name, found.is_simulated, found.kind) == (
        "BOU",
        "Boulder",
        False,
        "variation",
    )
    assert found.site == Site(40.137, pytest.approx(-105.236), 1682.0)
    assert found.times_s.size == 7 * 1440
    assert set(np.diff(found.times_s)) == {60.0}
    x, y, z = np.nanmean(found.xyz_nt, axis=0)
    # World Magnetic Model for Boulder, late 2014: declination 8.9 degrees east, inclination 66.5.
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(8.9, abs=0.5)
    assert np.degrees(np.arctan2(z, np.hypot(x, y))) == pytest.approx(66.5, abs=1.0)
    left = disturbance(found).xyz_nt
    assert np.abs(np.median(left, axis=0)).max() < 5.0
    assert 5.0 < left.std(axis=0).max() < 40.0  # a quiet week


def test_what_is_written_is_read_again_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    path, given = tmp_path / "sim.min", series()
    given.y_nt[2] = np.nan
    write_iaga2002(path, given)
    found = read_iaga2002(path)
    np.testing.assert_allclose(found.xyz_nt, given.xyz_nt, atol=0.005)
    np.testing.assert_array_equal(found.times_s, given.times_s)
    assert (found.is_simulated, found.station, found.site) == (True, "SIM", SITE)
    text = path.read_text()
    assert {len(row) for row in text.splitlines()} == {70}
    assert "(SIMULATED)" in text
    assert "# SIMULATED" in text
    write_iaga2002(path, replace(given, is_simulated=False))
    assert "SIMULATED" not in path.read_text().upper()
    assert not read_iaga2002(path).is_simulated


def test_what_is_written_keeps_to_the_columns_of_the_standard(tmp_path: Path) -> None:
    path, site = tmp_path / "bou.min", Site(-40.137, -105.236, 1682.4)
    plain = replace(
        series(2), station="BOU", name="Boulder", site=site, is_simulated=False, kind="definitive"
    )
    plain.x_nt[1] = np.nan
    write_iaga2002(path, plain, source="United States Geological Survey (USGS)")
    written = path.read_text().splitlines()
    assert [row[24:69].rstrip() for row in written[:12]] == [
        "IAGA-2002", "United States Geological Survey (USGS)", "Boulder", "BOU", "-40.137", "254.764", "1682",
        "XYZF", "XYZF", "", "", "definitive",
    ]  # fmt: skip
    assert written[12:] == [  # as in the sample of the standard and the files of the USGS
        "DATE       TIME         DOY     BOUX      BOUY      BOUZ      BOUF   |",
        "2025-11-20 23:59:00.000 324      7400.00    900.00  53800.00  54313.99",
        "2025-11-21 00:00:00.000 325     99999.00    901.00  53801.00  99999.00",
    ]


def test_station_and_kind_are_as_the_header_has_them(tmp_path: Path) -> None:
    head = " IAGA CODE              bou\n Data Type              Definitive\n"
    found = read_iaga2002(file_of(tmp_path, line("00:00", 1, 2, 3, 4), head=head))
    assert (found.station, found.kind) == ("BOU", "definitive")


@pytest.mark.parametrize("step_s", [1.0, 0.125])
def test_seconds_are_read_as_minutes_are(tmp_path: Path, step_s: float) -> None:
    path, given = tmp_path / "sim.sec", series(90, step_s=step_s)
    write_iaga2002(path, given)
    np.testing.assert_array_equal(read_iaga2002(path).times_s, given.times_s)


def test_the_mark_that_windows_programs_put_before_a_text_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "sim.min"
    write_iaga2002(path, series())
    plain = read_iaga2002(path)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert read_iaga2002(path).station == plain.station
    assert np.array_equal(read_iaga2002(path).xyz_nt, plain.xyz_nt)


def test_h_and_d_become_north_and_east_with_the_baseline_of_variations(tmp_path: Path) -> None:
    row = line("00:00", 20_000.0, 60.0, 47_000.0, 51_000.0)
    head = " Data Type              variation\n # DECBAS               18000  (tenths of minutes)\n"
    found = read_iaga2002(file_of(tmp_path, row, letters="HDZF", head=head))
    angle = np.radians(31.0)
    np.testing.assert_allclose(found.xyz_nt, [[2e4 * np.cos(angle), 2e4 * np.sin(angle), 47_000.0]])
    whole = read_iaga2002(
        file_of(tmp_path, row, letters="HDZF", head=head.replace("variation", "definitive"))
    )
    np.testing.assert_allclose(np.degrees(np.arctan2(whole.y_nt, whole.x_nt)), 1.0)


def test_declination_inclination_and_force_are_enough(tmp_path: Path) -> None:
    row = line("00:00", 0.0, 3600.0, 50_000.0, 50_000.0)
    found = read_iaga2002(file_of(tmp_path, row, letters="DIFG"))
    right = [[25_000.0, 0.0, 50_000.0 * np.sin(np.radians(60.0))]]
    np.testing.assert_allclose(found.xyz_nt, right)
    of_h = read_iaga2002(file_of(tmp_path, line("00:00", 0.0, 3600.0, 25_000.0), letters="DIH"))
    np.testing.assert_allclose(of_h.xyz_nt, right)


def test_gaps_and_components_that_are_not_measured_are_nan(tmp_path: Path) -> None:
    rows = [line("00:00", 99999.0, 900.0, 50_000.0, 88888.0), line("00:01", 7000.0, 88888.0, 99999.90, 99999)]
    found = read_iaga2002(file_of(tmp_path, *rows))
    assert np.isnan(found.xyz_nt).tolist() == [[True, False, False], [False, True, True]]
    assert np.isfinite(disturbance(found).z_nt).tolist() == [True, False]


def test_no_field_is_as_strong_as_a_gap_with_the_wrong_sign(tmp_path: Path) -> None:
    found = read_iaga2002(file_of(tmp_path, line("00:00", -99999.0, -88886.0, -60_000.0, -88888.0)))
    np.testing.assert_array_equal(found.xyz_nt, [[np.nan, -88_886.0, -60_000.0]])


def test_a_leap_second_gives_way_to_the_midnight_after_it(tmp_path: Path) -> None:
    clocks = ("2016-12-31 23:59:59.000 366", "2016-12-31 23:59:60.000 366", "2017-01-01 00:00:00.000 001")
    rows = [f"{clock}  {level}.00  2.00  3.00  4.00" for level, clock in enumerate(clocks)]
    whole = read_iaga2002(file_of(tmp_path, *rows))
    assert whole.times_s.tolist() == [1_483_228_799.0, 1_483_228_800.0]
    assert whole.x_nt.tolist() == [0.0, 2.0]
    until = read_iaga2002(file_of(tmp_path, *rows[:2]))
    assert until.times_s.tolist() == whole.times_s.tolist() and until.x_nt.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_station_is_named_as_its_country_writes_it(tmp_path: Path, encoding: str) -> None:
    path = file_of(tmp_path, line("00:00", 1, 2, 3, 4), head=" Station Name           Ny-Ålesund\n")
    path.write_bytes(path.read_text("latin-1").encode(encoding))
    assert read_iaga2002(path).name == "Ny-Ålesund"


def test_a_corrected_minute_replaces_the_first_and_order_does_not_matter(tmp_path: Path) -> None:
    rows = [line("00:02", 3, 0, 0, 0), line("00:01", 1, 0, 0, 0), line("00:01", 2, 0, 0, 0)]
    assert read_iaga2002(file_of(tmp_path, *rows)).x_nt.tolist() == [2.0, 3.0]


def test_a_baseline_just_short_of_a_whole_turn_is_one_west_of_north(tmp_path: Path) -> None:
    head = " Data Type              variation\n # DECBAS               215400  (tenths of minutes)\n"
    row = line("00:00", 20_000.0, 30.0, 47_000.0, 51_000.0)
    found = read_iaga2002(file_of(tmp_path, row, letters="HDZF", head=head))
    np.testing.assert_allclose(np.degrees(np.arctan2(found.y_nt, found.x_nt)), -0.5)


def test_three_components_are_enough_and_bare_comments_are_passed_over(tmp_path: Path) -> None:
    head = " #                                                                   |\n # DECBAS |\n"
    found = read_iaga2002(file_of(tmp_path, line("00:00", 1, 2, 3), letters="XYZ", head=head))
    assert found.xyz_nt.tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    "head", [" Source of Data         Heliowatch (simulated)\n", " # SIMULATED: no magnetometer\n"]
)
def test_either_of_two_lines_says_that_nothing_was_measured(tmp_path: Path, head: str) -> None:
    assert read_iaga2002(file_of(tmp_path, line("00:00", 1, 2, 3, 4), head=head)).is_simulated


@pytest.mark.parametrize(
    ("latitude", "longitude", "elevation", "site"),
    [
        ("-90.000", "360.000", "", Site(-90.0, 0.0, 0.0)),
        ("90.000", "-360.000", "2800", Site(90.0, 0.0, 2800.0)),
        ("40.137", "254.764", "99999.00", Site(40.137, -105.236, 0.0)),
        ("90.001", "254.764", "1682", None),
        ("-90.001", "254.764", "1682", None),
        ("40.137", "360.001", "1682", None),
        ("40.137", "-360.001", "1682", None),
        ("40.137", "", "1682", None),
    ],
)
def test_a_place_is_told_where_it_is_one(
    tmp_path: Path, latitude: str, longitude: str, elevation: str, site: Site | None
) -> None:
    head = f" Geodetic Latitude      {latitude}\n Geodetic Longitude     {longitude}\n"
    head += f" Elevation              {elevation}\n" if elevation else ""
    assert read_iaga2002(file_of(tmp_path, head=head)).site == site


@pytest.mark.parametrize("kept", [30, 60, 69], ids=["in a value", "in the last", "without its last digit"])
def test_the_last_line_of_a_file_that_is_being_written_is_left_for_later(tmp_path: Path, kept: int) -> None:
    rows = [line("00:00", 1, 2, 3, 4), line("00:01", 5, 6, 7, 8)[:kept]]
    assert read_iaga2002(file_of(tmp_path, *rows, end="")).x_nt.tolist() == [1.0]


def test_a_whole_last_line_needs_no_line_feed(tmp_path: Path) -> None:
    rows = [line("00:00", 1, 2, 3, 4), line("00:01", 5, 6, 7, 8)]
    assert read_iaga2002(file_of(tmp_path, *rows, end="")).x_nt.tolist() == [1.0, 5.0]


@pytest.mark.parametrize(
    ("lines", "letters", "said"),
    [
        (["2026-11-20 00:00:00.000 324   1.0 2.0"], "XYZF", "line 3"),
        (["2026-11-20 00:00:00.000 324   1.0 2.0 three 4.0"], "XYZF", "line 3"),
        (["2026-13-20 00:00:00.000 324   1.0 2.0 3.0 4.0"], "XYZF", "line 3"),
        (["2026-11-20 12:00:60.000 324   1.0 2.0 3.0 4.0"], "XYZF", "line 3"),
        (["2026-11-20 00:00:00.000 324   1.0 nan 3.0 4.0"], "XYZF", "no number"),
        *[([], letters, "do not follow") for letters in ("XZFG", "HZFG", "DZFG", "DHFG", "DIGE")],
        ([], "XXZF", "same component"),
    ],
)
def test_a_broken_file_is_refused_by_its_line(
    tmp_path: Path, lines: list[str], letters: str, said: str
) -> None:
    with pytest.raises(UnreadableFileError, match=said):
        read_iaga2002(file_of(tmp_path, *lines, letters=letters))


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (b"", "Format"),
        (b"\xff\xd8\xff\xe0" * 500, "Format"),
        (b"time,x\n2026,1\n", "Format"),
        (b"DATE       TIME         DOY     ABCX      ABCY      ABCZ\n", "Format"),
        (b" Format                 IAGA-2002  |\n", "DATE"),
    ],
)
def test_other_files_are_said_to_be_no_iaga_2002(tmp_path: Path, content: bytes, missing: str) -> None:
    path = tmp_path / "other.min"
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError, match=f"not IAGA-2002: no line `{missing}"):
        read_iaga2002(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "years.sec"
    with path.open("wb") as file:
        file.truncate((256 << 20) + 1)
    with pytest.raises(UnreadableFileError, match="too many"):
        read_iaga2002(path)


def test_stations_are_not_mixed_and_simulated_files_not_with_measured_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "a.min", tmp_path / "b.min"
    write_iaga2002(first, series())
    write_iaga2002(second, replace(series(), station="LYR"))
    with pytest.raises(UnreadableFileError, match="LYR"):
        read_many([first, second])
    write_iaga2002(second, series(is_simulated=False))
    with pytest.raises(UnreadableFileError, match="never mix"):
        read_many([first, second])
    with pytest.raises(UnreadableFileError, match="no magnetometer file"):
        read_many([])


def test_a_folder_means_the_files_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "magnetometer"
    folder.mkdir()
    whole = series(6)
    for name, part in (("b.min", slice(3, 6)), ("a.min", slice(0, 3))):
        times, field = whole.times_s[part], (whole.x_nt[part], whole.y_nt[part], whole.z_nt[part])
        x, y, z = field
        write_iaga2002(folder / name, replace(whole, times_s=times, x_nt=x, y_nt=y, z_nt=z))
    (folder / ".sync").write_text("a copy program's own")
    (folder / "2025").mkdir()
    assert np.array_equal(read_many([folder]).times_s, whole.times_s)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFileError, match="no magnetometer file"):
        read_many([tmp_path / "empty"])


def test_of_two_files_that_overlap_the_one_named_last_counts(tmp_path: Path) -> None:
    first, second, nothing = (tmp_path / name for name in ("a.min", "b.min", "c.min"))
    given = replace(series(3), site=None)
    write_iaga2002(first, given)
    write_iaga2002(second, replace(given.at(np.array([1])), x_nt=np.array([5.0])))
    write_iaga2002(nothing, given.at(np.zeros(3, bool)))
    assert read_many([first, second, nothing]).x_nt.tolist() == [7400.0, 5.0, 7402.0]
    assert read_many([second, first]).x_nt.tolist() == [7400.0, 7401.0, 7402.0]
    assert read_many([nothing]).times_s.size == 0


def test_an_active_night_does_not_move_the_quiet_level() -> None:
    times = np.arange(7 * 1440) * 60.0
    x = np.full(times.size, 8000.0)
    x[3 * 1440 : 3 * 1440 + 600] -= 500.0
    left = disturbance(MagneticSeries("SIM", "", None, times, x, x.copy(), x.copy()))
    np.testing.assert_allclose(left.x_nt, x - 8000.0)


def test_the_level_runs_from_noon_to_noon_and_follows_a_new_baseline_in_half_a_week() -> None:
    days = np.arange(14 * 24) / 24.0
    drifting, stepped = 2.0 * days, np.where(days < 7.0, 0.0, 1000.0)
    lost = np.full(days.size, np.nan)
    left = disturbance(MagneticSeries("SIM", "", None, days * 86_400.0, drifting, stepped, lost))
    inner = (days >= 3.5) & (days <= 10.5)
    np.testing.assert_allclose(left.x_nt[inner], 0.0, atol=0.1)
    noons = days % 1.0 == 0.5
    np.testing.assert_allclose(left.y_nt[noons], 0.0)
    assert np.isnan(left.z_nt).all()
