"""Bytes that are no good: refused with a reason that people understand, within bounded memory."""

from __future__ import annotations

import bz2
import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from observatory.errors import TooLargeError, UnreadableFileError, UnusableInputError, VanishedFileError
from observatory.instruments import Limits, open_bytes, read_file
from tests.making import (
    KSO_CARDS,
    fits_bytes,
    gzip_bomb,
    kso_frame,
    pgm_bytes,
    picture_bytes,
    raw_fits,
    sun,
    sun_picture,
    tiled_fits_bytes,
)
from tests.observatory.bad_files import BAD, LIMITS
from tests.skies import cdf_bytes, hdf5_bytes, npz_bytes, tar_bytes


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_its_reason(name: str):
    make, words = BAD[name]
    with pytest.raises(UnusableInputError, match=f"(?s){words}") as caught:
        open_bytes(make(), "kanz_halph_fi_20240508_120000.fts", LIMITS, instrument="kso-halpha").frame()
    assert len(str(caught.value)) < 600


BOMBS = (
    "gzip bomb",
    "bzip2 bomb",
    "a tile that is a gzip bomb",
    "PNG bomb",
    "50 000 squared PNG",
    "50 000 squared FITS",
    "50 000 squared tiled FITS",
    "absurd PCOUNT",
    "absurd tiled PCOUNT",
    "huge ZNAXIS",
)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_more_memory_than_the_limits_allow(name: str):
    data = BAD[name][0]()
    tracemalloc.start()
    try:
        with pytest.raises(UnusableInputError):
            open_bytes(data, "a.fits", LIMITS, instrument="kso-halpha").frame()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LIMITS.max_unpacked_bytes + (36 << 20)  # two pieces of 16 MB at hand


