"""PNG, JPEG, JPEG 2000 and TIFF pictures, with what their metadata say.

The tag Orientation is heeded in TIFF, where it is part of what the pixels are. In EXIF of other pictures it is what
a camera thought was up, which one that looks at the zenith guesses anew for each frame: it is passed over, and
lenses, masks and regions are of the pixels as they are stored.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from observatory.errors import UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded
from observatory.instruments.formats.fits import card_number

_KNOWN_DATE = re.compile(
    r"[^0:\s]"
)  # blanks stand for an unknown one (EXIF 2.32), zeros for a clock never set
_PLANAR = TiffImagePlugin.PLANAR_CONFIGURATION  # 2: one colour after the other, which cv2 mixes up
_PICTURE_FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF")


class PictureContainer(Container):
    """A PNG, JPEG, JPEG 2000 or TIFF picture, decoded by Pillow (cv2 hides truncation).

    Pillow keeps eight of the sixteen bits of a colour: such pictures are decoded by cv2 once Pillow finds them whole.
    """

    row_order = RowOrder.TOP

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        Image.MAX_IMAGE_PIXELS = None  # our own limit, checked below before any memory is taken
        with Image.open(io.BytesIO(data), formats=_PICTURE_FORMATS) as picture:
            self._width, self._height = picture.size
            self._format = picture.format
            limits.check_pixels(self._width * self._height)
            self._header = _picture_facts(picture)
        if self._format == "JPEG2000":
            self._header = {**self._header, **_jp2_fits_header(data)}
        if not self._is_whole(data):
            raise UnreadableFileError(f"the {self._format} picture is truncated")

    def _is_whole(self, data: bytes) -> bool:
        if self._format == "PNG":
            return b"IEND" in data[-64:]
        if self._format == "JPEG":
            return b"\xff\xd9" in data[-4096:]  # some cameras append a trailer
        return True

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._header

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._height, self._width

    def pixels(self, index: int = 0) -> np.ndarray:
        return guarded(self._decode)

    def smaller(self, index: int, factor: int) -> np.ndarray | None:
        return guarded(self._decode, factor) if self._format == "JPEG" else None

    def _decode(self, factor: int = 1) -> np.ndarray:
        with Image.open(io.BytesIO(self._data), formats=_PICTURE_FORMATS) as picture:
            if factor > 1:  # JPEG's blocks give means of 2 x 2 or 4 x 4 pixels before they are spread out
                picture.draft(picture.mode, (self._width // factor, self._height // factor))
            picture.load()
            if _is_deep(picture, self._data):
                return _deep(picture, self._data)
            if picture.mode in ("L", "RGB", "F", "I") or picture.mode.startswith("I;16"):
                flat: Image.Image = picture
            elif picture.mode in ("1", "LA", "La"):
                flat = picture.convert("L")
            else:
                flat = picture.convert("RGB")
            pixels = _signed_as_written(picture, np.asarray(flat))
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _signed_as_written(picture: Image.Image, pixels: np.ndarray) -> np.ndarray:
    """Samples with the sign that a TIFF's tags give them, which Pillow passes over in two kinds."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        kind = picture.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0]
        if picture.mode == "I" and kind == 1 and picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) == (32,):
            return pixels.view(np.uint32)
        if picture.mode == "L" and kind == 2:
            return pixels.view(np.int8).astype(np.int16)
    return pixels


def _is_deep(picture: Image.Image, data: bytes) -> bool:
    """Whether a PNG or TIFF has 16 bits a sample and several samples a pixel: Pillow keeps the upper eight."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        depths = picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        return len(depths) > 1 and set(depths) == {16}
    # Of IHDR, which comes first: bit depth and colour type (PNG specification, section 11.2.2).
    return picture.format == "PNG" and data[24] == 16 and data[25] in (2, 4, 6)


def _deep(picture: Image.Image, data: bytes) -> np.ndarray:
    """Samples of a deep picture that Pillow found whole, without what makes it transparent."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and picture.tag_v2.get(_PLANAR, 1) != 1:
        raise UnreadableFileError(
            "a TIFF picture of 16 bits a colour, one colour after the other, is not read: write the colours of "
            "each pixel together"
        )
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise UnreadableFileError(
            f"a {picture.format} picture of 16 bits a colour in a form that is not read"
        )
    is_grey = picture.mode.startswith("L")
    return np.ascontiguousarray(pixels[..., 0] if is_grey else pixels[..., 2::-1])


def _picture_facts(picture: Image.Image) -> dict[str, Any]:
    """Facts from text chunks and EXIF, when a camera wrote them."""
    facts: dict[str, Any] = {
        str(key).upper(): value for key, value in picture.info.items() if isinstance(value, str)
    }
    return facts | exif_facts(picture.getexif())


def exif_facts(exif: Image.Exif) -> dict[str, Any]:
    """Time, zone and length of the exposure and the place, when a camera wrote them."""
    if not exif:
        return {}
    facts: dict[str, Any] = {}
    own, place = exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    taken = own.get(ExifTags.Base.DateTimeOriginal)
    offset = own.get(ExifTags.Base.OffsetTimeOriginal)
    exposure_s = exif.get(ExifTags.Base.ExposureTime, own.get(ExifTags.Base.ExposureTime))
    for key, tag in (
        ("EXIF-DESCRIPTION", ExifTags.Base.ImageDescription),
        ("EXIF-SOFTWARE", ExifTags.Base.Software),
        ("EXIF-CHANGED", ExifTags.Base.DateTime),
    ):
        if isinstance(exif.get(tag), str):
            facts[key] = exif[tag]
    if isinstance(taken, str) and _KNOWN_DATE.search(taken):
        facts["EXIF-DATE"] = taken
    if isinstance(offset, str) and offset.strip():
        facts["EXIF-OFFSET"] = offset.strip()
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        facts["EXIF-EXPOSURE"] = float(exposure_s)
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError, KeyError):
        latitude, longitude = (
            _degrees(place[part], str(place[side]))
            for part, side in (
                (ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef),
                (ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef),
            )
        )
        facts |= {"EXIF-LATITUDE": latitude, "EXIF-LONGITUDE": longitude}
    return {key: value for key, value in facts.items() if value == value}


def _degrees(parts: Any, side: str) -> float:
    """Degrees of an angle in degrees, minutes and seconds; south and west are negative."""
    whole = sum(float(part) / 60**place for place, part in enumerate(parts))
    return round(-whole if side.strip().upper()[:1] in ("S", "W") else whole, 6)


def _jp2_fits_header(data: bytes) -> dict[str, Any]:
    """FITS keywords from the XML box that Helioviewer's JPEG 2000 files carry."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if length == 1 and at + 16 <= len(data):
            length = struct.unpack(">Q", data[at + 8 : at + 16])[0]
        if kind == b"xml ":
            return _xml_keywords(data[at + 8 : at + length])
        if length < 8:
            break
        at += length
    return {}


def _xml_keywords(text: bytes) -> dict[str, Any]:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        return {}  # no honest header declares entities
    root = ElementTree.fromstring(text.strip(b"\0 \r\n"))
    block = root.find("fits")
    if block is None:
        return {}
    return {
        child.tag.upper(): card_number((child.text or "").strip())
        for child in block
        if child.tag.upper() not in ("COMMENT", "HISTORY")
    }
