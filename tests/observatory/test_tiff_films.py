"""Every page of a TIFF file is a frame, whoever wrote it; smaller copies, masks and damaged pages are none."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import DateSource
from observatory.instruments import Limits, Opened, open_bytes
from observatory.instruments.formats import open_container

LIMITS = Limits()
REDUCED, MASK, PAGE = 1, 4, 2


def stack(dtype: str, count: int = 5, colours: tuple[int, ...] = ()) -> np.ndarray:
    shape = (count, 24, 32, *colours)
    return (np.random.default_rng(6).random(shape) * 250).astype(dtype)


def by_tifffile(pages: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    colours = "rgb" if pages.ndim == 4 else "minisblack"
    tifffile.imwrite(buffer, pages, photometric=colours, **options)
    return buffer.getvalue()


def by_pillow(pages: np.ndarray) -> bytes:
    first, *others = (Image.fromarray(page) for page in pages)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("colours", [(), (3,)], ids=["grey", "colours"])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}], ids=str)
def test_every_page_is_an_image(dtype: str, colours: tuple[int, ...], options: dict[str, Any]) -> None:
    pages = stack(dtype, colours=colours)
    film = open_container(by_tifffile(pages, **options), LIMITS)
    assert film.count == 5 and not film.is_cut
    for index in (4, 0, 2, 1, 3):
        assert film.shape(index) == (24, 32) and film.fault(index) is None
        np.testing.assert_array_equal(film.pixels(index), pages[index])


def test_pages_of_a_bigtiff_are_images_where_their_samples_are_read() -> None:
    for pages in (stack("u1"), stack("u2"), stack("f4"), stack("u2", colours=(3,))):
        film = open_container(by_tifffile(pages, bigtiff=True), LIMITS)
        assert film.count == 5
        np.testing.assert_array_equal(film.pixels(3), pages[3])
    with pytest.raises(UnreadableFileError, match="write a plain TIFF"):
        open_container(by_tifffile(stack("f8"), bigtiff=True), LIMITS)


def film_of(times: list[datetime]) -> Opened:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page, time in zip(stack("u2", len(times)), times, strict=True):
            writer.write(page, datetime=time)
    return open_bytes(buffer.getvalue(), "kho_20140221_192000.tif", LIMITS, instrument="allsky")


def test_each_page_has_the_time_that_its_own_tag_tells() -> None:
    times = [datetime(2014, 2, 21, 19, minute, 5, tzinfo=UTC) for minute in (20, 21, 22)]
    film = film_of(times)
    told = [film.facts(index) for index in range(film.count)]
    assert [facts.date_obs for facts in told] == times
    assert {facts.date_obs_source for facts in told} == {DateSource.HEADER}


def test_a_tag_that_is_the_same_on_all_pages_is_the_time_of_the_file() -> None:
    film = film_of([datetime(2015, 6, 1, 12, tzinfo=UTC)] * 3)
    told = [film.facts(index) for index in range(film.count)]
    assert {facts.date_obs for facts in told} == {datetime(2014, 2, 21, 19, 20, tzinfo=UTC)}
    assert {facts.date_obs_source for facts in told} == {DateSource.FILE_NAME}


def test_smaller_copies_and_masks_are_no_images() -> None:
    buffer = io.BytesIO()
    pages = stack("u2", 3)
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(pages[0], subfiletype=PAGE)
        writer.write(pages[1], subfiletype=REDUCED)
        writer.write(pages[1] > 100, subfiletype=MASK)
        writer.write(pages[1][::2, ::2].copy())
        writer.write(pages[2], subfiletype=PAGE)
    film = open_container(buffer.getvalue(), LIMITS)
    assert film.count == 2
    np.testing.assert_array_equal(film.pixels(1), pages[2])


def test_a_picture_with_a_thumbnail_is_one_image() -> None:
    buffer = io.BytesIO()
    page = stack("u2", 1)[0]
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(page)
        writer.write(page[::4, ::4].copy(), subfiletype=REDUCED)
    assert open_container(buffer.getvalue(), LIMITS).count == 1


def _page_places(data: bytes) -> list[int]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [page.offset for page in file.pages]


def _cut(data: bytes) -> bytes:
    return data[: _page_places(data)[3] + 6]


def _in_a_circle(data: bytes) -> bytes:
    places = _page_places(data)
    last = data.index(places[3].to_bytes(4, "little"), places[2])
    return data[:last] + places[0].to_bytes(4, "little") + data[last + 4 :]


@pytest.mark.parametrize("spoil", [_cut, _in_a_circle])
def test_of_a_film_without_its_end_the_images_before_it_are_kept(spoil: Callable[[bytes], bytes]) -> None:
    pages = stack("u2")
    film = open_container(spoil(by_pillow(pages)), LIMITS)
    assert film.is_cut and film.count >= 3
    for index in range(3):
        np.testing.assert_array_equal(film.pixels(index), pages[index])


def test_a_page_of_samples_that_are_not_read_costs_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "mixed.tif"
    pages = stack("u2", 3)
    with tifffile.TiffWriter(file) as writer:
        writer.write(pages[0])
        writer.write(pages[1].astype(np.float16))
        writer.write(pages[2])
    film = open_container(file.read_bytes(), LIMITS)
    assert film.count == 3
    assert "image 1 of the TIFF film: a TIFF picture of 1 samples of 16 bits (floating" in (
        film.fault(1) or ""
    )
    with pytest.raises(UnreadableFileError, match="image 1"):
        film.pixels(1)
    np.testing.assert_array_equal(film.pixels(2), pages[2])


def test_a_film_of_nothing_but_such_pages_and_one_of_too_many_are_refused() -> None:
    with pytest.raises(UnreadableFileError, match="floating point"):
        open_container(by_tifffile(stack("f2")), LIMITS)
    with pytest.raises(TooLargeError, match="number of images"):
        open_container(by_tifffile(stack("u1")), Limits(max_images=4))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"bigtiff": True}], ids=str)
def test_damaged_films_are_read_or_refused(options: dict[str, Any]) -> None:
    whole, random = by_tifffile(stack("u2"), **options), np.random.default_rng(8)
    for _ in range(150):
        spoilt = bytearray(whole)
        for place in random.integers(4, len(whole), 6):
            spoilt[place] = random.integers(0, 256)
        try:
            film = open_container(bytes(spoilt[: random.integers(100, len(whole) + 1)]), LIMITS)
            for index in range(film.count):
                if film.fault(index) is None:
                    film.pixels(index)
        except (UnreadableFileError, TooLargeError):
            pass
