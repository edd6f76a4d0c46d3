"""Bytes to headers and pixels: the same as astropy and Pillow say, for every format we read."""

from __future__ import annotations

import bz2
import gzip
import io
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.simulate.kso_fits import write_kso_fits
from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments import Limits, open_bytes, read_file
from observatory.instruments.formats import open_container, unpack
from tests.making import KSO_CARDS, fits_bytes, kso_frame, pgm_bytes, picture_bytes, sun, tiled_fits_bytes

LIMITS = Limits()


def astropy_pixels(data: bytes) -> tuple[np.ndarray, fits.Header]:
    with fits.open(io.BytesIO(data), memmap=False) as hdus:
        hdu = next(hdu for hdu in hdus if hdu.data is not None)
        return np.asarray(hdu.data), hdu.header


def assert_same_pixels(data: bytes) -> None:
    ours = open_container(data, LIMITS).pixels()
    theirs, _ = astropy_pixels(data)
    np.testing.assert_allclose(
        ours.astype(np.float64), theirs.reshape(ours.shape).astype(np.float64), rtol=2e-6, atol=1e-6
    )


REAL_FITS = (
    "aia/fits/aia_171_cutout.fits",
    "aia/fits/aia_20200925T235957_171.fits",
    "halpha/gong/20150807192114Mh.fits.fz",
    "hmi/hmi_continuum_lowres.fits",
    "hmi/enhance_samples/hmi_continuum_patch.fits",
    "hmi/enhance_samples/hmi_blos_patch.fits",
    "hmi/sharp_377/hmi.sharp_cea_720s.377.20110215_020000_TAI.magnetogram.fits",
    "hmi/sharp_377/hmi.sharp_cea_720s.377.20110215_020000_TAI.bitmap.fits",
    "allsky/lowell/000.fits.bz2",
)


@pytest.mark.parametrize("name", REAL_FITS)
def test_a_real_fits_has_the_pixels_that_astropy_reads(real_frames: Path, name: str):
    assert_same_pixels(unpack((real_frames / name).read_bytes(), LIMITS))


CHANGED_BY_ASTROPY = ("SIMPLE", "XTENSION", "EXTNAME", "BITPIX", "BSCALE", "BZERO", "BLANK", "PCOUNT")


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize("name", REAL_FITS)
def test_a_real_header_is_parsed_as_astropy_parses_it(real_frames: Path, name: str):
    data = unpack((real_frames / name).read_bytes(), LIMITS)
    ours = open_container(data, LIMITS).header()
    _, theirs = astropy_pixels(data)
    compared = 0
    for card in theirs.cards:
        # A tiled image's own structure is told by Z keywords in the file and by plain ones in astropy.
        key = f"Z{card.keyword}" if f"Z{card.keyword}" in ours else card.keyword
        if len(card.keyword) > 8 or key not in ours or card.keyword in CHANGED_BY_ASTROPY:
            continue
        is_long = len(card.image) > 80  # CONTINUE
        if is_long or list(theirs).count(card.keyword) > 1 or isinstance(card.value, fits.card.Undefined):
            continue
        if isinstance(ours[key], float) and math.isnan(ours[key]):
            assert str(card.value).strip("-") == "nan"  # astropy keeps an unquoted nan as text
            continue
        assert ours[key] == (card.value.rstrip() if isinstance(card.value, str) else card.value), key
        compared += 1
    assert compared >= 4


SMALL = st.integers(1, 12)


