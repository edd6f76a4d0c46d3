"""Rice tiles: the same numbers as astropy's, and no damage that reaches further than an error."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from observatory.errors import UnreadableFileError, UnusableInputError
from observatory.instruments import Limits, open_bytes
from observatory.instruments.formats import rice
from observatory.instruments.formats.rice import compile_decoder, decode_rice
from tests.making import tiled_fits_bytes, with_card

CARDS = {"INSTRUME": "AIA_3", "TELESCOP": "SDO/AIA", "WAVELNTH": 171}
RNG = np.random.default_rng(11)
NOISE = RNG.poisson(180, (96, 160))
EXTREMES = np.where(RNG.random((96, 160)) < 0.2, -32768, RNG.integers(-32768, 32767, (96, 160)))


@pytest.fixture(params=["imagecodecs", "compiled"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two decoders is used, whatever the size of an image."""
    if request.param == "compiled" and not compile_decoder():
        pytest.skip("numba does not work here")
    chosen = {"imagecodecs": lambda dtype: None, "compiled": rice._compiled}[request.param]
    monkeypatch.setattr(rice, "_compiled_if_worth_it", lambda dtype, pixels: chosen(dtype))
    return str(request.param)


def opened(data: bytes) -> Any:
    return open_bytes(data, "a.fits", Limits())


def by_rice(data: bytes) -> np.ndarray | None:
    """What the tile decoder alone makes of a file."""
    container = opened(data).container
    return decode_rice(data, container._image.start, container._header)


def by_astropy(data: bytes) -> np.ndarray:
    with fits.open(io.BytesIO(data), do_not_scale_image_data=True) as hdus:
        return np.asarray(next(hdu for hdu in hdus if isinstance(hdu, fits.CompImageHDU)).data)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
@pytest.mark.parametrize("tile_rows", [1, 7, 96])
@pytest.mark.parametrize("kind", ["noise", "extremes", "constant"])
def test_tiles_are_decoded_as_astropy_does(decoder: str, dtype: type, tile_rows: int, kind: str):
    image = {"noise": NOISE, "extremes": EXTREMES, "constant": np.full((96, 160), 7)}[kind].astype(dtype)
    data = tiled_fits_bytes(image, CARDS, tile_shape=(tile_rows, 160), compression_type="RICE_1")
    found = by_rice(data)
    assert found is not None and found.dtype == dtype
    assert np.array_equal(found, image)
    assert np.array_equal(found, by_astropy(data))


def test_real_frames_are_decoded_as_astropy_does(decoder: str, real_frames: Path):
    for name in ("aia/fits/aia_20200925T235957_171.fits", "aia/fits/aia_171_cutout.fits"):
        data = (real_frames / name).read_bytes()
        found = by_rice(data)
        assert found is not None, name
        assert np.array_equal(found, by_astropy(data))
        with fits.open(io.BytesIO(data)) as hdus:
            assert np.array_equal(opened(data).frame().pixels, hdus[1].data.astype(np.float32))


def test_long_runs_and_wide_differences_are_decoded_as_astropy_does(decoder: str):
    """Codes longer than a register: single great steps in rows that hardly change."""
    image = RNG.integers(0, 3, (64, 333)).astype(np.int32)
    image[RNG.random(image.shape) < 0.01] += 30_000
    image[5, 100:] = 2**31 - 1
    options = {"tile_shape": (2, 333), "compression_type": "RICE_1"}
    for dtype in (np.int16, np.int32):
        data = tiled_fits_bytes(image.astype(dtype), CARDS, **options)
        found = by_rice(data)
        assert found is not None and np.array_equal(found, image.astype(dtype))


def test_a_frame_large_enough_for_two_threads_is_decoded_as_astropy_does(decoder: str):
    image = RNG.poisson(40, (600, 1024)).astype(np.int16)
    data = tiled_fits_bytes(image, CARDS, tile_shape=(1, 1024), compression_type="RICE_1")
    found = by_rice(data)
    assert found is not None and np.array_equal(found, image)


def test_the_last_tile_may_end_where_the_file_ends(decoder: str):
    last = HEAP + 8 * 95
    length, offset = (int.from_bytes(GOOD[last + at : last + at + 4], "big") for at in (0, 4))
    heap_end = HEAP + 8 * 96 + offset + length
    container = opened(GOOD).container
    found = decode_rice(GOOD[:heap_end], HEAP, container._header)
    assert found is not None and np.array_equal(found, NOISE)


def test_a_tile_that_ends_too_early_is_refused(decoder: str):
    broken = bytearray(GOOD)
    length = int.from_bytes(GOOD[HEAP : HEAP + 4], "big")
    broken[HEAP : HEAP + 4] = (length - 9).to_bytes(4, "big")
    with pytest.raises(UnreadableFileError):
        opened(bytes(broken)).frame()


