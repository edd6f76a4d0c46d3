"""FITS files of several images: one in each HDU, each with a time of its own, or all of them in a cube."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.instruments.formats.container import Container, Limits
from observatory.instruments.formats.fits import FitsContainer, FitsImage, images_of, time_of


def open_fits(data: bytes, limits: Limits) -> Container:
    """Open a FITS file.

    Further images are frames where they have the first one's size and another time: masks, errors and previews
    have none, or that of the image that they belong to.

    Raises
    ------
    UnreadableFileError
        When there is no image, or the first one is damaged.
    TooLargeError
    """
    images = images_of(data, len(data))
    first = first_of(images)
    container = FitsContainer(data, limits, first)
    if container.count > 1 or not time_of(first.header):
        return container
    others, container.is_cut = _others(images, first)
    if not others:
        return container
    if 1 + len(others) > limits.max_images:
        raise TooLargeError("the number of images", 1 + len(others), limits.max_images)
    return FitsFilm([container, *(FitsContainer(data, limits, image) for image in others)])


def first_of(images: Iterator[FitsImage]) -> FitsImage:
    """The first image of a file.

    Raises
    ------
    UnreadableFileError
        When there is none, or what lies before it is damaged.
    """
    image = next(images, None)
    if image is None:
        raise UnreadableFileError("the FITS file holds no image")
    return image


def _others(images: Iterator[FitsImage], first: FitsImage) -> tuple[list[FitsImage], bool]:
    """The film's images behind the first, and whether the file is cut or damaged behind them."""
    found: list[FitsImage] = []
    times = {time_of(first.header)}
    try:
        for image in images:
            time = time_of(image.own)
            if time and time not in times and _sizes(image) == _sizes(first):
                found.append(image)
                times.add(time)
    except UnreadableFileError:
        return found, True
    return found, False


def _sizes(image: FitsImage) -> list[Any]:
    """Along every axis; one of a single pixel at the end counts for nothing."""
    prefix = "ZNAXIS" if image.is_tiled else "NAXIS"
    sizes = [image.header.get(f"{prefix}{n}") for n in range(1, int(image.header.get(prefix, 0)) + 1)]
    while sizes[-1:] == [1]:
        sizes.pop()
    return sizes


class FitsFilm(Container):
    """Images in HDUs of one file, in their order; the camera may add others, and some may have been cut off.

    Parameters
    ----------
    images : sequence of FitsContainer
        At least two; the first knows whether the file is cut.
    """

    is_final = False

    def __init__(self, images: Sequence[FitsContainer]) -> None:
        self._images = list(images)
        self.row_order, self.count, self.is_cut = images[0].row_order, len(images), images[0].is_cut
        if any(image.row_order is not self.row_order for image in images):
            raise UnreadableFileError(
                "images of the FITS film differ in ROWORDER: write one order to all of them"
            )

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._images[index].header()

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._images[index].shape()

    def pixels(self, index: int = 0) -> np.ndarray:
        return self._images[index].pixels()
