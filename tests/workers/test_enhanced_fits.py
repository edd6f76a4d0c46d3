"""The FITS file of an enhancement: other software reads it, its world coordinates and numbers are right."""

from __future__ import annotations

import io
import subprocess
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

import observatory
from observatory.analysis import EnhancementNumbers, Quantity
from observatory.frame import DateSource, Frame, RowOrder
from observatory.instruments import Limits, open_bytes
from tests.observatory.test_rescaling import FULL_DISK, SHARP
from tests.workers.enhancements import MODEL, enhancement_of, frame_of, granules
from workers.products import enhanced
from workers.products.enhanced import enhanced_fits
from workers.products.fits_writing import encoded_checksum

HMI = FULL_DISK | {
    "TELESCOP": "SDO/HMI",
    "INSTRUME": "HMI_FRONT2",
    "CONTENT": "CONTINUUM INTENSITY",
    "WAVELNTH": 6173.0,
    "DATE": "2023-02-02T10:00:00",
    "DATE-OBS": "2023-02-01T12:00:00.00",
    "T_REC": "2023.02.01_12:00:37_TAI",
    "BUNIT": "DN/s",
    "RSUN_OBS": 975.0,
    "RSUN_REF": 696000000,
    "DSUN_OBS": 147.4e9,
    "CRLN_OBS": 120.5,
    "CRLT_OBS": -6.1,
    "DATAMAX": 1.0,
    "DATAMEDN": 1.0,
    "MISSVALS": 3,
    "QUALITY": 0,
    "CAMERA": 2,
    "BSCALE": 3.0,
    "BZERO": 97304.0,
    "BLANK": -2147483648,
    "CHECKSUM": "fJaCiGW9fGaAfGW9",
    "CRDER1": float("nan"),
    "ODD&": "no word of FITS",
    "LONG": "cut off by the next card&",
    "PLACE": "Kanzelhöhe\n",
    "PRSTEP1": "CALIBRATION",
    "DATE_S": "2012-09-05T09:06:43Z",
}
HEADERS = {"full disk": HMI, "SHARP": HMI | {"CRDER1": 0.0} | SHARP}

Written = Callable[..., fits.HDUList]


def opened(data: bytes) -> fits.HDUList:
    """Open strictly: what astropy would mend or warn of is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hdus = fits.open(io.BytesIO(data), checksum=True)
        hdus.verify("exception")
    return hdus


@pytest.fixture(params=["reals", "Rice"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Write small files, plain or as large ones are, and open them."""
    if request.param == "Rice":
        monkeypatch.setattr(enhanced, "_SMALL_PX", 0)

    def write(frame: Frame, *window: tuple[int, int, int, int], **more: Any) -> fits.HDUList:
        return opened(enhanced_fits(frame, enhancement_of(frame, *window, **more)).data)

    return write


def step(hdu: Any) -> float:
    return float(hdu.header.get("HWSTEP", 0.0))


def test_pixels_and_trust_come_back_within_half_a_step(written: Written):
    frame = frame_of(granules(90, 120), HMI)
    wanted = enhancement_of(frame)
    hdus = written(frame)
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "ENHANCED", "TRUST"]
    assert hdus[1].data.shape == (180, 240) and hdus[2].data.shape == (90, 120)
    assert np.abs(hdus[1].data - wanted.pixels).max() <= step(hdus[1]) / 2 + 0.01
    assert np.abs(hdus[2].data - wanted.trust).max() <= 0.0026
    assert hdus[1].data.mean(dtype=np.float64) == pytest.approx(
        wanted.pixels.mean(dtype=np.float64), rel=1e-6
    )


def test_steps_are_at_most_a_sixteenth_of_the_noise(written: Written):
    frame = frame_of(granules(90, 120), HMI)
    assert step(written(frame)[1]) <= 60_000 * 0.001 / 16


def test_no_data_is_nan_in_pixels_and_zero_in_trust(written: Written):
    pixels = granules(90, 120)
    pixels[:20, :30] = np.nan
    hdus = written(frame_of(pixels, HMI))
    assert np.isnan(hdus[1].data[:38, :58]).all()
    assert np.isfinite(hdus[1].data[44:, 64:]).all()
    assert (hdus[2].data[:20, :30] == 0).all()
    header = hdus[1].header
    assert header["MISSVALS"] == np.isnan(hdus[1].data).sum()
    assert header["DATAVALS"] + header["MISSVALS"] == hdus[1].data.size
    assert header["DATAMAX"] == pytest.approx(np.nanmax(hdus[1].data), abs=step(hdus[1]) + 0.01)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("window", [(0, 0, 120, 90), (17, 31, 97, 71)], ids=["whole", "window"])