def test_zeros_that_are_no_format_are_refused_by_their_beginning():
    for data, cost in (
        (gzip_bomb(), 1 << 20),
        (gzip.compress(b"") + gzip_bomb(), 36 << 20),
        (bz2.compress(b"\0" * (64 << 20)), 36 << 20),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(UnreadableFileError, match="the format is not recognised"):
                open_bytes(data, "kanz_halph_fi_20240508_120000.fts.gz", Limits())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < cost


def test_a_member_that_notes_a_length_takes_no_more_than_is_left_of_the_limit():
    piece = bytes(20 << 20)
    data = gzip.compress(fits_bytes(SMALL) + piece, 1) + gzip.compress(piece, 1)
    limits = Limits(max_unpacked_bytes=24 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            open_bytes(data, "a.fits.gz", limits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 << 20


@pytest.mark.parametrize("cuts", [(0, 5), (3, 9), (8, 8), (2880, 3000)])
def test_members_may_end_anywhere_in_a_files_first_bytes(cuts: tuple[int, int]):
    whole = fits_bytes(SMALL, KSO_CARDS)
    first, second = cuts
    parts = (whole[:first], whole[first:second], whole[second:])
    for pack in (gzip.compress, bz2.compress):
        data = b"".join(pack(part) for part in parts) + bytes(512)
        np.testing.assert_array_equal(
            open_bytes(data, "kanz_halph_fi_20240508_120000.fts", Limits()).frame().pixels, SMALL
        )


def test_the_shipped_limits_refuse_two_gigabytes_from_two_megabytes():
    data = gzip_bomb(beginning=fits_bytes(SMALL))
    assert len(data) < 2_200_000
    with pytest.raises(TooLargeError):
        open_bytes(data, "a.fits.gz", Limits(max_unpacked_bytes=64 << 20))


def test_a_jpeg_named_fits_is_read_as_the_picture_that_it_is():
    opened = open_bytes(sun_picture("JPEG"), "kanz_halph_fi_20240508_120000.fits", LIMITS)
    assert opened.instrument == "kso-halpha"
    assert opened.frame().pixels.shape == (256, 256)


def test_a_picture_with_a_trailer_after_its_end_is_whole():
    assert open_bytes(sun_picture("JPEG") + b"\0" * 100, "a.jpg", LIMITS).frame().width == 256


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "socket-less link"])
def test_what_is_no_plain_file_is_refused_without_waiting_for_it(tmp_path: Path, what: str):
    path = tmp_path / "a.fits"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "socket-less link":
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(VanishedFileError, match="could not be opened"):
        read_file(path, LIMITS)


def test_a_folder_in_the_place_of_a_file_is_called_one(tmp_path: Path):
    with pytest.raises(VanishedFileError, match="it is a folder; name the files in it"):
        read_file(tmp_path, LIMITS)


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = kso_frame(tmp_path)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read everything
    with pytest.raises(VanishedFileError, match="Permission denied"):
        read_file(path, LIMITS)


# -- mutations --------------------------------------------------------------------------------

SMALL = sun().pixels[64:128, 64:128]
RGB = np.stack([np.stack([SMALL] * 3, axis=2)] * 2, axis=3)
SEEDS: dict[str, bytes] = {
    "fits": fits_bytes(SMALL, KSO_CARDS | {"BLANK": -1, "CTYPE1": "HPLN-TAN", "CDELT1": 1.0, "CRPIX1": 3.0}),
    "rice": tiled_fits_bytes(SMALL, KSO_CARDS, tile_shape=(16, 16)),
    "quantised": tiled_fits_bytes(SMALL.astype(np.float32), KSO_CARDS, quantize_level=4.0),
    "png": picture_bytes((SMALL // 16).astype(np.uint8)),
    "jpeg": picture_bytes((SMALL // 16).astype(np.uint8), "JPEG"),
    "jp2": picture_bytes((SMALL // 16).astype(np.uint8), "JPEG2000"),
    "tiff": picture_bytes((SMALL // 16).astype(np.uint8), "TIFF"),
    "pgm": pgm_bytes([SMALL.astype(np.uint16)] * 2, [{"Image request start": "2014-03-10 06:00:00 UTC"}] * 2),
    "gzip": gzip.compress(fits_bytes(SMALL, KSO_CARDS)),
    "npz": npz_bytes(frames=np.stack([SMALL, SMALL]), times=np.array(["2014-03-10T06:00:00"] * 2)),
    "cdf": cdf_bytes(np.stack([SMALL, SMALL]), np.array([6.2e13, 6.2e13])),
    "packed cdf": cdf_bytes(np.stack([SMALL, SMALL]), np.array([6.2e13, 6.2e13]), is_compressed=True),
    "hdf5": hdf5_bytes(RGB, ["2023-02-24 06:15:00 UTC"] * 2),
    "packed hdf5": hdf5_bytes(RGB, ["2023-02-24 06:15:00 UTC"] * 2, compression="gzip", shuffle=True),
    "tar": tar_bytes({f"{n}.png": picture_bytes((SMALL // 16).astype(np.uint8)) for n in range(2)}),
}


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Bytes changed, cut, doubled or swapped, half of the time near the head."""
    broken = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        reach = len(broken) if random.random() < 0.5 else min(len(broken), 3000)
        at = int(random.integers(0, max(reach, 1)))
        what = random.integers(0, 5)
        if what == 0:
            broken[at : at + 1] = bytes([int(random.integers(0, 256))])
        elif what == 1:
            broken[at : at + 1] = bytes([int(random.choice(list(b"0123456789-TF'=. E")))])
        elif what == 2:
            del broken[at:]
        elif what == 3:
            broken[at:at] = broken[at : at + int(random.integers(1, 200))]
        else:
            del broken[at : at + int(random.integers(1, 200))]
    return bytes(broken)


@pytest.mark.parametrize("name", SEEDS)
def test_three_hundred_mutations_raise_unusable_input_or_nothing(name: str):
    random = np.random.default_rng(2026)
    for number in range(300):
        data = mutated(SEEDS[name], random)
        try:
            opened = open_bytes(data, "kanz_halph_fi_20240508_120000.fts", Limits(), instrument="kso-halpha")
            for index in range(opened.count):
                assert opened.frame(index).pixels.size
        except UnusableInputError:
            continue
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name} raised {error!r}") from error


@pytest.mark.parametrize("name", SEEDS)
def test_a_file_cut_anywhere_is_unusable_or_whole(name: str):
    data = SEEDS[name]
    whole = open_bytes(data, "a", Limits(), instrument="kso-halpha").frame().pixels
    for cut in np.linspace(0, len(data) - 1, 100).astype(int):
        try:
            found = open_bytes(data[:cut], "a", Limits(), instrument="kso-halpha").frame().pixels
        except UnusableInputError:
            continue
        np.testing.assert_array_equal(found, whole, err_msg=f"{name} cut at {cut} of {len(data)} bytes")


def test_fits_bytes_made_by_hand_are_what_astropy_makes():
    made = raw_fits({"SIMPLE": True, "BITPIX": 8, "NAXIS": 2, "NAXIS1": 2, "NAXIS2": 1}, b"\1\2")
    assert open_bytes(made, "a", LIMITS, instrument="kso-halpha").frame().pixels.tolist() == [[1, 2]]
    with pytest.raises(UnreadableFileError):
        open_bytes(made[:2880], "a", LIMITS, instrument="kso-halpha")
