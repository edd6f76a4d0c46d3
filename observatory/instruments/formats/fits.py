"""FITS: headers and plain images read here, tile-compressed images by `rice` or astropy."""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits, guarded
from observatory.instruments.formats.mosaic import demosaiced, mosaic_of
from observatory.instruments.formats.packing import unpack
from observatory.instruments.formats.rice import decode_rice

FITS_BLOCK = 2880
_MAX_HEADER_BLOCKS = 2000  # 72 000 cards; the longest real header here has some 300
#: What is the first HDU's own and never inherited by others, beside sizes (FITS standard 4.0, appendix K).
_STRUCTURE = {"SIMPLE", "BITPIX", "NAXIS", "EXTEND", "BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM"}
_NATIVE = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_OF_TIME = {"TIME", "UTC", "UT1", "TAI", "TT", "TDB", "GPS"}  # axes (FITS standard 4.0, section 9.2.1)
_UNITS_S = {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class FitsImage:
    """Where one image lies in a FITS file.

    Attributes
    ----------
    header : Mapping
        With the cards of the file's first header where it says INHERIT.
    own : Mapping
        Without them.
    place, start, end : int
        Where header and data begin, and what follows.
    number : int
        Of its HDU, 0 is the first.
    is_tiled : bool
    """

    header: Mapping[str, Any]
    own: Mapping[str, Any]
    place: int
    start: int
    end: int
    number: int
    is_tiled: bool


def images_of(data: bytes, file_length: int) -> Iterator[FitsImage]:
    """Find the images of a file, of which `data` may be the beginning.

    Raises
    ------
    UnreadableFileError
        When the file ends too early, or a header is damaged: once the images before that are found.
    """
    offset = number = 0
    primary: Mapping[str, Any] = {}
    while offset < len(data):
        if offset and data[offset : offset + 8] != b"XTENSION":
            return  # bytes after the last HDU are allowed by the standard
        own, start = _fits_header(data, offset)
        length = _fits_data_length(own)
        primary = primary or own
        kept = {key: value for key, value in primary.items() if key not in _STRUCTURE}
        header = {**kept, **own} if own.get("INHERIT") is True else own
        if start + length > file_length:
            raise UnreadableFileError(
                f"the FITS file is truncated: {start + length:,} bytes announced, {file_length:,} there"
            )
        end = start + -(-length // FITS_BLOCK) * FITS_BLOCK
        is_image = offset == 0 or str(header.get("XTENSION", "")).strip() == "IMAGE"
        if header.get("ZIMAGE") is True:
            _check_tiles(header)
            yield FitsImage(header, own, offset, start, end, number, is_tiled=True)
        elif is_image and int(header.get("NAXIS", 0)) >= 1 and length:
            yield FitsImage(header, own, offset, start, end, number, is_tiled=False)
        offset, number = end, number + 1


class FitsContainer(Container):
    """One image of a FITS file, plain or tile-compressed, grey or in colour; or several, along a third axis of time.

    Colours lie in three planes, red, green and blue, as programs for small cameras write them (MaxIm DL and those
    after it), or in a mosaic that the header names. Such pictures begin with the top row where ROWORDER says so. A
    header with coordinates counts rows upwards, and its planes are something else.

    Parameters
    ----------
    data : bytes
    limits : Limits
    image : FitsImage
    """

    def __init__(self, data: bytes, limits: Limits, image: FitsImage) -> None:
        self._data, self._image, self._header = data, image, image.header
        prefix = "ZNAXIS" if image.is_tiled else "NAXIS"
        axes = int(self._header[prefix])
        sizes = [int(self._header[f"{prefix}{n}"]) for n in range(1, axes + 1)]
        has_coordinates = any(key in self._header for key in ("CTYPE1", "CTYPE3", "CRPIX2"))
        self._cadence_s = _cadence_s(self._header)
        is_film = self._cadence_s is not None and sizes[2:3] > [1]
        self._is_colour = sizes[2:3] == [3] and not has_coordinates and not is_film
        if axes < 2 or any(size > 1 for size in sizes[3 if self._is_colour or is_film else 2 :]):
            shape = " x ".join(str(size) for size in sizes)
            raise UnreadableFileError(
                f"the FITS data has {axes} axes ({shape}); one flat image is expected, its three colours, which "
                "have no coordinates, or a film, whose third axis is time (CTYPE3 = 'TIME', and CDELT3) or whose "
                "header tells the seconds from image to image (KCT)"
            )
        self._width, self._height = sizes[0], sizes[1]
        if self._width < 1 or self._height < 1:
            raise UnreadableFileError(f"the FITS image claims {self._width} x {self._height} pixels")
        limits.check_pixels(self._width * self._height)
        if is_film:
            self.count = sizes[2]
            self._start = _start(self._header)
            self._check_film(limits)
        is_topped = str(self._header.get("ROWORDER", "")).strip().upper() == "TOP-DOWN"
        self.row_order = RowOrder.TOP if is_topped and not has_coordinates else RowOrder.BOTTOM

    def _check_film(self, limits: Limits) -> None:
        if self.count > limits.max_images:
            raise TooLargeError("the number of images", self.count, limits.max_images)
        bits = abs(int(self._header["ZBITPIX" if self._image.is_tiled else "BITPIX"]))
        size = self.count * self._height * self._width * bits // 8
        if size > limits.max_unpacked_bytes:
            raise TooLargeError("the unpacked size in bytes", size, limits.max_unpacked_bytes)

    def header(self, index: int = 0) -> Mapping[str, Any]:
        told = {key: value for key, value in self._header.items() if key not in ("", "COMMENT", "HISTORY")}
        if self.count > 1:
            assert self._cadence_s is not None
            told["DATE-OBS"] = (self._start + timedelta(seconds=index * self._cadence_s)).isoformat()
        return told

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._height, self._width

    def pixels(self, index: int = 0) -> np.ndarray:
        return guarded(self._decoded, index)

    def _decoded(self, index: int) -> np.ndarray:
        stored = self._stored[index] if self.count > 1 else self._stored
        values = self._scaled(stored)
        if self._is_colour:
            return np.ascontiguousarray(np.moveaxis(values, 0, -1))
        mosaic = mosaic_of(self._header, self._height)
        return values if mosaic is None or min(values.shape) < 2 else demosaiced(values, mosaic)

    @cached_property
    def _unpacked(self) -> np.ndarray:
        """A film's tiles, which may go through several images."""
        return self._tiled()

    @property
    def _stored(self) -> np.ndarray:
        if not self._image.is_tiled:
            return self._plain()
        return self._unpacked if self.count > 1 else self._tiled()

    @property
    def _stored_shape(self) -> tuple[int, ...]:
        planes = self.count if self.count > 1 else 3
        return (*((planes,) if self._is_colour or self.count > 1 else ()), self._height, self._width)

    def _plain(self) -> np.ndarray:
        bitpix = int(self._header["BITPIX"])
        if bitpix not in _NATIVE:
            raise UnreadableFileError(f"BITPIX {bitpix} is not one that FITS allows")
        count = math.prod(self._stored_shape)
        stored = np.frombuffer(self._data, dtype=_NATIVE[bitpix], count=count, offset=self._image.start)
        return stored.reshape(self._stored_shape)

    def _tiled(self) -> np.ndarray:
        is_flat = len(self._stored_shape) == 2
        rice = decode_rice(self._data, self._image.start, self._header) if is_flat else None
        return self._tiled_otherwise() if rice is None else rice

    def _tiled_otherwise(self) -> np.ndarray:
        from astropy.io import fits  # costs 0.2 s: only where it is needed

        _check_gzipped_tiles(self._data, self._image.start, self._header)
        with fits.open(io.BytesIO(self._data), memmap=False, do_not_scale_image_data=True) as hdus:
            stored = np.asarray(hdus[self._image.number].data)
        return stored.reshape(self._stored_shape)

    def _scaled(self, stored: np.ndarray) -> np.ndarray:
        """Apply BSCALE, BZERO and BLANK (FITS standard 4.0, section 4.4.2)."""
        scale = float(self._header.get("BSCALE", 1.0))
        zero = float(self._header.get("BZERO", 0.0))
        blank = self._header.get("BLANK", self._header.get("ZBLANK"))
        if stored.dtype.kind == "f":
            native = stored.astype(stored.dtype.newbyteorder("="))
            return native if (scale, zero) == (1.0, 0.0) else (native * scale + zero).astype(np.float32)
        native = stored.astype(stored.dtype.newbyteorder("="), copy=not stored.flags.owndata)
        # BLANK is the smallest number that there is, mostly: then the smallest that is found tells, in half the time.
        has_blank = blank is not None and native.min() <= int(blank) and bool((native == int(blank)).any())
        if (scale, zero) == (1.0, 0.0) and not has_blank:
            return native
        if (scale, zero) == (1.0, 32768.0) and native.dtype == np.int16 and not has_blank:
            return (native.view(np.uint16) ^ np.uint16(0x8000)).view(np.uint16)
        if (scale, zero) == (1.0, 2.0**63) and native.dtype == np.int64 and not has_blank:
            return native.view(np.uint64) ^ np.uint64(1 << 63)  # reals would keep a multiple of 1024
        # float32 holds 24 bits: 32-bit counts are scaled in float64 first.
        if native.dtype.itemsize <= 2:
            real = native.astype(np.float32) * np.float32(scale) + np.float32(zero)
        else:
            real = (native.astype(np.float64) * scale + zero).astype(np.float32)
        if has_blank:
            real[native == int(blank)] = np.nan
        return real


def _cadence_s(header: Mapping[str, Any]) -> float | None:
    """Seconds from one image to the next along the third axis; None where that is no time.

    By coordinates of time (FITS standard 4.0, section 9), or by the kinetic cycle that Andor's cameras write.
    """
    is_time = str(header.get("CTYPE3", "")).strip().upper() in _OF_TIME
    step = header.get("CDELT3") if is_time else header.get("KCT")
    unit = _UNITS_S.get(str(header.get("CUNIT3", "")).strip() if is_time else "")
    is_number = isinstance(step, int | float) and not isinstance(step, bool)
    if unit is None or step is None or not is_number or not 0.0 < step * unit < 1e6:
        return None
    return float(step * unit)


def time_of(header: Mapping[str, Any]) -> str:
    """When an exposure began, as the header has it, with the clock where another keyword tells that; else empty."""
    day = next(
        (str(header[key]).strip() for key in ("DATE-OBS", "DATE_OBS", "DATE-BEG") if header.get(key)), ""
    )
    clock = str(header.get("TIME-OBS", header.get("TIME_OBS", ""))).strip()
    return f"{day}T{clock}" if clock and re.fullmatch(r"[\d/-]+", day) else day


def _start(header: Mapping[str, Any]) -> datetime:
    """When a film begins, on the header's own scale of time."""
    told = time_of(header)
    try:
        if ":" in told:
            return datetime.fromisoformat(told)
    except ValueError:
        pass
    raise UnreadableFileError(
        f"the FITS film does not tell when it begins: DATE-OBS says {told!r}, like 2026-01-31T22:10:05 is expected"
    )


def _fits_header(data: bytes, offset: int) -> tuple[Mapping[str, Any], int]:
    """Parse the header at ``offset``; return it and where its data starts."""
    for block in range(_MAX_HEADER_BLOCKS):
        start = offset + block * FITS_BLOCK
        cards = data[start : start + FITS_BLOCK]
        if len(cards) < FITS_BLOCK:
            raise UnreadableFileError("the FITS file is truncated inside its header")
        if any(cards[at : at + 8] == b"END     " for at in range(0, FITS_BLOCK, 80)):
            return _parse_cards(data[offset : start + FITS_BLOCK]), start + FITS_BLOCK
    raise UnreadableFileError(f"the FITS header has no END within {_MAX_HEADER_BLOCKS} blocks")


_CARD_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^/']*))")


def _parse_cards(block: bytes) -> dict[str, Any]:
    """Parse fixed-format cards.

    astropy's `Header` costs 2 ms for a GONG header, half of the ingester's time for a small
    file; cards that this parser cannot read (CONTINUE, HIERARCH) are of no use to us.
    """
    header: dict[str, Any] = {}
    text = block.decode("latin-1")
    for at in range(0, len(text), 80):
        key = text[at : at + 8].rstrip()
        if key == "END":
            break
        if text[at + 8 : at + 10] != "= " or key in header:
            continue
        found = _CARD_VALUE.match(text, at + 10, at + 80)
        if found is None:
            continue
        quoted, bare = found.groups()
        header[key] = quoted.replace("''", "'").rstrip() if quoted is not None else card_number(bare.strip())
    return header


def card_number(word: str) -> Any:
    """Value of an unquoted card: logical, whole, real, or the word itself; None when empty."""
    if word in ("T", "F"):
        return word == "T"
    try:
        return int(word)
    except ValueError:
        try:
            return float(word.replace("D", "E").replace("d", "e"))
        except ValueError:
            return word or None


def _fits_data_length(header: Mapping[str, Any]) -> int:
    """Bytes of data that a header announces (FITS standard 4.0, equation 2)."""
    try:
        axes = int(header["NAXIS"])
        bits = abs(int(header["BITPIX"]))
        if not 0 <= axes <= 999:
            raise UnreadableFileError(f"NAXIS {axes} is not one that FITS allows")
        length = 1 if axes else 0
        for n in range(1, axes + 1):
            size = int(header[f"NAXIS{n}"])
            if size < 0:
                raise UnreadableFileError(f"NAXIS{n} is negative ({size})")
            length *= size
        extra, groups = int(header.get("PCOUNT", 0)), int(header.get("GCOUNT", 1))
    except KeyError as error:
        raise UnreadableFileError(f"the FITS header lacks {error.args[0]}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableFileError("the FITS header has no whole numbers where its size must stand") from error
    if extra < 0 or groups < 0:
        raise UnreadableFileError("PCOUNT or GCOUNT is negative")
    return bits // 8 * groups * (extra + length)


def _check_tiles(header: Mapping[str, Any]) -> None:
    """Refuse tile sizes that would make the decoder take memory without end."""
    try:
        axes = int(header["ZNAXIS"])
        sizes = [int(header[f"ZNAXIS{n}"]) for n in range(1, axes + 1)]
        tiles = [int(header.get(f"ZTILE{n}", sizes[n - 1] if n == 1 else 1)) for n in range(1, axes + 1)]
    except KeyError as error:
        raise UnreadableFileError(f"the compressed FITS header lacks {error.args[0]}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableFileError(
            "the compressed FITS header has no whole numbers where its size must stand"
        ) from error
    if any(size < 1 for size in sizes) or any(
        not 1 <= tile <= max(size, 1) for tile, size in zip(tiles, sizes, strict=True)
    ):
        raise UnreadableFileError(f"the compressed FITS header claims tiles {tiles} of an image {sizes}")


_TABLE_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")
_TABLE_BYTES = {"I": 2, "J": 4, "E": 4, "K": 8, "D": 8, "C": 8, "P": 8, "M": 16, "Q": 16}


def _check_gzipped_tiles(data: bytes, start: int, header: Mapping[str, Any]) -> None:
    """Refuse gzipped tiles that unpack to more than their pixels can need: astropy unpacks them whole.

    Parameters
    ----------
    start : int
        Where the table's data begins (FITS standard 4.0, sections 7.3.5 and 10.1.3).
    """
    is_gzip = str(header.get("ZCMPTYPE", "")).startswith("GZIP")
    columns = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA")[0 if is_gzip else 1 :]
    axes = range(1, int(header["ZNAXIS"]) + 1)
    pixels = math.prod(int(header.get(f"ZTILE{n}", header["ZNAXIS1"] if n == 1 else 1)) for n in axes)
    limits = Limits(max_unpacked_bytes=8 * pixels)
    row_bytes, rows = int(header["NAXIS1"]), int(header["NAXIS2"])
    heap = start + int(header.get("THEAP", row_bytes * rows))
    for n in range(1, int(header["TFIELDS"]) + 1):
        form = _TABLE_FORM.match(str(header[f"TFORM{n}"]))
        if form is None:
            raise UnreadableFileError(f"TFORM{n} is not one that FITS allows")
        if str(header.get(f"TTYPE{n}", "")).strip() in columns and form[2] in "PQ":
            for row in range(rows):
                length, at = struct.unpack_from(
                    ">2i" if form[2] == "P" else ">2q", data, start + row * row_bytes
                )
                unpack(data[heap + at : heap + at + length], limits)
        start += int(form[1] or 1) * _TABLE_BYTES.get(form[2], 1)