@settings(max_examples=60)
@given(
    width=SMALL,
    height=SMALL,
    dtype=st.sampled_from(["u1", "i2", "i4", "i8", "f4", "f8", "u2", "u4"]),
    seed=st.integers(0, 99),
)
def test_every_number_type_is_read_as_astropy_reads_it(width: int, height: int, dtype: str, seed: int):
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    low, high = (0, 200) if kind.kind == "f" else (np.iinfo(kind).min // 2, np.iinfo(kind).max // 2)
    data = random.uniform(float(low), float(high), (height, width)).astype(kind)
    assert_same_pixels(fits_bytes(data))


SCALES = st.sampled_from([1.0, 0.5, 2.0, -1.0, 0.01])
ZEROS = st.sampled_from([0.0, 32768.0, 100.0, -5.5])
COUNTS = np.arange(-10, 10).reshape(4, 5)


def scaled_fits(dtype: str, **cards: float) -> bytes:
    """Counts whose scaling cards are put in afterwards, as astropy would apply them itself."""
    hdu = fits.PrimaryHDU(COUNTS.astype(dtype))
    whole = io.BytesIO()
    hdu.writeto(whole)
    header = hdu.header.copy()
    for key, value in cards.items():
        header[key] = value
    return header.tostring().encode() + whole.getvalue()[2880:]


@settings(max_examples=30)
@given(scale=SCALES, zero=ZEROS, dtype=st.sampled_from(["i2", "i4"]))
def test_scale_and_zero_are_applied_as_astropy_applies_them(scale: float, zero: float, dtype: str):
    assert_same_pixels(scaled_fits(dtype, BSCALE=scale, BZERO=zero))


@settings(max_examples=30)
@given(scale=SCALES, zero=ZEROS, blank=st.integers(-12, 12), dtype=st.sampled_from(["i2", "i4"]))
def test_blank_counts_become_no_number_whatever_the_scale(scale: float, zero: float, blank: int, dtype: str):
    # astropy leaves BLANK unapplied where the scale is trivial; the standard (4.0, 4.4.2.5) does not.
    found = open_container(scaled_fits(dtype, BSCALE=scale, BZERO=zero, BLANK=blank), LIMITS).pixels()
    np.testing.assert_allclose(found, np.where(blank == COUNTS, np.nan, COUNTS * scale + zero), rtol=1e-6)


def test_a_blank_pixel_is_no_number():
    data = fits_bytes(np.array([[1, 2], [3, -99]], np.int16), {"BLANK": -99})
    pixels = open_container(data, LIMITS).pixels()
    assert np.isnan(pixels[1, 1])
    assert pixels[0, 0] == 1


def test_unsigned_sixteen_bits_stay_unsigned_sixteen_bits():
    pixels = open_container(fits_bytes(np.array([[0, 65535]], np.uint16)), LIMITS).pixels()
    assert pixels.dtype == np.uint16
    assert pixels.tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {"compression_type": "RICE_1"}),
        (np.arange(4096, dtype=np.uint16).reshape(64, 64), {"compression_type": "RICE_1"}),
        (
            np.arange(4096, dtype=np.int32).reshape(64, 64),
            {"compression_type": "RICE_1", "tile_shape": (16, 16)},
        ),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {"compression_type": "GZIP_1"}),
        (
            np.arange(4096, dtype=np.int16).reshape(64, 64),
            {"compression_type": "HCOMPRESS_1", "tile_shape": (16, 16)},
        ),
        (
            np.random.default_rng(1).normal(1000, 10, (64, 64)).astype(np.float32),
            {"compression_type": "RICE_1", "quantize_level": 16.0},
        ),
        (
            np.random.default_rng(1).normal(1000, 10, (64, 64)).astype(np.float32),
            {"compression_type": "RICE_1", "quantize_level": 8.0, "quantize_method": 1, "dither_seed": 7},
        ),
        (
            np.where(np.eye(64) > 0, np.nan, 5.0).astype(np.float32)
            + np.random.default_rng(2).normal(0, 1, (64, 64)).astype(np.float32),
            {"compression_type": "RICE_1", "quantize_level": 16.0},
        ),
    ],
    ids=["rice-i2", "rice-u2", "rice-tiles", "gzip", "hcompress", "quantised", "dithered", "quantised-nan"],
)
def test_tile_compressed_images_are_read_as_astropy_reads_them(data: np.ndarray, options: dict):
    assert_same_pixels(tiled_fits_bytes(data, **options))


def test_bytes_after_the_last_hdu_are_allowed():
    assert open_container(fits_bytes(np.ones((3, 4), np.int16)) + b"junk", LIMITS).shape() == (3, 4)


def test_an_image_in_an_extension_is_found():
    buffer = io.BytesIO()
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2, 3])])
    fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(np.ones((5, 6), np.float32))]).writeto(buffer)
    assert open_container(buffer.getvalue(), LIMITS).shape() == (5, 6)


def test_single_planes_of_a_cube_with_one_plane_are_an_image():
    assert open_container(fits_bytes(np.ones((1, 5, 6), np.int16)), LIMITS).pixels().shape == (5, 6)


