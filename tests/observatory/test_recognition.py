"""What a file is: header first, then name, then content; the caller's word overrides all three."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from observatory.errors import AmbiguousInstrumentError, NoSuchInstrumentError, UnknownInstrumentError
from observatory.frame import DateSource
from observatory.instruments import Limits, families, instrument_names, kind_of, open_bytes, read_file
from tests.making import KSO_CARDS, fits_bytes, kso_bytes, picture_bytes, sun, sun_picture

LIMITS = Limits()
PATCH = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
NOISE = np.random.default_rng(1).integers(0, 255, (64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "instrument", "date_obs"),
    [
        ("halpha/gong/20150807192114Mh.fits.fz", "gong-halpha", "2015-08-07T19:21:14"),
        ("halpha/bbso/bbso_halph_fl_20150801_174814.jpg", "bbso-halpha", "2015-08-01T17:48:14"),
        ("halpha/bbso/bbso_halph_fr_20150801_203114.jpg", "bbso-halpha", "2015-08-01T20:31:14"),
        ("halpha/kso_20190126/kso_20190126_0000.png", "kso-halpha", None),
        ("aia/fits/aia_171_cutout.fits", "aia-171", "2013-03-10T12:00:11.341"),
        ("aia/jp2/2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2", "aia-193", "2013-06-24T17:31:30.84"),
        (
            "hmi/jp2/2023_01_31__03_39_23_200__SDO_HMI_HMI_continuum.jp2",
            "hmi-continuum",
            "2023-01-31T03:39:23.2",
        ),
        ("hmi/hmi_continuum_lowres.fits", "hmi-continuum", "2024-05-08T16:54:35.1"),
        ("allsky/themis/20140310_0600_gill_themis19_full.pgm.gz", "themis-asi", "2014-03-10T06:00:00.063119"),
        ("allsky/rainbow/20130205_0500_rabb_rainbow-08_full.pgm.gz", "rainbow", "2013-02-05T05:00:00.012687"),
        ("allsky/trex_nir/20220307_0600_gill_nir-216_8446.pgm.gz", "trex-nir", "2022-03-07T06:00:00"),
        (
            "allsky/trex_rgb/20200508_060500_122643_gill_rgb-04_320ms_full.png",
            "trex-rgb",
            "2020-05-08T06:05:00.122643",
        ),
        ("allsky/lowell/000.fits.bz2", "allsky", "2018-07-29T04:08:29.014"),
        ("allsky/kho_20131204/kho1_0001.png", "allsky", None),
    ],
)
def test_a_real_file_tells_its_instrument_and_time(
    real_frames: Path, name: str, instrument: str, date_obs: str | None
):
    path = real_frames / name
    opened = open_bytes(path.read_bytes(), path.name, LIMITS)  # no file time: header and name alone
    assert opened.instrument == instrument
    found = opened.facts().date_obs
    assert found == (datetime.fromisoformat(date_obs).replace(tzinfo=UTC) if date_obs else None)


def test_a_kso_file_is_known_by_its_header_whatever_its_name():
    opened = open_bytes(kso_bytes(), "a.fts.gz", LIMITS)
    assert opened.instrument == "kso-halpha"
    assert opened.facts().observatory == "Kanzelhöhe Solar Observatory"
    assert opened.facts().wavelength_nm == 656.28


def test_the_header_wins_over_the_name():
    data = fits_bytes(PATCH, {"INSTRUME": "AIA_3", "TELESCOP": "SDO/AIA", "WAVELNTH": 193})
    assert open_bytes(data, "kanz_halph_fi_20240508_120000.fts", LIMITS).instrument == "aia-193"


def test_the_name_wins_over_the_content():
    assert open_bytes(sun_picture(), "themis12_x.png", LIMITS).instrument == "themis-asi"


def test_an_unnamed_disk_is_taken_for_halpha_by_its_content():
    assert open_bytes(sun_picture(), "a.png", LIMITS).instrument == "halpha"


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_picture_is_taken_for_a_telescopes(level: int):
    blank = picture_bytes(np.full((200, 200), level, np.uint8))
    assert open_bytes(blank, "black.png", LIMITS).instrument == "halpha"


def test_the_callers_word_overrides_header_and_name():
    assert (
        open_bytes(kso_bytes(), "kanz_halph_x.fts.gz", LIMITS, instrument="aia-304").instrument == "aia-304"
    )


def test_a_configured_station_keeps_its_own_name_and_its_kinds_facts():
    opened = open_bytes(
        kso_bytes(), "a.fts.gz", LIMITS, instrument="my-telescope", stations={"my-telescope": "halpha"}
    )
    assert opened.instrument == "my-telescope"
    assert opened.kind.family == "halpha"
    assert opened.frame().instrument == "my-telescope"
    assert opened.facts().wavelength_nm == 656.28


def test_two_claims_are_an_error_that_names_the_candidates():
    data = fits_bytes(PATCH)
    with pytest.raises(AmbiguousInstrumentError) as caught:
        open_bytes(data, "aia_193_rgb-04.fits", LIMITS)
    assert caught.value.candidates == ["aia-193", "trex-rgb"]
    assert "aia-193 or trex-rgb" in str(caught.value)
    assert "--instrument" in str(caught.value)


def test_a_grey_picture_without_a_disk_names_what_it_could_be():
    with pytest.raises(AmbiguousInstrumentError, match=r"halpha.*allsky|allsky.*halpha"):
        open_bytes(picture_bytes(NOISE[..., 0]), "a.png", LIMITS)


def test_a_colour_picture_without_a_name_is_not_guessed_at():
    with pytest.raises(UnknownInstrumentError, match="--instrument"):
        open_bytes(picture_bytes(NOISE), "holiday.jpg", LIMITS)


def test_a_named_instrument_that_nobody_knows_lists_the_known_ones():
    with pytest.raises(NoSuchInstrumentError, match=r"no instrument hubble: known are .*kso-halpha"):
        kind_of("hubble")


def test_every_promised_instrument_is_known():
    promised = {
        *("kso-halpha", "gong-halpha", "bbso-halpha", "halpha", "hmi-continuum", "hmi-magnetogram"),
        *(f"aia-{n}" for n in (94, 131, 171, 193, 211, 304, 335, 1600, 1700, 4500)),
        *("suvi-171", "suvi-195", "themis-asi", "rego", "trex-rgb", "trex-nir", "trex-blue"),
        *("rainbow", "allsky"),
    }
    assert promised <= set(instrument_names())
    assert set(families()) == {"aia", "allsky", "halpha", "hmi"}


@pytest.mark.parametrize(
    ("name", "instrument"),
    [
        ("20150807192114Mh.fits.fz", "gong-halpha"),
        ("BBSO_HALPH_FR_20150801_174814.JPG", "bbso-halpha"),
        ("kanz_halph_fi_20240508_120000.fts.gz", "kso-halpha"),
        ("my_h-alpha_1.png", "halpha"),
        ("latest_1024_0193.jpg", "aia-193"),
        ("20240508_120000_1024_0304.jpg", "aia-304"),
        ("suvi_2023_195.png", "suvi-195"),
        ("hmi.M_45s.20240508_120000_TAI.magnetogram.fits", "hmi-magnetogram"),
        ("20140310_0600_gill_rego-652_6300.pgm", "rego"),
        ("allsky.jpg", "allsky"),
    ],
)
def test_a_name_alone_tells_the_instrument(name: str, instrument: str):
    blank = picture_bytes(np.zeros((64, 64), np.uint8))
    assert open_bytes(blank, name, LIMITS).instrument == instrument


def test_the_file_time_is_taken_when_nothing_else_tells_one(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(sun_picture())
    facts = read_file(path, LIMITS).facts()
    assert facts.date_obs_source is DateSource.FILE_TIME
    assert facts.date_obs == datetime.fromtimestamp(path.stat().st_mtime, UTC)


def test_a_file_of_the_future_leaves_the_time_open(tmp_path: Path):
    path = tmp_path / "frame.png"
    path.write_bytes(sun_picture())
    os.utime(path, (2.2e9, 2.2e9))  # 2039
    facts = read_file(path, LIMITS).facts()
    assert (facts.date_obs, facts.date_obs_source) == (None, DateSource.NONE)


def test_a_name_of_another_day_than_the_file_time_leaves_the_time_open(tmp_path: Path):
    path = tmp_path / "kso_20190126_0042.png"
    path.write_bytes(sun_picture())
    facts = read_file(path, LIMITS).facts()
    assert (facts.date_obs, facts.date_obs_source) == (None, DateSource.NONE)


def test_the_shutters_milliseconds_of_kanzelhoehe_become_seconds():
    data = fits_bytes(sun().pixels, KSO_CARDS | {"EXP_TIME": 2.5})
    assert open_bytes(data, "a.fts", LIMITS).facts().exposure_time_s == pytest.approx(0.0025)
