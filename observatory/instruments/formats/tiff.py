"""TIFF pictures; those of samples that Pillow does not know, such as floats of 64 bits, are decoded by cv2."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from observatory.errors import UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded
from observatory.instruments.formats.pictures import PictureContainer, exif_facts
from observatory.instruments.formats.tiff_film import TiffFilm, pages_of

_SAMPLE_FORMAT = 339  # TIFF 6.0, section 19
_KINDS = {1: "u", 2: "i", 3: "f"}
_WORDS = {"u": "unsigned", "i": "signed", "f": "floating point"}
_READ = ("u4", "i2", "i4", "f4", "f8")  # beside what Pillow reads
_SIDEWAYS = (5, 6, 7, 8)  # orientations whose rows are columns


def open_tiff(data: bytes, limits: Limits) -> Container:
    """Open a TIFF picture, or a film of pages of one size; rows and columns as the tag Orientation says.

    Raises
    ------
    UnreadableFileError, UnidentifiedImageError, TooLargeError
        When it is damaged, too large, or of samples that are not read.
    """
    pages = pages_of(data, limits)
    return TiffFilm(data, limits, pages, _first_page) if len(pages.places) > 1 else _first_page(data, limits)


def _first_page(data: bytes, limits: Limits) -> Container:
    try:
        return PictureContainer(data, limits)
    except UnidentifiedImageError:
        return _WideTiff(data, limits)


class _WideTiff(Container):
    """A TIFF picture of samples that Pillow does not know."""

    row_order = RowOrder.TOP

    def __init__(self, data: bytes, limits: Limits) -> None:
        if data[2:4] == b"+\0":
            raise UnreadableFileError(
                "of BigTIFF, 8 and 16 bits a sample are read, in grey 32 as well: write a plain TIFF"
            )
        self._data = data
        tags = Image.Exif()
        try:
            tags.load(data)
            width, height = (int(tags[tag]) for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength))
        except (struct.error, SyntaxError, KeyError, TypeError, ValueError) as error:
            raise UnidentifiedImageError(str(error)) from error
        limits.check_pixels(width * height)
        is_sideways = tags.get(ExifTags.Base.Orientation) in _SIDEWAYS
        self._shape = (width, height) if is_sideways else (height, width)
        self._dtype, self._samples = _samples(tags)
        self._header = exif_facts(tags)

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._header

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._shape

    def pixels(self, index: int = 0) -> np.ndarray:
        return guarded(self._decode)

    def _decode(self) -> np.ndarray:
        pixels = cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise UnreadableFileError(
                "the TIFF picture is truncated, damaged or packed in a way that is not read"
            )
        colours = (self._samples,) if self._samples > 1 else ()
        if pixels.dtype != self._dtype or pixels.shape != (*self._shape, *colours):
            raise UnreadableFileError("the TIFF picture is in a form that is not read")
        return np.ascontiguousarray(pixels[..., 2::-1]) if colours else pixels


def _samples(tags: Image.Exif) -> tuple[np.dtype[Any], int]:
    """Type of the samples, and how many a pixel has.

    Raises
    ------
    UnreadableFileError
        Which says what they are, when they are not read.
    """
    bits = _numbers(tags, ExifTags.Base.BitsPerSample)
    count = int(tags.get(ExifTags.Base.SamplesPerPixel, 1))
    kinds = _numbers(tags, _SAMPLE_FORMAT)
    kind = _KINDS.get(kinds[0], "?")
    name = f"{kind}{bits[0] // 8}"
    is_apart = count > 1 and tags.get(ExifTags.Base.PlanarConfiguration, 1) != 1
    if len(set(bits)) > 1 or len(set(kinds)) > 1 or name not in _READ or count not in (1, 3, 4) or is_apart:
        apart = ", one colour after the other," if is_apart else ""
        raise UnreadableFileError(
            f"a TIFF picture of {count} samples of {bits[0]} bits ({_WORDS.get(kind, 'unknown')}) a pixel{apart} is "
            "not read: write one, three or four together, of 8 or 16 bits, or floating point of 32 or 64"
        )
    return np.dtype(name), count


def _numbers(tags: Image.Exif, tag: int) -> tuple[int, ...]:
    found = tags.get(tag, 1)
    return tuple(int(part) for part in found) if isinstance(found, tuple) else (int(found),)