def test_a_kso_frame_comes_back_as_it_was_written(tmp_path: Path):
    taken = sun(4)
    moment = datetime(2024, 5, 8, 12, 0, 1, 250_000, tzinfo=UTC)
    path = write_kso_fits(tmp_path, taken.pixels, moment, taken.pointing)
    opened = read_file(path, LIMITS)
    frame = opened.frame()
    assert frame.instrument == "kso-halpha"
    assert frame.date_obs == moment
    assert frame.row_order is RowOrder.BOTTOM
    assert opened.facts().is_simulated
    np.testing.assert_array_equal(frame.pixels, taken.pixels)
    assert frame.pointing is not None
    assert frame.pointing.center_x_px == pytest.approx(taken.pointing.center_x_px, abs=1e-3)
    assert frame.pointing.center_y_px == pytest.approx(taken.pointing.center_y_px, abs=1e-3)
    assert frame.pointing.radius_px == pytest.approx(taken.pointing.radius_px, abs=1e-3)


def test_the_roll_of_a_kso_frame_keeps_its_sign(tmp_path: Path):
    taken = sun()
    rolled = replace(taken.pointing, roll_deg=20.0)
    path = write_kso_fits(tmp_path, taken.pixels, datetime(2024, 5, 8, tzinfo=UTC), rolled)
    pointing = read_file(path, LIMITS).facts().pointing
    assert pointing is not None
    assert pointing.roll_deg == 20.0


def test_a_frames_pixels_are_not_to_be_written_to(tmp_path: Path):
    frame = read_file(kso_frame(tmp_path), LIMITS).frame()
    with pytest.raises(ValueError, match="read-only"):
        frame.pixels[0, 0] = 1


@pytest.mark.parametrize(
    "pack", [lambda data: data, gzip.compress, bz2.compress], ids=["plain", "gzip", "bzip2"]
)
def test_a_packed_file_is_read_like_a_plain_one(pack):
    data = np.arange(12, dtype=np.int16).reshape(3, 4)
    np.testing.assert_array_equal(open_container(pack(fits_bytes(data)), LIMITS).pixels(), data)


def test_a_gzip_file_of_several_members_is_one_file():
    whole = fits_bytes(np.ones((40, 50), np.int16))
    packed = gzip.compress(whole[:3000]) + gzip.compress(whole[3000:])
    assert unpack(packed, LIMITS) == whole


def test_a_jpeg_bbso_frame_has_its_rows_from_the_top(real_frames: Path):
    path = real_frames / "halpha/bbso/bbso_halph_fl_20150801_174814.jpg"
    frame = read_file(path, LIMITS).frame()
    assert frame.row_order is RowOrder.TOP
    with Image.open(path) as picture:
        np.testing.assert_array_equal(frame.pixels, np.asarray(picture))


def test_a_bbso_fits_frame_is_known_by_its_name():
    opened = open_bytes(fits_bytes(sun().pixels), "bbso_halph_fr_20150801_174814.fts", LIMITS)
    assert opened.instrument == "bbso-halpha"
    assert opened.facts().date_obs == datetime(2015, 8, 1, 17, 48, 14, tzinfo=UTC)


def test_helioviewers_jpeg_2000_carries_its_fits_header(real_frames: Path):
    path = real_frames / "aia/jp2/2013_06_24__17_31_30_84__SDO_AIA_AIA_193.jp2"
    opened = open_bytes(path.read_bytes(), "renamed.jp2", LIMITS)
    assert opened.instrument == "aia-193"
    facts = opened.facts()
    assert facts.wavelength_nm == 19.3
    assert facts.pointing is not None
    assert facts.pointing.center_x_px == 2047.5
    assert facts.pointing.rsun_arcsec == pytest.approx(944.30828)


def test_a_themis_film_is_twenty_frames_each_with_its_own_time(real_frames: Path):
    opened = read_file(real_frames / "allsky/themis/20140310_0600_gill_themis19_full.pgm.gz", LIMITS)
    assert opened.count == 20
    times = [opened.facts(n).date_obs for n in range(20)]
    assert times == sorted(set(times))
    assert {frame.shape for frame in (opened.frame(n).pixels for n in range(20))} == {(256, 256)}
    assert all(2.5 < (b - a).total_seconds() < 3.5 for a, b in pairwise(times))