def test_compiling_waits_until_it_pays(monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr(rice, "_compiled", asked.append)
    monkeypatch.setattr(rice, "_PIXELS_WORTH_COMPILING", 3 * 600 * 1024)
    monkeypatch.setattr(rice, "_decoded", Counter())
    image = RNG.poisson(40, (600, 1024)).astype(np.int16)
    data = tiled_fits_bytes(image, CARDS, tile_shape=(1, 1024), compression_type="RICE_1")
    for _ in range(3):
        by_rice(data)
    assert not asked
    by_rice(data)
    assert asked == [np.dtype(np.int16)]


@pytest.mark.parametrize(
    "options",
    [
        {"compression_type": "GZIP_1"},
        {"compression_type": "HCOMPRESS_1", "tile_shape": (16, 160)},
        {"compression_type": "PLIO_1"},
        {"compression_type": "RICE_1", "tile_shape": (16, 40)},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_whatever_is_not_plain_is_left_to_astropy(options: dict[str, Any]):
    data = tiled_fits_bytes(NOISE.astype(np.int16), CARDS, **options)
    assert by_rice(data) is None
    assert np.array_equal(opened(data).frame().pixels, NOISE)


def test_quantised_floats_with_nan_are_left_to_astropy():
    image = NOISE.astype(np.float32)
    image[3, 4] = np.nan
    data = tiled_fits_bytes(image, CARDS, quantize_level=16.0)
    assert by_rice(data) is None
    found = opened(data).frame().pixels
    assert np.isnan(found[3, 4])
    assert np.nanmax(np.abs(found - image)) < 1.0


def test_missing_values_of_level_1_become_nan():
    image = NOISE.astype(np.int16)
    image[10:20, 30:60] = -32768
    data = tiled_fits_bytes(image, CARDS | {"BLANK": -32768}, tile_shape=(1, 160))
    found = opened(data).frame().pixels
    assert np.isnan(found).sum() == 300
    assert np.array_equal(found[:10], image[:10].astype(np.float32))


GOOD = tiled_fits_bytes(NOISE.astype(np.int16), CARDS, tile_shape=(1, 160), compression_type="RICE_1")
HEAP = GOOD.index(b"END     ", GOOD.index(b"XTENSION")) // 2880 * 2880 + 2880


def damaged(random: np.random.Generator) -> bytes:
    """The table's entries or the tiles' bits changed, zeroed or set."""
    broken = bytearray(GOOD)
    for _ in range(int(random.integers(1, 5))):
        at = HEAP + int(random.integers(0, len(broken) - HEAP))
        what = int(random.integers(0, 6))
        if what == 0:
            broken[at] = int(random.integers(0, 256))
        elif what == 1:
            broken[at : at + 400] = bytes(len(broken[at : at + 400]))
        elif what == 2:
            broken[at:] = bytes(len(broken) - at)
        elif what == 3:
            broken[at : at + 60] = b"\xff" * len(broken[at : at + 60])
        else:
            broken[HEAP + int(random.integers(0, 8 * 96))] = int(random.integers(0, 256))
    return bytes(broken)


def test_five_hundred_damaged_tiles_end_in_an_error_or_in_numbers(decoder: str):
    random = np.random.default_rng(7)
    refused = 0
    for _ in range(500):
        try:
            assert opened(damaged(random)).frame().pixels.shape == (96, 160)
        except UnusableInputError:
            refused += 1
    assert refused > 300


def test_a_search_for_the_next_bit_ends_in_our_own_memory(decoder: str):
    """Every tile begins a block whose first bit never comes: the decoder runs on to our margin."""
    broken = bytearray(GOOD)
    tiles = HEAP + 8 * 96
    broken[tiles:] = bytes(len(broken) - tiles)
    for n in range(96):
        offset = int.from_bytes(broken[HEAP + 8 * n + 4 : HEAP + 8 * n + 8], "big")
        broken[tiles + offset + 2] = 0x10  # after the first pixel: Rice with no split bits
    with pytest.raises(UnreadableFileError):
        opened(bytes(broken)).frame()


@pytest.mark.parametrize(("entry", "value"), [(0, 1 << 30), (0, -5), (4, 1 << 30), (4, -5), (4, 20000)])
def test_a_tile_outside_the_heap_is_refused(entry: int, value: int):
    broken = bytearray(GOOD)
    broken[HEAP + entry : HEAP + entry + 4] = value.to_bytes(4, "big", signed=True)
    with pytest.raises(UnreadableFileError, match=r"outside the FITS table's heap|announced"):
        opened(bytes(broken)).frame()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ZTILE2", "7"),
        ("ZBITPIX", "32"),
        ("ZBITPIX", "12"),
        ("ZNAXIS2", "95"),
        ("ZVAL2", "4"),
        ("ZVAL1", "99999999"),
    ],
)
def test_headers_that_do_not_fit_their_tiles_are_refused_or_read_within_their_claims(
    decoder: str, key: str, value: str
):
    try:
        found = opened(with_card(GOOD, key, value)).frame().pixels
    except UnusableInputError:
        return
    assert found.shape[1] == 160
