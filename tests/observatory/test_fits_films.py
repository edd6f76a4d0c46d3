"""Several images in one FITS file: dated HDUs and cubes are films; masks, errors and colours are none."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import DateSource
from observatory.instruments import Limits, Opened, open_bytes
from observatory.instruments.formats import open_container
from tests.making import fits_bytes, tiled_fits_bytes
from tests.skies import tar_bytes

LIMITS = Limits()
BEGUN = datetime(2024, 1, 1, 23, 59, 50, tzinfo=UTC)
TIMES = [BEGUN + timedelta(seconds=5 * number) for number in range(4)]
NIGHT = {"DATE-OBS": "2024-01-01T23:59:50"}


def images(count: int = 4) -> np.ndarray:
    return np.random.default_rng(3).integers(90, 60000, (count, 24, 32)).astype(np.uint16)


def file_of(hdus: list[Any]) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


def cards(**given: Any) -> fits.Header:
    return fits.Header({key.replace("_", "-"): value for key, value in given.items()})


def dated(time: datetime) -> fits.Header:
    return cards(DATE_OBS=f"{time:%Y-%m-%dT%H:%M:%S}")


def in_hdus(*more: Any) -> bytes:
    made = [fits.ImageHDU(image, dated(time)) for image, time in zip(images(), TIMES, strict=True)]
    return file_of([fits.PrimaryHDU(), *made, *more])


def sky(data: bytes, **options: Any) -> Opened:
    return open_bytes(data, "film.fits", LIMITS, instrument="allsky", **options)


def assert_is_the_film(film: Opened) -> None:
    assert film.count == 4
    for index in (3, 0, 2, 1):
        assert film.container.shape(index) == (24, 32)
        np.testing.assert_array_equal(film.container.pixels(index), images()[index])
    told = [film.facts(index) for index in range(film.count)]
    assert [facts.date_obs for facts in told] == TIMES
    assert {facts.date_obs_source for facts in told} == {DateSource.HEADER}


@pytest.mark.parametrize("first", ["empty", "image"])
def test_every_dated_hdu_is_a_frame(first: str) -> None:
    if first == "empty":
        return assert_is_the_film(sky(in_hdus()))
    made = [fits.ImageHDU(image, dated(time)) for image, time in zip(images(), TIMES, strict=True)]
    return assert_is_the_film(sky(file_of([fits.PrimaryHDU(images()[0], dated(BEGUN)), *made[1:]])))


@pytest.mark.parametrize("compression", ["RICE_1", "GZIP_1"])
def test_hdus_in_tiles_are_frames_too(compression: str) -> None:
    made = [
        fits.CompImageHDU(image, dated(time), compression_type=compression)
        for image, time in zip(images(), TIMES, strict=True)
    ]
    assert_is_the_film(sky(file_of([fits.PrimaryHDU(), *made])))


def test_what_has_another_size_or_no_time_of_its_own_is_no_frame() -> None:
    mask = fits.ImageHDU(np.ones((24, 32), np.uint8), name="MASK")
    error = fits.ImageHDU(np.ones((24, 32), np.float32), dated(TIMES[-1]), name="ERROR")
    preview = fits.ImageHDU(np.ones((12, 16), np.uint16), dated(BEGUN + timedelta(hours=1)))
    table = fits.BinTableHDU.from_columns([fits.Column("t", "D", array=[1.0])])
    assert_is_the_film(sky(in_hdus(mask, error, preview, table)))


def test_a_time_that_is_inherited_makes_no_frame() -> None:
    first = fits.PrimaryHDU(images()[0], fits.Header(NIGHT))
    second = fits.ImageHDU(images()[1], cards(INHERIT=True))
    assert sky(file_of([first, second])).count == 1


def test_of_images_without_any_time_the_first_is_read() -> None:
    first, *others = images()
    film = sky(file_of([fits.PrimaryHDU(first), *(fits.ImageHDU(image) for image in others)]))
    assert film.count == 1
    np.testing.assert_array_equal(film.container.pixels(), first)


def test_a_film_that_is_cut_keeps_its_whole_images() -> None:
    data = in_hdus()
    film = sky(data[: -2880 - 100])
    assert film.count == 3 and film.container.is_cut and not film.container.is_final
    np.testing.assert_array_equal(film.container.pixels(2), images()[2])
    alone = sky(data[: len(data) // 2 - 2880])
    assert alone.count == 1 and alone.container.is_cut


@pytest.mark.parametrize(
    "axis",
    [
        {"KCT": 5.0},
        {"CTYPE3": "TIME", "CDELT3": 5.0, "CUNIT3": "s"},
        {"CTYPE3": "UTC", "CDELT3": 5},
        {"CTYPE3": "TIME", "CDELT3": 5000.0, "CUNIT3": "ms", "CTYPE1": "HPLN-TAN", "CTYPE2": "HPLT-TAN"},
    ],
    ids=str,
)
@pytest.mark.parametrize("compression", [None, "RICE_1", "GZIP_1"])
def test_a_cube_along_time_is_a_film(axis: dict[str, Any], compression: str | None) -> None:
    told = NIGHT | axis
    packed = {} if compression is None else {"compression_type": compression}
    assert_is_the_film(
        sky(tiled_fits_bytes(images(), told, **packed) if packed else fits_bytes(images(), told))
    )


def test_three_images_of_a_kinetic_cycle_are_no_colours() -> None:
    film = sky(fits_bytes(images(3), NIGHT | {"KCT": 5.0}))
    assert film.count == 3 and film.container.pixels(1).shape == (24, 32)
    assert sky(fits_bytes(images(3), NIGHT)).container.pixels().shape == (24, 32, 3)


def test_day_and_clock_of_a_cube_may_stand_apart() -> None:
    assert_is_the_film(
        sky(fits_bytes(images(), {"DATE-OBS": "2024-01-01", "TIME-OBS": "23:59:50", "KCT": 5.0}))
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (NIGHT, "the seconds from image to image"),
        (NIGHT | {"KCT": 0.0}, "the seconds from image to image"),
        (NIGHT | {"KCT": True}, "the seconds from image to image"),
        (NIGHT | {"CTYPE3": "WAVE", "CDELT3": 5.0}, "the seconds from image to image"),
        (NIGHT | {"CTYPE3": "TIME", "CDELT3": 5.0, "CUNIT3": "furlong"}, "the seconds from image to image"),
        ({"KCT": 5.0}, "does not tell when it begins"),
        ({"KCT": 5.0, "DATE-OBS": "2024-01-01"}, "does not tell when it begins"),
        ({"KCT": 5.0, "DATE-OBS": "last night, 22:10"}, "'last night, 22:10'"),
    ],
)
def test_a_cube_that_does_not_tell_its_times_says_what_is_missing(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words):
        sky(fits_bytes(images(), told))


def test_films_above_the_limits_are_refused() -> None:
    cube = NIGHT | {"KCT": 5.0}
    for data in (fits_bytes(images(), cube), in_hdus()):
        with pytest.raises(TooLargeError, match="number of images"):
            open_container(data, Limits(max_images=3))
    with pytest.raises(TooLargeError, match="unpacked size"):
        open_container(tiled_fits_bytes(images(), cube), Limits(max_unpacked_bytes=4000))


@pytest.mark.parametrize("is_cube", [True, False])
def test_a_look_at_the_head_of_a_packed_film_counts_all_images(is_cube: bool) -> None:
    data = fits_bytes(images(), NIGHT | {"KCT": 5.0}) if is_cube else in_hdus()
    assert sky(gzip.compress(data), is_peek=True).count == 4
    assert_is_the_film(sky(gzip.compress(data)))


def test_films_in_an_archive_follow_each_other() -> None:
    film = open_container(tar_bytes({"a.fits": in_hdus(), "b.fits": fits_bytes(images()[2])}), LIMITS)
    assert film.count == 5
    np.testing.assert_array_equal(film.pixels(4), images()[2])