@pytest.mark.parametrize("order", RowOrder)
def test_world_coordinates_agree_with_the_inputs(
    written: Written, name: str, window: tuple[int, int, int, int], order: RowOrder
):
    header = HEADERS[name]
    frame = frame_of(granules(90, 120), header, row_order=order)
    hdus = written(frame, window)
    x0, y0, x1, y1 = window
    low = y0 if order is RowOrder.BOTTOM else 90 - y1
    sky = WCS({key: value for key, value in header.items() if key in FULL_DISK})
    for hdu, finer in ((hdus[1], 2), (hdus[2], 1)):
        points = np.random.default_rng(2).uniform((0, 0), (x1 - x0, y1 - y0), (10, 2)) * finer - 0.5
        points = np.vstack([points, [[-0.5, -0.5]], [[(x1 - x0) * finer - 0.5, (y1 - y0) * finer - 0.5]]])
        back = sky.all_world2pix(WCS(hdu.header).all_pix2world(points, 0), 0)
        assert np.abs(back - ((points + 0.5) / finer - 0.5 + (x0, low))).max() < 1e-3
    section = f"[{x0 + 1}:{x1},{low + 1}:{low + y1 - y0}]"
    assert hdus[1].header["HWWINDOW"] == section


def test_rows_count_upwards_whatever_the_input(written: Written):
    pixels = granules(90, 120)
    down = written(frame_of(np.ascontiguousarray(pixels[::-1]), HMI, row_order=RowOrder.TOP))[1]
    up = written(frame_of(pixels, HMI))[1]
    assert np.abs(down.data - up.data).max() <= step(up) + 0.1  # of 60 000


def test_a_picture_without_world_coordinates_gets_none(written: Written):
    when = datetime(2014, 9, 5, 12, 30, tzinfo=UTC)
    told = {"date_obs": when, "date_obs_source": DateSource.FILE_NAME}
    bare = frame_of((granules(90, 120) / 300).astype(np.uint8), {}, **told)
    header = written(bare)[1].header
    assert not WCS(header).has_celestial
    assert not [key for key in header if key.startswith(("CRPIX", "CTYPE", "CDELT"))]
    assert "BUNIT" not in header  # the bytes of a picture are in no unit
    assert header["DATE-OBS"] == "2014-09-05T12:30:00.000"


def test_the_time_of_a_file_is_no_time_of_an_observation(written: Written):
    told = {"date_obs": datetime(2026, 1, 1, tzinfo=UTC), "date_obs_source": DateSource.FILE_TIME}
    assert "DATE-OBS" not in written(frame_of(granules(90, 120), {}, **told))[1].header


def test_the_inputs_words_are_kept_where_they_still_hold(written: Written):
    header = written(frame_of(granules(90, 120), HMI))[1].header
    for key in (
        "TELESCOP",
        "INSTRUME",
        "T_REC",
        "DATE-OBS",
        "QUALITY",
        "CAMERA",
        "RSUN_OBS",
        "BUNIT",
        "CROTA2",
    ):
        assert header[key] == HMI[key], key
    assert header["DATE_S"] == "2012-09-05T09:06:43"  # the standard's dates end without a Z
    assert header["PLACE"] == "Kanzelh\\xf6he\\n"
    assert not {"DATE", "DATAMEDN", "CRDER1", "LONG", "ODD&"} & set(header)
    assert header["CDELT1"] == HMI["CDELT1"] / 2


def test_the_header_says_what_made_it_and_that_it_is_an_estimate(written: Written):
    header = written(frame_of(granules(90, 120), HMI))[1].header
    assert header["PRSTEP1"] == "CALIBRATION"
    assert header["PRSTEP2"] == "NETWORK-DECONVOLUTION,UPSAMPLING"
    assert (header["PRPROC2"], header["PRPVER2"]) == (MODEL.name, MODEL.version)
    assert header["PRREF2"] == f"sha256:{MODEL.sha256}"
    assert header["PRPARA2"] == '{"noise": 0.001, "psf": "wachter"}'
    assert (header["PRLIB2A"], header["PRVER2A"]) == ("heliowatch", observatory.__version__)
    assert (header["PARENTXT"], header["HWPARSHA"]) == ("hmi.Ic_45s.fits", "cd" * 32)
    assert (header["HWCONTB"], header["HWCONTA"], header["HWTRUST"]) == (0.04, 0.07, 0.98)
    assert "HWFLUXB" not in header
    assert "not a measurement" in " ".join(header["HISTORY"])


