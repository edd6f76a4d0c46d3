"""TIFF pictures of every kind of sample are read as they were written, or refused with the truth."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.instruments import Limits, open_bytes
from observatory.instruments.formats import open_container

LIMITS = Limits()
ORIENTATION = 274


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    colours = "rgb" if pixels.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, pixels, photometric=colours, **options)
    return buffer.getvalue()


def values(dtype: str, colours: int = 1) -> np.ndarray:
    shape = (24, 32) if colours == 1 else (24, 32, colours)
    return (np.random.default_rng(3).random(shape) * 120).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "colours"),
    [("f8", 1), ("f8", 3), ("f4", 1), ("f4", 3), ("f4", 4), ("u4", 3), ("i2", 3), ("i2", 1), ("u2", 3)],
)
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"tile": (16, 16)}], ids=str
)
def test_samples_of_all_kinds_keep_their_numbers(dtype: str, colours: int, options: dict[str, Any]):
    pixels = values(dtype, colours)
    container = open_container(tiff(pixels, **options), LIMITS)
    read = container.pixels()
    assert container.shape() == (24, 32)
    np.testing.assert_array_equal(read, pixels[..., :3] if colours == 4 else pixels)
    assert read.dtype.isnative


@pytest.mark.parametrize("dtype", ["u4", "i4", "u2", "i2", "u1", "i1"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}], ids=str)
def test_whole_numbers_keep_their_sign_to_the_ends_of_their_range(dtype: str, options: dict[str, Any]):
    kind = np.iinfo(dtype)
    pixels = np.linspace(float(kind.min), float(kind.max), 24 * 32).clip(kind.min, kind.max - 1)
    pixels = pixels.astype(dtype).reshape(24, 32)
    pixels[-1, -1] = kind.max
    read = open_container(tiff(pixels, **options), LIMITS).pixels()
    np.testing.assert_array_equal(read.astype(np.int64), pixels.astype(np.int64))


def test_a_frame_of_wide_floats_has_its_facts():
    data = tiff(values("f8"), description="roof", software="capture 1", metadata=None)
    frame = open_bytes(data, "kho_20131204_183000.tif", LIMITS, instrument="allsky").frame()
    assert frame.pixels.dtype == np.float64 and frame.date_obs is not None
    assert frame.header["EXIF-DESCRIPTION"] == "roof" and frame.header["EXIF-SOFTWARE"] == "capture 1"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tiff(values("f2")), "1 samples of 16 bits (floating point)"),
        (tiff(values("u8")), "1 samples of 64 bits (unsigned)"),
        (
            tiff(values("f4", 3).transpose(2, 0, 1).copy(), planarconfig="separate"),
            "one colour after the other",
        ),
        (
            tiff(values("u2", 3).transpose(2, 0, 1).copy(), planarconfig="separate"),
            "one colour after the other",
        ),
    ],
)
def test_what_is_not_read_is_said_as_it_is(data: bytes, said: str):
    with pytest.raises(UnreadableFileError) as refused:
        open_container(data, LIMITS).pixels()
    assert said in str(refused.value)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_a_cut_or_damaged_picture_of_floats_is_refused(options: dict[str, Any]):
    whole = tiff(np.random.default_rng(1).random((200, 200)), **options)
    for length in (8, 60, 400, len(whole) // 2, len(whole) - 9):
        with pytest.raises(UnreadableFileError):
            open_container(whole[:length], LIMITS).pixels()
    with pytest.raises(TooLargeError):
        open_container(whole, Limits(max_pixels=39_999))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f8"])
def test_the_tag_says_how_the_rows_of_a_tiff_run(dtype: str):
    """It is part of what the pixels are (TIFF 6.0, section 8): programs write pictures from below with it."""
    pixels = values(dtype, 3)
    for orientation, upright in ((4, pixels[::-1]), (6, np.rot90(pixels, -1))):
        container = open_container(
            tiff(pixels, extratags=[(ORIENTATION, "H", 1, orientation, False)]), LIMITS
        )
        assert container.shape() == upright.shape[:2]
        np.testing.assert_array_equal(container.pixels(), upright)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_what_a_camera_thought_was_up_turns_no_picture(form: str):
    """A camera that looks at the zenith guesses it anew for each frame; masks and lenses are of the pixels."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    buffer, plain = io.BytesIO(), io.BytesIO()
    picture = Image.fromarray(np.arange(24 * 32, dtype=np.uint8).reshape(24, 32) // 4)
    picture.save(buffer, form, exif=exif)
    picture.save(plain, form)
    container = open_container(buffer.getvalue(), LIMITS)
    assert container.shape() == (24, 32)
    np.testing.assert_array_equal(container.pixels(), open_container(plain.getvalue(), LIMITS).pixels())