@settings(max_examples=30)
@given(count=st.integers(1, 4), width=SMALL, height=SMALL, dtype=st.sampled_from([np.uint8, np.uint16]))
def test_a_film_comes_back_as_it_was_written(count: int, width: int, height: int, dtype: type):
    random = np.random.default_rng(5)
    film = [random.integers(0, 250, (height, width)).astype(dtype) for _ in range(count)]
    facts = [{"Image request start": f"2014-03-10 06:00:{n:02d} UTC"} for n in range(count)]
    opened = open_bytes(pgm_bytes(film, facts), "themis01.pgm", LIMITS)
    assert opened.count == count
    for number, picture in enumerate(film):
        np.testing.assert_array_equal(opened.frame(number).pixels, picture)
        assert opened.facts(number).date_obs == datetime(2014, 3, 10, 6, 0, number, tzinfo=UTC)


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(64, dtype=np.uint8).reshape(8, 8),
        np.arange(192, dtype=np.uint8).reshape(8, 8, 3),
        (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8),
    ],
    ids=["grey", "colour", "sixteen-bits"],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_picture_keeps_its_numbers(pixels: np.ndarray, form: str):
    read = open_container(picture_bytes(pixels, form), LIMITS).pixels()
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("write", [fits_bytes, tiled_fits_bytes])
def test_unsigned_numbers_of_sixty_four_bits_keep_their_last_digits(write: Callable[..., bytes]):
    pixels = np.arange(1000, 1000 + 16 * 16, dtype=np.uint64).reshape(16, 16)
    options = {} if write is fits_bytes else {"compression_type": "GZIP_1"}
    assert np.array_equal(open_container(write(pixels, **options), LIMITS).pixels(), pixels)


def test_an_extension_that_inherits_has_the_facts_of_the_first_header():
    primary = fits.PrimaryHDU(header=fits.Header(KSO_CARDS | {"NOTE": "first"}))
    image = fits.ImageHDU(sun().pixels)
    image.header["INHERIT"], image.header["NOTE"] = True, "own"
    buffer = io.BytesIO()
    fits.HDUList([primary, image]).writeto(buffer)
    opened = open_bytes(buffer.getvalue(), "a.fits", LIMITS)
    assert opened.instrument == "kso-halpha" and opened.container.header()["NOTE"] == "own"
    assert opened.facts().date_obs == datetime(2024, 5, 8, 12, tzinfo=UTC)
    assert np.array_equal(opened.frame().pixels, sun().pixels)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_colours_of_sixteen_bits_keep_them_all(ending: str, has_alpha: bool):
    colours = np.random.default_rng(1).integers(0, 4096, (24, 32, 3), np.uint16)  # a camera of twelve bits
    written = colours[..., ::-1]
    if has_alpha:
        written = np.dstack([written, np.full(written.shape[:2], 65535, np.uint16)])
    container = open_container(cv2.imencode(ending, written)[1].tobytes(), LIMITS)
    assert np.array_equal(container.pixels(), colours)


def test_a_deep_picture_that_is_cut_off_is_no_picture():
    data = cv2.imencode(".png", np.random.default_rng(1).integers(0, 4096, (64, 64, 3), np.uint16))[
        1
    ].tobytes()
    cut = data[: len(data) // 2] + data[-12:]
    with pytest.raises(UnreadableFileError):
        open_container(cut, LIMITS).pixels()


def test_a_picture_with_a_palette_or_transparency_becomes_plain_colour_or_grey():
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).convert("P").save(buffer, "PNG")
    assert open_container(buffer.getvalue(), LIMITS).pixels().shape == (8, 8, 3)
    buffer = io.BytesIO()
    Image.new("LA", (8, 8)).save(buffer, "PNG")
    assert open_container(buffer.getvalue(), LIMITS).pixels().shape == (8, 8)


def test_the_limit_on_pixels_holds_for_every_format():
    small = Limits(max_pixels=100)
    picture = np.zeros((20, 20), np.uint8)
    for data in (
        fits_bytes(picture),
        tiled_fits_bytes(picture.astype(np.int16)),
        picture_bytes(picture),
        picture_bytes(picture, "JPEG"),
        picture_bytes(picture, "JPEG2000"),
        pgm_bytes([picture]),
    ):
        with pytest.raises(TooLargeError, match="400, above the limit of 100"):
            open_container(data, small)


def test_the_limit_on_a_files_bytes_is_checked_before_it_is_read(tmp_path: Path):
    path = tmp_path / "sparse.fits"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of holes
    with pytest.raises(TooLargeError, match="raise the limit in the settings"):
        read_file(path, LIMITS)


def test_what_follows_a_gzip_stream_is_not_passed_over_in_silence():
    with pytest.raises(UnreadableFileError, match="follow the gzip data"):
        unpack(gzip.compress(b"abc") + b"xyz", LIMITS)