def test_the_same_frame_gives_the_same_bytes():
    frame = frame_of(granules(90, 120), HMI)
    first, second = (enhanced_fits(frame, enhancement_of(frame)).data for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("unit", "scale"), [("Gauss", 1.0), ("Mx/cm^2", 1.0), ("T", 1e-4), ("kG", 1e-3)])
def test_a_field_is_rounded_below_its_noise_in_its_own_unit(
    monkeypatch: pytest.MonkeyPatch, unit: str, scale: float
):
    monkeypatch.setattr(enhanced, "_SMALL_PX", 0)
    gauss = np.random.default_rng(1).normal(0, 200, (90, 120)).astype(np.float32)
    frame = frame_of(gauss * np.float32(scale), HMI, unit=unit, instrument="hmi-magnetogram")
    numbers = EnhancementNumbers(None, None, 1e21, 1.01e21, 0.008, 0.008, 0.9)
    made = enhancement_of(
        frame, quantity=Quantity.FIELD, numbers=numbers, trust=np.ones((90, 120), np.float32)
    )
    image = opened(enhanced_fits(frame, made).data)[1]
    assert 0.2 * scale <= step(image) <= 0.5 * scale  # of a noise of 8 G
    assert np.abs(image.data - made.pixels).max() <= 0.51 * step(image)
    assert image.header["HWFLUXA"] == 1.01e21


def test_a_disk_in_a_dark_sky_is_rounded_by_the_disks_noise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enhanced, "_SMALL_PX", 0)
    pixels = granules(90, 120)
    pixels[:50] = 1.0
    frame = frame_of(pixels, HMI)
    image = opened(enhanced_fits(frame, enhancement_of(frame)).data)[1]
    assert 1.0 <= step(image) <= 60_000 * 0.001 / 16
    assert image.data.dtype.itemsize == 4  # 32-bit reals, as those who read it want


@pytest.mark.parametrize("noise", [0.0, float("nan")])
def test_a_frame_without_noise_is_written_all_the_same(monkeypatch: pytest.MonkeyPatch, noise: float):
    monkeypatch.setattr(enhanced, "_SMALL_PX", 0)
    frame = frame_of(granules(90, 120), HMI)
    made = enhancement_of(frame, numbers=EnhancementNumbers(None, None, None, None, 0.0, noise, 1.0))
    assert np.allclose(opened(enhanced_fits(frame, made).data)[1].data, made.pixels, rtol=1e-3)


def test_our_own_reader_takes_the_result_for_a_frame(written: Written):
    frame = frame_of(granules(90, 120), HMI)
    made = enhancement_of(frame)
    again = open_bytes(enhanced_fits(frame, made).data, "again.fits", Limits())
    assert again.instrument == "hmi-continuum"
    assert np.allclose(again.frame().pixels, made.pixels, rtol=1e-4)


def test_sunpy_makes_a_map_of_it_at_half_the_scale(written: Written):
    import astropy.units as u
    import sunpy.map

    hdus = written(frame_of(granules(90, 120), HMI))
    made = sunpy.map.Map(hdus[1].data, hdus[1].header)
    assert made.scale[0].to_value(u.arcsec / u.pix) == pytest.approx(HMI["CDELT1"] / 2)
    assert made.rotation_matrix[0, 0] == pytest.approx(np.cos(np.deg2rad(179.93)))
    assert made.date.isot.startswith("2023-02-01T12:00:00")


@pytest.mark.skipif(which("fitsverify") is None, reason="fitsverify (a Debian package) is not installed")
@pytest.mark.parametrize("small_px", [0, 1 << 20], ids=["Rice", "reals"])
def test_fitsverify_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_px: int):
    monkeypatch.setattr(enhanced, "_SMALL_PX", small_px)
    frame = frame_of(granules(90, 120), HMI)
    path = tmp_path / "enhanced.fits"
    path.write_bytes(enhanced_fits(frame, enhancement_of(frame)).data)
    ended = subprocess.run(["fitsverify", str(path)], capture_output=True, text=True, check=False)
    assert "0 warning(s) and 0 error(s)" in ended.stdout, ended.stdout


@pytest.mark.parametrize(
    ("total", "word"),
    [(868229149, "hcHjjc9ghcEghc9g"), (0xFFFFFFFF, "0000000000000000")],
    ids=["of its example", "of nothing to mend"],
)
def test_the_checksums_word_is_that_of_the_standard(total: int, word: str):
    assert encoded_checksum(total) == word
