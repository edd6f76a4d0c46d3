"""When and where: times become aware UTC, and the disk's place is the one that wcslib computes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.coordinates import hpc_to_pixel
from observatory.errors import MissingKeywordError, UnusableInputError
from observatory.frame import DateSource, Pointing, RowOrder
from observatory.instruments import Limits, Opened, kind_of, kinds, open_bytes
from observatory.instruments.base import (
    RSUN_1AU_ARCSEC,
    dated,
    header_date,
    name_time,
    number,
    parse_time,
)
from observatory.instruments.formats import Container
from observatory.instruments.helioprojective import wcs_pointing
from tests.making import KSO_CARDS, claim, fits_bytes, sun, with_card


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-05-08T12:00:00", "2024-05-08T12:00:00"),
        ("2024-05-08T12:00:00Z", "2024-05-08T12:00:00"),
        ("2024-05-08T14:00:00+02:00", "2024-05-08T12:00:00"),
        ("2024-05-08 12:00:00 UTC", "2024-05-08T12:00:00"),
        ("2024-05-08T12:00:00.123456789", "2024-05-08T12:00:00.123456"),
        ("2024.05.08_12:00:37_TAI", "2024-05-08T12:00:00"),
        ("2011.02.15_02:00:00_TAI", "2011-02-15T01:59:26"),
        ("2024-05-08", "2024-05-08T00:00:00"),
        ("08/05/98", "1998-05-08T00:00:00"),
        ("2024/05/08 12:00:00.5", "2024-05-08T12:00:00.500000"),
        ("2024/05/08", "2024-05-08T00:00:00"),
        ("2024-05-08T12:01:09.184_TT", "2024-05-08T12:00:00"),
    ],
)
def test_every_way_to_write_a_time_becomes_utc(text: str, utc: str):
    assert parse_time(text, "DATE-OBS") == datetime.fromisoformat(utc).replace(tzinfo=UTC)


SINCE_2000 = (datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2026-01-01"))
EPOCH = (datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2090-01-01"))


@settings(max_examples=50)
@given(st.datetimes(*SINCE_2000))
def test_tai_is_turned_into_utc_as_astropy_turns_it(moment: datetime):
    ours = parse_time(f"{moment:%Y.%m.%d_%H:%M:%S}_TAI", "T_REC")
    theirs = Time(moment.replace(microsecond=0), scale="tai").utc.to_datetime(
        UTC, leap_second_strict="silent"
    )
    assert abs((ours - theirs).total_seconds()) < 1e-3


@given(st.datetimes(*EPOCH), st.integers(-12, 12))
def test_a_time_with_a_zone_keeps_its_moment(moment: datetime, hours: int):
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert parse_time(aware.isoformat(), "DATE-OBS") == aware


@pytest.mark.parametrize("text", ["yesterday", "2024-13-45T00:00:00", "99/99/99", "2024-05-08T25:00:00", "'"])
def test_a_broken_time_raises_and_names_the_keyword(text: str):
    with pytest.raises(MissingKeywordError, match=r"DATE-OBS.*is not a time"):
        header_date({"DATE-OBS": text})


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00_TAI", "0001-01-01T00:00:00+10:00", "9999-12-31T23:00:00-10:00"]
)
def test_a_time_at_the_edge_of_the_calendar_is_an_unusable_keyword(text: str):
    with pytest.raises(MissingKeywordError):
        parse_time(text, "DATE-OBS")


@given(st.text(max_size=30))
def test_no_text_whatever_breaks_the_parser(text: str):
    with suppress(MissingKeywordError):
        assert parse_time(text, "DATE-OBS").tzinfo is UTC


@pytest.mark.parametrize(
    "header",
    [
        {"DATE-OBS": "2015-08-07", "TIME-OBS": "19:21:14"},
        {"DATE-OBS": "07/08/15", "TIME-OBS": "19:21:14"},
        {"DATE_OBS": "2015-08-07T19:21:14"},
    ],
)
def test_a_time_split_over_two_keywords_is_put_together(header: dict):
    found = header_date(header)
    assert found is not None
    assert (found.month, found.day, found.hour, found.minute, found.second) == (8, 7, 19, 21, 14)


@pytest.mark.parametrize(
    ("text", "scale", "utc"),
    [
        ("2020-09-25T23:58:37.35", "TAI", "2020-09-25T23:58:00.35"),
        ("2020-09-25T23:59:09.184", "TT", "2020-09-25T23:58:00"),
        ("2020-09-25T23:58:37Z", "TAI", "2020-09-25T23:58:37"),  # a time's own word counts
        ("2020-09-25T23:58:37", "UTC", "2020-09-25T23:58:37"),
    ],
)
def test_the_scale_that_the_header_names_is_that_of_its_times(text: str, scale: str, utc: str):
    found = header_date({"DATE-OBS": text, "TIMESYS": scale})
    assert found == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_an_empty_keyword_says_nothing_and_the_name_is_asked():
    assert header_date({"DATE-OBS": ""}) is None
    assert dated({"DATE-OBS": ""}, "x_20240508_120001.png")[1] is DateSource.FILE_NAME


@pytest.mark.parametrize(
    ("instrument", "cards"),
    [("halpha", {"OBS_TYPE": "HALPH"}), ("allsky", {}), ("aia-171", {"INSTRUME": "AIA_3", "WAVELNTH": 171})],
)
def test_start_and_length_of_an_exposure_are_known_by_the_standards_own_words(instrument: str, cards: dict):
    data = fits_bytes(sun().pixels, cards | {"DATE-BEG": "2024-05-08T12:00:00", "XPOSURE": 2.5})
    facts = open_bytes(data, "a.fits", Limits(), instrument=instrument).facts()
    assert facts.date_obs == datetime(2024, 5, 8, 12, tzinfo=UTC)
    assert facts.exposure_time_s == 2.5


def test_exifs_time_is_that_of_its_zone_and_without_one_the_name_goes_before_it():
    exif, moment = {"EXIF-DATE": "2024:05:08 14:00:01"}, datetime(2024, 5, 8, 12, 0, 1, tzinfo=UTC)
    zoned = exif | {"EXIF-OFFSET": "+02:00"}
    assert dated(zoned, "halpha.jpg") == (moment, DateSource.HEADER)
    assert dated(zoned, "halpha_20240508_115500.jpg") == (moment, DateSource.HEADER)
    assert dated(exif, "halpha_20240508_120001.jpg") == (moment, DateSource.FILE_NAME)
    assert dated(exif, "halpha.jpg") == (moment.replace(hour=14), DateSource.HEADER)


def test_a_header_with_the_day_alone_leaves_the_moment_to_the_name():
    day, name = "2024-05-08", "x_20240508_120001.png"
    moment = datetime(2024, 5, 8, 12, 0, 1, tzinfo=UTC)
    assert dated({"DATE-OBS": day}, name) == (moment, DateSource.FILE_NAME)
    midnight = moment.replace(hour=0, second=0)
    assert dated({"DATE-OBS": f"{day}T00:00:00"}, name) == (midnight, DateSource.HEADER)
    for other in ("x_20240509_120001.png", "x.png"):  # another day's, or none: the day is what is known
        assert dated({"DATE-OBS": day}, other) == (midnight, DateSource.HEADER)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("kanz_halph_fi_20240508_120001.fts.gz", "2024-05-08T12:00:01"),
        ("bbso_halph_fl_20150801_174814.jpg", "2015-08-01T17:48:14"),
        ("2023_01_31__03_39_23_200__SDO_HMI_HMI_continuum.jp2", "2023-01-31T03:39:23"),
        ("sdo_aia193_2014_07_15T21_59_55.png", "2014-07-15T21:59:55"),
        ("aia_lev1_171a_2011_06_07t06_33_02_77z_image_lev1.fits", "2011-06-07T06:33:02"),
        ("kso_20190126_0042.png", None),
        ("latest_1024_0131.jpg", None),
        ("a.png", None),
    ],
)
def test_the_time_in_a_file_name_is_read(name: str, moment: str | None):
    assert name_time(name).moment == (datetime.fromisoformat(moment).replace(tzinfo=UTC) if moment else None)


def test_a_day_with_a_number_is_a_day_only():
    assert name_time("kso_20190126_0042.png").day == datetime(2019, 1, 26, tzinfo=UTC)


def test_a_picture_that_tells_no_time_has_none():
    opened = open_bytes(fits_bytes(sun().pixels, {"OBS_TYPE": "HALPH"}), "a.fts", Limits())
    assert (opened.facts().date_obs, opened.facts().date_obs_source) == (None, DateSource.NONE)


def test_a_frame_with_a_broken_date_is_refused_not_guessed():
    data = with_card(fits_bytes(sun().pixels, KSO_CARDS), "DATE-OBS", "'not a date'")
    with pytest.raises(MissingKeywordError, match="DATE-OBS"):
        open_bytes(data, "kanz_halph_fi_20240508_120000.fts", Limits()).facts()


# -- pointing ---------------------------------------------------------------------------------


def helio_header(**values: float) -> dict:
    return {
        **{"CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN", "CUNIT1": "arcsec", "CUNIT2": "arcsec"},
        **{"CRVAL1": 0.0, "CRVAL2": 0.0, "CROTA2": 0.0, "RSUN_OBS": 950.0},
        **values,
    }


@settings(max_examples=100)
@given(
    scale=st.floats(0.3, 5),
    x=st.floats(-100, 4000),
    y=st.floats(-100, 4000),
    value_x=st.floats(-1200, 1200),
    value_y=st.floats(-1200, 1200),
    roll=st.floats(-180, 180),
)
def test_the_suns_centre_lies_where_wcslib_puts_it(
    scale: float, x: float, y: float, value_x: float, value_y: float, roll: float
):
    header = helio_header(
        CDELT1=scale, CDELT2=scale, CRPIX1=x, CRPIX2=y, CRVAL1=value_x, CRVAL2=value_y, CROTA2=roll
    )
    pointing = wcs_pointing(header)
    theirs = WCS(fits.Header(header)).all_world2pix([[0.0, 0.0]], 0)[0]
    assert pointing is not None
    # Ours is the flat approximation: over 1200 arcsec the projection bends by some 1e-5 of the way.
    bend = 3e-5 * (abs(value_x) + abs(value_y)) / scale + 1e-6
    assert np.hypot(pointing.center_x_px - theirs[0], pointing.center_y_px - theirs[1]) <= bend
    assert pointing.radius_px == pytest.approx(950.0 / scale)
    assert pointing.roll_deg == pytest.approx(roll)


@pytest.mark.parametrize("gone", ["CDELT1", "CDELT2", "CRPIX1", "CRPIX2"])
def test_half_a_wcs_is_refused(gone: str):
    header = helio_header(CDELT1=1.0, CDELT2=1.0, CRPIX1=100.0, CRPIX2=100.0)
    del header[gone]
    with pytest.raises(MissingKeywordError):
        wcs_pointing(header)


@pytest.mark.parametrize("bad", [{"CDELT1": 0.0}, {"CDELT1": -1.0}, {"CDELT2": 0.0}])
def test_an_impossible_plate_scale_is_refused(bad: dict):
    with pytest.raises(MissingKeywordError):
        wcs_pointing(helio_header(**({"CDELT1": 1.0, "CDELT2": 1.0, "CRPIX1": 1.0, "CRPIX2": 1.0} | bad)))


def rotation(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def matrix_words(letters: str, matrix: np.ndarray) -> dict[str, float]:
    return {
        f"{letters}{row + 1}_{column + 1}": float(matrix[row, column]) for row in (0, 1) for column in (0, 1)
    }


@pytest.mark.parametrize(
    ("changed", "scale", "roll"),
    [
        ({"CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 2.4 / 3600, "CDELT2": 2.4 / 3600}, 2.4, 0.0),
        ({"CUNIT1": "arcmin", "CUNIT2": "arcmin", "CDELT1": 0.04, "CDELT2": 0.04}, 2.4, 0.0),
        # As astropy writes a matrix CD, and one turned by 180 degrees: what is 0 is left out.
        ({"CDELT1": 1.0, "CDELT2": 1.0, **matrix_words("PC", 2.4 * rotation(30.0))}, 2.4, 30.0),
        ({"CDELT1": 2.4, "CDELT2": 2.4, "PC1_1": -1.0, "PC2_2": -1.0}, 2.4, 180.0),
        ({"CDELT1": 2.4, "CDELT2": 2.4, "CROTA2": 0.0, **matrix_words("PC", rotation(90.0))}, 2.4, 90.0),
        ({"CDELT1": -2.4, "CDELT2": -2.4}, 2.4, 180.0),
        (matrix_words("CD", 2.4 * rotation(-20.0)), 2.4, -20.0),
        ({"CUNIT1": "deg", "CUNIT2": "deg", **matrix_words("CD", rotation(10.0) / 1500)}, 2.4, 10.0),
    ],
)
def test_the_plate_scale_is_that_of_wcslib_however_the_header_writes_it(
    changed: dict, scale: float, roll: float
):
    header = helio_header(CRPIX1=500.0, CRPIX2=400.0) | changed
    if "CROTA2" not in changed:
        del header["CROTA2"]
    pointing = wcs_pointing(header)
    cards = fits.Header(
        {key: value for key, value in header.items() if "PC1_1" not in header or key != "CROTA2"}
    )
    theirs = WCS(cards).all_world2pix([[0.0, 0.0], [0.0, 100.0 / 3600.0]], 0)
    assert pointing is not None
    assert (pointing.center_x_px, pointing.center_y_px) == pytest.approx(tuple(theirs[0]), abs=1e-6)
    assert pointing.cdelt_arcsec == pytest.approx(scale)
    assert abs(pointing.roll_deg or 0.0) == pytest.approx(abs(roll))
    assert hpc_to_pixel(0.0, 100.0, pointing) == pytest.approx(tuple(theirs[1]), abs=1e-4)


def test_a_mirrored_picture_is_refused_as_one():
    header = helio_header(CDELT1=-2.4, CDELT2=2.4, CRPIX1=8.0, CRPIX2=8.0)
    with pytest.raises(MissingKeywordError, match="mirrored"):
        wcs_pointing(header)


def test_a_unit_that_is_no_angle_is_refused():
    header = helio_header(CDELT1=2.4, CDELT2=2.4, CRPIX1=8.0, CRPIX2=8.0) | {"CUNIT1": "m", "CUNIT2": "m"}
    with pytest.raises(MissingKeywordError, match=r"CUNIT1.*no unit of an angle"):
        wcs_pointing(header)


def test_a_disk_in_halpha_lies_where_its_coordinates_say_and_is_read_without_whole_ones():
    cards = {
        "OBS_TYPE": "HALPH",
        "CTYPE1": "HPLN-TAN",
        "CTYPE2": "HPLT-TAN",
        "CROTA2": 30.0,
        "RSUN_OBS": 950.0,
    }
    whole = cards | {"CRPIX1": 120.5, "CRPIX2": 130.5, "CDELT1": 10.0, "CDELT2": 10.0}

    def pointing(given: dict[str, Any]) -> Pointing | None:
        return open_bytes(fits_bytes(sun().pixels, given), "a.fits", Limits()).facts().pointing

    found = pointing(whole)
    assert found is not None
    assert (found.center_x_px, found.center_y_px, found.radius_px) == pytest.approx((119.5, 129.5, 95.0))
    assert found.roll_deg == pytest.approx(30.0)
    assert pointing(cards) is None
    by_limb = pointing(whole | {"CENTER_X": 100.0, "CENTER_Y": 101.0, "SOLAR_R": 90.0})
    assert by_limb is not None and (by_limb.center_x_px, by_limb.radius_px) == (99.0, 90.0)


@pytest.mark.parametrize("name", ["HPLN-TAN", "SOLAR-X", "solar_x"])
def test_the_old_names_of_helioprojective_axes_are_known(name: str):
    header = helio_header(CDELT1=2.4, CDELT2=2.4, CRPIX1=8.0, CRPIX2=8.0) | {"CTYPE1": name}
    assert wcs_pointing(header) is not None


def test_no_wcs_at_all_is_no_pointing_and_no_error():
    assert wcs_pointing({"NAXIS": 2}) is None


def test_a_radius_in_pixels_is_not_taken_for_arcseconds():
    header = helio_header(CDELT1=1.0, CDELT2=1.0, CRPIX1=1.0, CRPIX2=1.0, RSUN_OBS=0.26)
    pointing = wcs_pointing(header)
    assert pointing is not None
    assert pointing.rsun_arcsec == RSUN_1AU_ARCSEC


@pytest.mark.parametrize("value", [10**30, float("inf"), float("nan"), True, "12", None])
def test_what_is_no_usable_number_is_passed_over(value: object):
    assert number({"A": value, "B": 2.5}, "A", "B") in (2.5, 1e30)


ABSURD = ("0.0", "-1", "1E300", "-1E300", "1" + "0" * 18, "'text'", "T", "'0001-01-01T00:00:00_TAI'")


@pytest.mark.parametrize("instrument", [kind.names[0] for kind in kinds()])
@pytest.mark.parametrize("value", ABSURD)
def test_an_absurd_value_of_any_keyword_is_unusable_input_at_most(instrument: str, value: str):
    whole = helio_header(CDELT1=1.0, CDELT2=1.0, CRPIX1=8.0, CRPIX2=8.0)
    whole |= {
        "DATE-OBS": "2024-05-08T12:00:00",
        "EXPTIME": 1.0,
        "WAVELNTH": 193,
        "BUNIT": "DN",
        "SITE NAME": "x",
    }
    whole |= {"CENTER_X": 8.0, "CENTER_Y": 8.0, "SOLAR_R": 5.0, "ANGLE": 0.0, "TELESCOP": "KHPI"}
    cards = {key: item for key, item in whole.items() if len(key) <= 8}
    data = fits_bytes(np.ones((16, 16), np.int16), cards)
    for key in cards:
        broken = with_card(data, key, value)
        with suppress(UnusableInputError):
            open_bytes(broken, "a.fits", Limits(), instrument=instrument).facts()


def test_a_header_card_longer_than_any_integer_does_not_break_recognition():
    with pytest.raises(UnusableInputError):
        open_bytes(claim(NAXIS=2, NAXIS1="9" * 19, NAXIS2=4), "a.fits", Limits())


class _Picture(Container):
    """A picture with the top row first whose header is a FITS file's, as in JPEG 2000."""

    row_order = RowOrder.TOP

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return {
            "INSTRUME": "AIA_4",
            "WAVELNTH": 193,
            "CTYPE1": "HPLN-TAN",
            "CDELT1": 2.4,
            "CDELT2": 2.4,
            "CRPIX1": 500.5,
            "CRPIX2": 300.5,  # counted from the bottom, as FITS does
            "RSUN_OBS": 960.0,
        }

    def shape(self, index: int = 0) -> tuple[int, int]:
        return 1024, 1024

    def pixels(self, index: int = 0) -> np.ndarray:
        return np.zeros((1024, 1024), np.uint8)


def test_a_picture_with_a_fits_header_has_its_disk_where_the_header_counts_from_the_bottom():
    opened = Opened(_Picture(), "aia-193", kind_of("aia-193"), "aia-193", "x.jp2")
    pointing = opened.facts().pointing
    assert pointing is not None
    assert (pointing.center_x_px, pointing.center_y_px) == (499.5, 1023 - 299.5)
