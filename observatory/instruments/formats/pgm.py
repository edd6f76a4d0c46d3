"""Binary PGM: one image or a film, as the THEMIS-style cameras write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError, UnusableInputError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits

_PGM_HEAD = re.compile(
    rb"P5\s+((?:#[^\n]*\n\s*)*)(\d{1,9})\s+((?:#[^\n]*\n\s*)*)(\d{1,9})\s+((?:#[^\n]*\n\s*)*)(\d{1,5})\s"
)
_LONGEST_HEAD = 1 << 16
_PGM_KEY = re.compile(r'#\s*"([^"]+)"\s+(.*)')
_PADDING = b"\0\n\r "
_OF_ONE_IMAGE = re.compile("START|STOP|TIME|DATE|EXPOS|SEQUENCE|TEMPERATURE|STATE|STATUS")


@dataclass(frozen=True)
class _Image:
    """One image of a film: where its pixels lie, or why they cannot be used."""

    start: int
    height: int
    width: int
    peak: int
    facts: dict[str, Any]
    error: UnusableInputError | None = None

    @property
    def end(self) -> int:
        return self.start + self.height * self.width * (1 if self.peak < 256 else 2)


class PgmContainer(Container):
    """One or many binary PGM images in a row, as the THEMIS-style cameras write them.

    An image of a film whose head is unreadable or whose pixels are cut short is passed over, up to the
    next head; it keeps its number, and `fault` tells what is wrong with it. The others are kept.
    """

    row_order = RowOrder.TOP
    is_final = False

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._images: list[_Image] = []
        for image in _images(data, limits):
            self._images.append(image)
            if len(self._images) > limits.max_images:
                raise TooLargeError("the number of images", len(self._images), limits.max_images)
        errors = [image.error for image in self._images]
        if errors and errors[0] is not None and None not in errors:
            raise errors[0]
        self.is_cut = bool(errors) and errors[-1] is not None
        self.count = len(self._images)
        first = self._images[0].facts if self._images else {}
        self._camera = {key: value for key, value in first.items() if not _OF_ONE_IMAGE.search(key)}

    def header(self, index: int = 0) -> Mapping[str, Any]:
        """Facts of one image: those that hold for a camera stand in a film's first image alone."""
        return self._camera | self._images[index].facts

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._images[index].height, self._images[index].width

    def fault(self, index: int = 0) -> str | None:
        error = self._images[index].error
        return None if error is None else str(error)

    def pixels(self, index: int = 0) -> np.ndarray:
        image = self._images[index]
        if image.error is not None:
            raise UnreadableFileError(str(image.error))
        stored = np.frombuffer(
            self._data,
            dtype="u1" if image.peak < 256 else ">u2",
            count=image.height * image.width,
            offset=image.start,
        )
        return stored.reshape(image.height, image.width).astype(stored.dtype.newbyteorder("="))


def _images(data: bytes, limits: Limits) -> Iterator[_Image]:
    """Images in the order in which they lie, the broken ones among them."""
    at = number = length = 0
    while data[at : at + 4096].strip(_PADDING) or data[at:].strip(_PADDING):
        head = _PGM_HEAD.match(data, at, at + _LONGEST_HEAD)
        if head is None:
            yield _broken(_Image(at, 0, 0, 255, {}), f"image {number} of the PGM file has no readable head")
            at = _next_head(data, at + 2)
        else:
            image = _image(head, number, limits)
            if (
                image.error is None
                and not _ends_well(image, data)
                and _next_head(data, image.start, image.end) < min(image.end, len(data))
            ):
                image = _broken(image, f"the PGM film lacks pixels of image {number}")
            elif image.error is None and image.end > len(data):
                image = _broken(image, f"the PGM file is truncated in image {number}")
            elif image.error is None and _is_of_wrong_size(image, length, data):
                image = _broken(image, f"the PGM head of image {number} claims a wrong size")
            length = length or image.end - image.start
            yield image
            at = image.end if image.error is None else _next_head(data, image.start)
        number += 1


def _image(head: re.Match[bytes], number: int, limits: Limits) -> _Image:
    width, height, peak = int(head[2]), int(head[4]), int(head[6])
    image = _Image(head.end(), height, width, peak, _pgm_facts(head[1] + head[3] + head[5]))
    try:
        limits.check_pixels(width * height)
    except TooLargeError as error:
        return replace(image, height=0, width=0, error=error)
    if width and height and 0 < peak < 65536:
        return image
    blank = replace(image, height=0, width=0, peak=255)
    return _broken(blank, f"the PGM head of image {number} claims {width} x {height} pixels up to {peak}")


def _ends_well(image: _Image, data: bytes) -> bool:
    """Whether an image ends with the file, or where another begins: then no other can begin inside of it."""
    return image.end == len(data) or _PGM_HEAD.match(data, image.end, image.end + _LONGEST_HEAD) is not None


def _is_of_wrong_size(image: _Image, usual_length: int, data: bytes) -> bool:
    """Whether an image is not as large as the first one and not followed by another either."""
    if not usual_length or image.end - image.start == usual_length:
        return False
    return data[image.end : image.end + 64].strip(_PADDING)[:2] not in (b"P5", b"")


def _broken(image: _Image, reason: str) -> _Image:
    return replace(image, error=UnreadableFileError(reason))


def _next_head(data: bytes, start: int, stop: int | None = None) -> int:
    """Where the next head begins; the end of the data where there is none.

    Two bytes of pixels can look like one by chance, so the whole head is looked at.
    """
    end = len(data) if stop is None else min(stop, len(data))
    at = start
    while (at := data.find(b"P5", at, end)) >= 0:
        if _PGM_HEAD.match(data, at, at + _LONGEST_HEAD):
            return at
        at += 2
    return len(data)


def _pgm_facts(comments: bytes) -> dict[str, Any]:
    lines = comments.decode("latin-1").splitlines()
    return {found[1].upper(): found[2].strip() for line in lines if (found := _PGM_KEY.match(line))}
