"""HMI's files: told apart, dated in UTC, placed as sunpy places them, and refused where they are of no use."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observatory.coordinates import pixel_to_hpc
from observatory.errors import AmbiguousInstrumentError, MissingKeywordError, UnusableInputError
from observatory.frame import DateSource, Frame
from observatory.instruments import Limits, Opened, open_bytes, read_file
from observatory.instruments.hmi import OtherProductError
from observatory.photosphere_view import view_of
from tests.making import fits_bytes, tiled_fits_bytes
from tests.photospheric import BAD_INPUTS, continuum_disk, disk_bytes, disk_cards, field_disk, granules

FULL_NAME = "hmi.ic_45s.20240508_120000_TAI.2.continuum.fits"
DOWNSTREAM = (
    *(
        "CRPIX1",
        "CRPIX2",
        "CRVAL1",
        "CRVAL2",
        "CDELT1",
        "CDELT2",
        "CROTA2",
        "CTYPE1",
        "CTYPE2",
        "CUNIT1",
        "CUNIT2",
    ),
    *("CRLN_OBS", "CRLT_OBS", "DSUN_OBS", "RSUN_OBS", "QUALITY", "BUNIT", "T_OBS", "T_REC"),
)


def opened(cards: dict[str, Any], name: str = "a.fits", pixels: np.ndarray | None = None) -> Opened:
    return open_bytes(fits_bytes(granules((32, 32)) if pixels is None else pixels, cards), name, Limits())


def read(data: bytes, name: str = FULL_NAME) -> Frame:
    return open_bytes(data, name, Limits()).frame()


# -- which product ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "name", "instrument"),
    [
        ({"INSTRUME": "HMI_FRONT2", "CONTENT": "CONTINUUM INTENSITY"}, "a.fits", "hmi-continuum"),
        ({"TELESCOP": "SDO/HMI", "CONTENT": "MAGNETOGRAM"}, "a.fits", "hmi-magnetogram"),
        ({"TELESCOP": "SDO/HMI", "INSTRUME": "", "CONTENT": "MAGNETOGRAM"}, "a.fits", "hmi-magnetogram"),
        ({"INSTRUME": "HMI_SIDE1", "CONTENT": "HMI observable"}, "x.377.continuum.fits", "hmi-continuum"),
        ({"INSTRUME": "HMI_SIDE1", "CONTENT": "HMI observable"}, "x.magnetogram.fits", "hmi-magnetogram"),
        ({"INSTRUME": "HMI_COMBINED", "BUNIT": "DN/s"}, "a.fits", "hmi-continuum"),
        ({}, "hmi.M_720s.20240508_120000_TAI.1.magnetogram.fits", "hmi-magnetogram"),
        ({}, "hmi.ic_45s.20240508_120000_TAI.2.continuum.fits", "hmi-continuum"),
        ({}, "hmi.Ic_noLimbDark_720s.20240508_120000_TAI.1.continuum.fits", "hmi-continuum"),
        ({}, "20240508_120000_1024_HMIB.jpg", "hmi-magnetogram"),
        ({}, "20240508_120000_1024_HMIIF.jpg", "hmi-continuum"),
        ({}, "latest_4096_HMII.jpg", "hmi-continuum"),
        ({}, "2024_05_08__12_00_00_000__SDO_HMI_HMI_magnetogram.jp2", "hmi-magnetogram"),
    ],
)
def test_the_product_is_told_by_header_else_by_name_else_by_unit(cards: dict, name: str, instrument: str):
    assert opened(cards, name).instrument == instrument


@pytest.mark.parametrize(
    ("cards", "name", "what"),
    [
        ({"INSTRUME": "HMI_SIDE1", "CONTENT": "HMI observable", "BUNIT": "Mx/cm^2"}, "x.377.Br.fits", "Br"),
        (
            {"INSTRUME": "HMI_SIDE1", "CONTENT": "HMI observable", "BUNIT": "Mx/cm^2"},
            "x.377.Bp.fits.gz",
            "Bp",
        ),
        ({"INSTRUME": "HMI_SIDE1", "CONTENT": "HMI observable"}, "x.377.bitmap.fits", "bitmap"),
        (
            {"INSTRUME": "HMI_SIDE1", "BUNIT": "Mx/cm^2"},
            "renamed.fits",
            "neither CONTENT nor the file's name",
        ),
        (
            {"INSTRUME": "HMI_FRONT2", "CONTENT": "DOPPLERGRAM", "BUNIT": "m/s"},
            "a.fits",
            "dopplergram in m/s",
        ),
        ({"INSTRUME": "HMI_FRONT2"}, "a.fits", "something in no unit"),
    ],
)
def test_other_products_are_refused_by_name_and_say_what_is_read(cards: dict, name: str, what: str):
    with pytest.raises(OtherProductError, match=what) as refused:
        opened(cards, name)
    assert "--instrument hmi-continuum or hmi-magnetogram" in str(refused.value)


def test_another_product_is_read_when_the_instrument_is_named():
    data = fits_bytes(granules((32, 32)), {"INSTRUME": "HMI_SIDE1", "BUNIT": "Mx/cm^2"})
    assert open_bytes(data, "x.377.Br.fits", Limits(), instrument="hmi-magnetogram").frame().unit == "Mx/cm^2"


def test_a_bare_patch_that_nothing_names_asks_for_the_instrument():
    with pytest.raises(AmbiguousInstrumentError, match="--instrument"):
        opened({}, "patch.fits")


# -- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "utc"),
    [
        ({"DATE-OBS": "2011-02-15T01:58:12.30", "T_OBS": "2011.02.15_01:59:54_TAI"}, "01:58:12.300"),
        ({"T_OBS": "2011.02.15_01:59:54_TAI"}, "01:59:20"),
        ({"T_OBS": "2011.02.15_01:59:54_TAI", "EXPTIME": 45.0}, "01:58:57.500"),
        ({"DATE-OBS": "MISSING", "T_OBS": "2011.02.15_01:59:54_TAI"}, "01:59:20"),
        ({"T_OBS": "-4712.01.01_11:59:28_TAI", "T_REC": "2011.02.15_02:00:00_TAI"}, "01:59:26"),
        ({"T_REC": "2011.02.15_02:00:00_TAI", "EXPTIME": 45.0}, "01:59:26"),
    ],
)
def test_the_start_of_the_exposure_is_told_in_utc(times: dict, utc: str):
    facts = opened({"TELESCOP": "SDO/HMI", "CONTENT": "MAGNETOGRAM"} | times).facts()
    assert facts.date_obs == datetime.fromisoformat(f"2011-02-15T{utc}").replace(tzinfo=UTC)
    assert facts.date_obs_source is DateSource.HEADER


# -- place --------------------------------------------------------------------------------------


@pytest.mark.parametrize("roll_deg", [179.93, -179.6, 0.0, 12.0])
@pytest.mark.parametrize("crval", [(0.0, 0.0), (31.0, -17.0)])
def test_the_disk_lies_where_sunpy_puts_it(roll_deg: float, crval: tuple[float, float], tmp_path: Path):
    changed = {"roll_deg": roll_deg, "CRVAL1": crval[0], "CRVAL2": crval[1]}
    path = tmp_path / FULL_NAME
    path.write_bytes(disk_bytes(granules((128, 128)), **changed))
    pointing = read_file(path, Limits()).frame().pointing
    assert pointing is not None
    theirs = sunpy_map(path)
    x, y = theirs.wcs.world_to_pixel_values(0.0, 0.0)
    assert (pointing.center_x_px, pointing.center_y_px) == pytest.approx((float(x), float(y)), abs=1e-3)
    assert pointing.rsun_arcsec == pytest.approx(theirs.rsun_obs.to_value("arcsec"))
    assert pointing.cdelt_arcsec == pytest.approx(theirs.scale.axis1.value)
    ours = pixel_to_hpc(101.0, 17.0, pointing)
    world = theirs.wcs.pixel_to_world_values(101.0, 17.0)
    assert np.allclose(np.ravel(ours), [arcsec(value) for value in world], atol=0.05)


def arcsec(degrees: float) -> float:
    return ((float(degrees) + 180.0) % 360.0 - 180.0) * 3600.0


def sunpy_map(path: Path) -> Any:
    import sunpy.map  # seconds: only where it is needed

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sunpy.map.Map(path)


def test_a_rice_compressed_disk_reads_as_the_plain_one_does():
    pixels = np.rint(np.nan_to_num(continuum_disk(128), nan=-1e6)).astype(np.int32)
    tiled = read(tiled_fits_bytes(pixels, disk_cards(128), compression_type="RICE_1", tile_shape=(1, 128)))
    plain = read(fits_bytes(pixels, disk_cards(128)))
    assert np.array_equal(tiled.pixels, plain.pixels)
    assert tiled.pointing == plain.pointing and tiled.pointing is not None
    assert {key: tiled.header[key] for key in DOWNSTREAM} == {key: plain.header[key] for key in DOWNSTREAM}


def test_a_rolled_header_in_degrees_or_as_a_matrix_says_the_same():
    by_roll = read(disk_bytes(granules((64, 64)))).pointing
    cards = disk_cards(64)
    scale, angle = cards["CDELT1"], np.deg2rad(cards["CROTA2"])
    in_degrees = {"CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": scale / 3600, "CDELT2": scale / 3600}
    matrix = {"CD1_1": scale * np.cos(angle), "CD1_2": -scale * np.sin(angle)}
    matrix |= {"CD2_1": scale * np.sin(angle), "CD2_2": scale * np.cos(angle)}
    without = {"CDELT1": None, "CDELT2": None, "CROTA2": None}
    assert by_roll is not None
    for changed in (in_degrees, matrix | without):
        kept = {key: value for key, value in (cards | changed).items() if value is not None}
        pointing = read(fits_bytes(granules((64, 64)), kept)).pointing
        assert pointing is not None
        assert vars(pointing) == pytest.approx(vars(by_roll))


@pytest.mark.parametrize(
    ("left_out", "radius"),
    [
        ((), 950.8),
        (("RSUN_OBS",), 950.8),
        (("RSUN_OBS", "DSUN_OBS"), 950.8),
        (("RSUN_OBS", "R_SUN"), 950.8),
    ],
)
def test_the_apparent_radius_is_told_by_what_there_is(left_out: tuple[str, ...], radius: float):
    cards = disk_cards(64, **dict.fromkeys(left_out))
    pointing = read(fits_bytes(granules((64, 64)), cards)).pointing
    assert pointing is not None
    assert pointing.rsun_arcsec == pytest.approx(radius, abs=0.15)


def test_the_fitted_radius_in_pixels_is_taken_before_the_days():
    scale = disk_cards(64)["CDELT1"]
    cards = disk_cards(64, RSUN_OBS=None, DSUN_OBS=None, R_SUN=940.0 / scale)
    pointing = read(fits_bytes(granules((64, 64)), cards)).pointing
    assert pointing is not None and pointing.rsun_arcsec == pytest.approx(940.0)


@pytest.mark.parametrize(
    "left_out", [("CRPIX1", "CRPIX2"), ("CRPIX2",), ("CDELT1", "CDELT2"), ("CDELT2",), ("CRPIX1", "CDELT1")]
)
@pytest.mark.parametrize("ctype", ["HPLN-TAN", None, "CRLN-CEA"])
def test_half_a_wcs_is_refused(left_out: tuple[str, ...], ctype: str | None):
    cards = disk_cards(32, CTYPE1=ctype, **dict.fromkeys(left_out))
    with pytest.raises(MissingKeywordError, match="half a WCS"):
        opened(cards).facts()


def test_numbers_are_kept_for_what_comes_after():
    frame = read(disk_bytes(field_disk(64), CONTENT="MAGNETOGRAM", BUNIT="Gauss"))
    assert frame.unit == "Gauss" and frame.instrument == "hmi-magnetogram" and frame.wavelength_nm == 617.33
    assert all(key in frame.header for key in DOWNSTREAM)
    assert np.isnan(frame.pixels[0, 0])


# -- real files ---------------------------------------------------------------------------------


def test_a_real_sharp_patch_has_no_disk_and_keeps_its_map(real_frames: Path):
    folder = real_frames / "hmi/sharp_377"
    for segment, unit in (("continuum", "DN/s"), ("magnetogram", "Mx/cm^2")):
        frame = read_file(
            folder / f"hmi.sharp_cea_720s.377.20110215_020000_TAI.{segment}.fits", Limits()
        ).frame()
        assert (frame.instrument, frame.unit, frame.pointing) == (f"hmi-{segment}", unit, None)
        assert frame.header["CTYPE1"] == "CRLN-CEA" and frame.header["T_REC"] == "2011.02.15_02:00:00_TAI"
        assert all(key in frame.header for key in DOWNSTREAM)
    with pytest.raises(OtherProductError, match="Br of the inverted vector field"):
        read_file(folder / "hmi.sharp_cea_720s.377.20110215_020000_TAI.Br.fits", Limits())
    with pytest.raises(OtherProductError, match="bitmap"):
        read_file(folder / "hmi.sharp_cea_720s.377.20110215_020000_TAI.bitmap.fits", Limits())


def test_the_map_of_a_sharp_patch_lies_on_the_sun_where_sunpy_puts_it(real_frames: Path):
    name = "hmi.sharp_cea_720s.377.20110215_020000_TAI.continuum.fits"
    path = real_frames / "hmi/sharp_377" / name
    frame, theirs = read_file(path, Limits()).frame(), sunpy_map(path)
    view = view_of(frame)
    assert view is not None
    l0, b0 = np.deg2rad(frame.header["CRLN_OBS"]), np.deg2rad(frame.header["CRLT_OBS"])
    for x, y in ((0, 0), (372, 188), (743, 376), (100, 300)):
        longitude, latitude = np.deg2rad(theirs.wcs.pixel_to_world_values(x, y))
        mu = np.sin(latitude) * np.sin(b0) + np.cos(latitude) * np.cos(b0) * np.cos(longitude - l0)
        assert np.sqrt(view.mu_squared((x, y, x + 1, y + 1))[0, 0]) == pytest.approx(mu, abs=1e-4)


def test_the_real_full_disks_lie_where_their_limbs_are(real_frames: Path):
    jp2 = read_file(next((real_frames / "hmi/jp2").glob("*.jp2")), Limits()).facts()
    assert jp2.pointing is not None
    assert (jp2.pointing.center_x_px, jp2.pointing.center_y_px) == (2047.5, 2047.5)
    assert jp2.pointing.radius_px == pytest.approx(973.96844 / 0.6, rel=1e-6)
    small = read_file(real_frames / "hmi/hmi_continuum_lowres.fits", Limits()).frame()
    theirs = sunpy_map(real_frames / "hmi/hmi_continuum_lowres.fits")
    x, y = theirs.wcs.world_to_pixel_values(0.0, 0.0)
    assert small.pointing is not None and small.unit == "DN/s"
    assert (small.pointing.center_x_px, small.pointing.center_y_px) == pytest.approx((float(x), float(y)))
    assert small.pointing.radius_px == pytest.approx(950.800171 / 129.034752)


def test_real_patches_without_any_header_are_patches_in_pixels(real_frames: Path):
    for name, instrument in (("hmi_blos_patch", "hmi-magnetogram"), ("hmi_continuum_patch", "hmi-continuum")):
        frame = read_file(real_frames / f"hmi/enhance_samples/{name}.fits", Limits()).frame()
        assert (frame.instrument, frame.pointing, frame.unit) == (instrument, None, None)
        assert frame.date_obs_source is DateSource.FILE_TIME


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_refused_in_plain_words_or_read_as_it_is(name: str):
    bad = BAD_INPUTS[name]
    if bad.refused is not None:
        with pytest.raises(UnusableInputError, match=bad.refused):
            read(bad.make(), bad.file_name)
        return
    frame = read(bad.make(), bad.file_name)
    assert frame.instrument.startswith("hmi-")
    if name == "half missing":
        assert np.isnan(frame.pixels[:2048]).all() and np.isfinite(frame.pixels[3000, 2048])
