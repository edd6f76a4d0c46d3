"""AIA and SUVI: what header, name and colours say, and what is refused when they disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from observatory.coordinates import SunView
from observatory.errors import AmbiguousInstrumentError, MissingKeywordError, UnknownInstrumentError
from observatory.instruments import Limits, open_bytes
from observatory.instruments.base import parse_time
from tests.making import fits_bytes, picture_bytes
from tests.observatory.test_euv import coloured, corona

PATCH = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
AIA = {
    "TELESCOP": "SDO/AIA",
    "INSTRUME": "AIA_3",
    "WAVELNTH": 171,
    "DATE-OBS": "2020-09-25T23:58:09.35",
    "EXPTIME": 2.0,
    "CTYPE1": "HPLN-TAN",
    "CTYPE2": "HPLT-TAN",
    "CRPIX1": 32.5,
    "CRPIX2": 32.5,
    "CDELT1": 0.6,
    "CDELT2": 0.6,
}
SUVI = {"TELESCOP": "GOES-16", "INSTRUME": "GOES-R Series Solar Ultraviolet Imager", "WAVELNTH": 195.0}


def opened(cards: dict[str, Any], name: str = "a.fits") -> Any:
    return open_bytes(fits_bytes(PATCH, cards), name, Limits())


@pytest.mark.parametrize("wavelength", [172, 0, -171, 1e9, "171 A"])
def test_a_wavelength_that_is_no_channel_is_refused_with_the_channels(wavelength: object):
    with pytest.raises(MissingKeywordError, match=r"WAVELNTH.*no channel.*94, 131, 171.*--instrument"):
        opened(AIA | {"WAVELNTH": wavelength})


def test_a_name_of_another_channel_than_the_header_is_refused():
    with pytest.raises(MissingKeywordError, match="header says aia-171, the file's name aia-193"):
        opened(AIA, "aia_lev1_193a_2020.fits")


def test_the_callers_word_settles_a_wrong_wavelength():
    data = fits_bytes(PATCH, AIA | {"WAVELNTH": 172})
    assert open_bytes(data, "a.fits", Limits(), instrument="aia-171").facts().wavelength_nm == 17.1


@pytest.mark.parametrize("wavelength", [171, 171.0, 170.9999, "171", " 171.0"])
def test_a_wavelength_may_be_a_whole_or_a_real_number_or_one_as_text(wavelength: float | str):
    assert opened(AIA | {"WAVELNTH": wavelength}).instrument == "aia-171"


@pytest.mark.parametrize(
    ("wavelength", "unit"), [(17.1, "nm"), (171, "angstrom"), (171, "Angstrom"), (171, "")]
)
def test_a_wavelength_counts_in_its_unit(wavelength: float, unit: str):
    found = opened(AIA | {"WAVELNTH": wavelength, "WAVEUNIT": unit})
    assert (found.instrument, found.facts().wavelength_nm) == ("aia-171", 17.1)


def test_without_the_suns_radius_its_distance_tells_it():
    pointing = opened(AIA | {"DSUN_OBS": 149982921008.88, "RSUN_REF": 696000000.0}).facts().pointing
    assert pointing.rsun_arcsec == pytest.approx(957.181121, abs=2e-3)  # as AIA's own header has it
    assert pointing.radius_px == pytest.approx(957.181 / 0.6, rel=1e-4)


def test_without_radius_and_distance_the_day_tells_it():
    pointing = opened(AIA).facts().pointing
    expected = SunView(parse_time("2020-09-25T23:58:09.35", "DATE-OBS")).rsun_arcsec
    assert pointing.rsun_arcsec == pytest.approx(expected)
    assert pointing.rsun_arcsec == pytest.approx(957.18, abs=0.3)


def test_pixels_that_are_not_square_are_refused():
    with pytest.raises(MissingKeywordError, match=r"0\.6 x 0\.75 arcsec are not square"):
        opened(AIA | {"CDELT2": 0.75}).facts()
    assert opened(AIA | {"CDELT2": 0.6001}).facts().pointing is not None


@pytest.mark.parametrize("distance", [0.0, 1e20, float("nan")])
def test_an_absurd_distance_is_not_believed(distance: float):
    cards = AIA | ({} if np.isnan(distance) else {"DSUN_OBS": distance})
    assert 943 < opened(cards).facts().pointing.rsun_arcsec < 977


def test_suvi_is_known_by_its_long_name_and_its_roll_by_its_own_keyword():
    found = opened(
        SUVI
        | {"CROTA": 12.5, "CMD_EXP": 1.0, "BUNIT": "W m-2 sr-1"}
        | {key: value for key, value in AIA.items() if key[:2] in ("CT", "CR", "CD", "DA")}
    )
    assert found.instrument == "suvi-195"
    facts = found.facts()
    assert facts.pointing.roll_deg == 12.5
    assert (facts.exposure_time_s, facts.unit, facts.observatory) == (1.0, "W m-2 sr-1", "GOES")


def test_a_helioviewer_jp2_has_its_header_and_its_time(real_frames: Path):
    path = real_frames / "aia/jp2/2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2"
    facts = open_bytes(path.read_bytes(), "renamed.jp2", Limits()).facts()
    assert facts.pointing.radius_px == pytest.approx(944.30828 / 0.6)
    assert facts.date_obs.isoformat().startswith("2013-06-24T17:31:30")


@pytest.mark.parametrize(
    ("channel", "radius", "instrument"),
    [
        (193, 200.0, "aia-193"),
        (171, 200.0, "aia-171"),
        (94, 200.0, "aia-94"),
        (171, 154.0, "suvi-171"),
        (193, 154.0, "suvi-195"),
    ],
)
def test_colours_and_size_tell_what_an_unnamed_picture_is(channel: int, radius: float, instrument: str):
    data = picture_bytes(coloured(corona(512, radius), channel))
    assert open_bytes(data, "sun.png", Limits()).instrument == instrument


def test_a_disk_of_neither_size_names_both_candidates():
    with pytest.raises(AmbiguousInstrumentError) as caught:
        open_bytes(picture_bytes(coloured(corona(512, 240.0), 171)), "sun.png", Limits())
    assert caught.value.candidates == ["aia-171", "suvi-171"]


def test_a_red_disk_without_a_corona_may_be_halpha_too():
    light = corona()
    middle = np.hypot(*(np.mgrid[:512, :512] - 255.5)) / 200
    light = np.where(middle < 1.0, 160.0, 2.0) * (light / light.mean()) ** 0.1
    with pytest.raises((AmbiguousInstrumentError, UnknownInstrumentError)) as caught:
        open_bytes(picture_bytes(coloured(light, 304)), "sun.png", Limits())
    if isinstance(caught.value, AmbiguousInstrumentError):
        assert caught.value.candidates == ["aia-304", "halpha"]


def test_real_pictures_whose_names_lack_the_channel_are_recognised(real_frames: Path):
    files = sorted((real_frames / "aia/png").glob("*.png"))
    assert files
    for path in files:
        expected = "suvi-171" if "suvi" in path.name else "aia-171" if "_ar_" in path.name else "aia-193"
        assert open_bytes(path.read_bytes(), path.name, Limits()).instrument == expected
        assert open_bytes(path.read_bytes(), "x.png", Limits()).instrument == expected


def test_an_archives_colours_in_sixteen_bits_are_those_of_eight():
    colours = coloured(corona(512, 199.5), 171)
    deep = cv2.imencode(".png", colours[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    opened = open_bytes(deep, "a.png", Limits())
    assert opened.instrument == "aia-171"
    assert np.array_equal(opened.frame().pixels, colours)
