"""File formats: bytes in, headers and pixels out, within limits.

Nothing here knows an instrument. A file is read once, whole, never memory-mapped (a file
truncated under a map kills the process); packed files are unpacked in pieces up to a limit
and their checksums are verified. Sizes that a header claims are checked before memory is
taken for them. Whatever a decoder raises on broken bytes leaves here as `UnreadableFileError`.
"""

from __future__ import annotations

import bz2
import errno
import io
import math
import re
import struct
import warnings
import xml.etree.ElementTree as ElementTree
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError
from PIL import ExifTags, Image

from observatory.errors import (
    HeliowatchError,
    StorageUnavailableError,
    TooLargeError,
    UnreadableFileError,
    VanishedFileError,
)
from observatory.frame import RowOrder

FITS_BLOCK = 2880
_MAX_HEADER_BLOCKS = 2000  # 72 000 cards; the longest real header here has some 300
_PIECE = 1 << 20
_NOT_TO_BE_HAD = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}
_MAX_GZIP_MEMBERS = 1000
_LEAST_GZIP = 18  # bytes of an empty gzip member
_PEEK_PACKED, _PEEK_UNPACKED = 1 << 16, 1 << 17
_NATIVE = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_PICTURE_FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF")


@dataclass(frozen=True)
class Limits:
    """What one file may cost at most.

    Attributes
    ----------
    max_file_bytes : int
        Bytes of the file itself.
    max_unpacked_bytes : int
        Bytes after gzip or bzip2.
    max_pixels : int
        Pixels of one image (height x width).
    max_images : int
        Images in one file; the cameras' films hold some twenty.
    """

    max_file_bytes: int = 1 << 30
    max_unpacked_bytes: int = 1 << 30
    max_pixels: int = 150_000_000
    max_images: int = 2000

    def check_pixels(self, pixels: int) -> None:
        """Raise `TooLargeError` when an image claims more pixels than allowed."""
        if pixels > self.max_pixels:
            raise TooLargeError("the number of pixels", pixels, self.max_pixels)


class Container(ABC):
    """An opened file: its images' headers now, their pixels on demand.

    Attributes
    ----------
    row_order : RowOrder
    count : int
        Number of images.
    is_final : bool
        Whether the format itself says that the file is complete; False for films that
        may still grow by another image.
    """

    row_order: RowOrder
    count: int = 1
    is_final: bool = True

    @abstractmethod
    def header(self, index: int = 0) -> Mapping[str, Any]:
        """Header facts of one image, keywords in capitals; empty when there are none."""

    @abstractmethod
    def shape(self, index: int = 0) -> tuple[int, int]:
        """(height, width) of one image, known without decoding it."""

    @abstractmethod
    def pixels(self, index: int = 0) -> np.ndarray:
        """Decode one image: (height, width) or (height, width, 3).

        Raises
        ------
        UnreadableFileError
            When the bytes cannot be decoded.
        """


def read_bytes(path: Path, limits: Limits) -> bytes:
    """Read a file whole.

    Raises
    ------
    VanishedFileError
        When it is gone, no plain file, or not permitted.
    TooLargeError
        When it is larger than ``limits.max_file_bytes``.
    """
    try:
        if not path.is_file():
            raise VanishedFileError(path.name, "it is not there or not a plain file")
        size = path.stat().st_size
        if size > limits.max_file_bytes:
            raise TooLargeError("the file's size in bytes", size, limits.max_file_bytes)
        return path.read_bytes()
    except OSError as error:
        raise file_error(path.name, error) from error


def file_error(name: str, error: OSError) -> HeliowatchError:
    """Say what an operating system's error means: the file is not to be had, or not now."""
    if error.errno in _NOT_TO_BE_HAD:
        return VanishedFileError(name, error.strerror or str(error))
    return StorageUnavailableError(f"the file {name}", error.strerror or str(error))


def open_container(data: bytes, limits: Limits, *, is_peek: bool = False) -> Container:
    """Open a file by its first bytes, whatever its name says.

    Parameters
    ----------
    data : bytes
        The file as it lies on disk.
    limits : Limits
    is_peek : bool
        Only the headers are wanted: a gzipped FITS file then need not be unpacked, as the length
        that gzip notes at its end tells whether the file is whole. Its pixels cannot be asked
        for, and its checksum is verified by whoever reads them.

    Raises
    ------
    UnreadableFileError
        When the format is none of ours or the file is not whole.
    TooLargeError
        When it claims or unpacks to more than the limits allow.
    """
    if is_peek and (peeked := _peek_gzipped_fits(data, limits)) is not None:
        return peeked
    data = unpack(data, limits)
    if not data:
        raise UnreadableFileError("the file is empty")
    for magic, opener in _OPENERS:
        if magic.match(data):
            return _guarded(opener, data, limits)
    raise UnreadableFileError(
        "the format is not recognised: "
        "FITS, PNG, JPEG, JPEG 2000, TIFF and PGM are read, also inside gzip or bzip2"
    )


def _peek_gzipped_fits(data: bytes, limits: Limits) -> FitsContainer | None:
    """Open a gzipped FITS file by its head and its noted length; None when that is not enough."""
    if data[:2] != b"\x1f\x8b" or len(data) < _LEAST_GZIP:
        return None
    try:
        head = isal_zlib.decompressobj(wbits=31).decompress(data[:_PEEK_PACKED], _PEEK_UNPACKED)
    except IsalError:  # type: ignore[misc]
        return None
    length = int.from_bytes(data[-4:], "little")  # RFC 1952: modulo 2**32, of the last member
    if not head.startswith(b"SIMPLE  =") or length > limits.max_unpacked_bytes:
        return None
    try:
        return FitsContainer(head, limits, length)
    except UnreadableFileError:
        return None  # several members, a header that goes on, or a truncated file: unpack and see


def unpack(data: bytes, limits: Limits) -> bytes:
    """Undo gzip or bzip2 up to the limit, verifying the checksums; other bytes pass through."""
    if data[:2] == b"\x1f\x8b":
        return _unpack(data, lambda: isal_zlib.decompressobj(wbits=31), b"\x1f\x8b", "gzip", limits)
    if data[:3] == b"BZh":
        return _unpack(data, bz2.BZ2Decompressor, b"BZh", "bzip2", limits)
    return data


class _Decompressor(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _unpack(data: bytes, new: Callable[[], Any], magic: bytes, name: str, limits: Limits) -> bytes:
    pieces: list[bytes] = []
    total = 0
    rest = data
    # With the right length at once the decompressor need not grow its buffer: a quarter of the time.
    noted = int.from_bytes(data[-4:], "little") if name == "gzip" else 0
    max_piece = noted if 0 < noted <= limits.max_unpacked_bytes else _PIECE * 16
    members = 0
    while rest.startswith(magic):
        members += 1
        if members > _MAX_GZIP_MEMBERS:
            raise UnreadableFileError(f"the {name} file has more than {_MAX_GZIP_MEMBERS} members")
        member: _Decompressor = new()
        while not member.eof:
            try:
                piece = member.decompress(rest, max_piece)
            except (OSError, ValueError, EOFError, IsalError) as error:  # type: ignore[misc]
                raise UnreadableFileError(f"the {name} data is damaged: {error}") from error
            rest = getattr(member, "unconsumed_tail", b"")
            total += len(piece)
            if total > limits.max_unpacked_bytes:
                raise TooLargeError(
                    f"the {name} file's unpacked size in bytes", total, limits.max_unpacked_bytes
                )
            if not piece and not member.eof and not rest:
                raise UnreadableFileError(f"the {name} file is truncated")
            pieces.append(piece)
        rest = member.unused_data
    if rest.strip(b"\0"):
        raise UnreadableFileError(f"{len(rest)} bytes of something else follow the {name} data")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _guarded(work: Callable[..., Any], *args: Any) -> Any:
    """Turn whatever a decoder raises into one kind of error: the only border that catches all."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work(*args)
    except (UnreadableFileError, TooLargeError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableFileError(f"the picture claims too many pixels: {error}") from error
    except MemoryError as error:
        raise UnreadableFileError("decoding would take more memory than there is") from error
    except Exception as error:
        detail = str(error) or type(error).__name__
        raise UnreadableFileError(f"the data cannot be decoded: {detail[:300]}") from error


class FitsContainer(Container):
    """The first image of a FITS file, plain or tile-compressed."""

    row_order = RowOrder.BOTTOM

    def __init__(self, data: bytes, limits: Limits, whole_length: int | None = None) -> None:
        """Open; ``whole_length`` is the file's length when ``data`` is only its beginning."""
        self._data = data
        length = len(data) if whole_length is None else whole_length
        self._header, self._offset, self._is_tiled = self._find_image(data, length)
        prefix = "ZNAXIS" if self._is_tiled else "NAXIS"
        axes = int(self._header[prefix])
        sizes = [int(self._header[f"{prefix}{n}"]) for n in range(1, axes + 1)]
        if axes < 2 or any(size > 1 for size in sizes[2:]):
            shape = " x ".join(str(size) for size in sizes)
            raise UnreadableFileError(f"the FITS data has {axes} axes ({shape}); one flat image is expected")
        self._width, self._height = sizes[0], sizes[1]
        if self._width < 1 or self._height < 1:
            raise UnreadableFileError(f"the FITS image claims {self._width} x {self._height} pixels")
        limits.check_pixels(self._width * self._height)

    @staticmethod
    def _find_image(data: bytes, file_length: int) -> tuple[Mapping[str, Any], int, bool]:
        offset = 0
        while offset < len(data):
            if offset and data[offset : offset + 8] != b"XTENSION":
                break  # bytes after the last HDU are allowed by the standard
            header, start = _fits_header(data, offset)
            length = _fits_data_length(header)
            if start + length > file_length:
                raise UnreadableFileError(
                    f"the FITS file is truncated: {start + length:,} bytes announced, {file_length:,} there"
                )
            if header.get("ZIMAGE") is True:
                _check_tiles(header)
                return header, offset, True
            is_image = offset == 0 or str(header.get("XTENSION", "")).strip() == "IMAGE"
            if is_image and int(header.get("NAXIS", 0)) >= 1 and length:
                return header, start, False
            offset = start + -(-length // FITS_BLOCK) * FITS_BLOCK
        raise UnreadableFileError("the FITS file holds no image")

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return {key: value for key, value in self._header.items() if key not in ("", "COMMENT", "HISTORY")}

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._height, self._width

    def pixels(self, index: int = 0) -> np.ndarray:
        return _guarded(self._tiled if self._is_tiled else self._plain)

    def _plain(self) -> np.ndarray:
        bitpix = int(self._header["BITPIX"])
        if bitpix not in _NATIVE:
            raise UnreadableFileError(f"BITPIX {bitpix} is not one that FITS allows")
        stored = np.frombuffer(
            self._data, dtype=_NATIVE[bitpix], count=self._width * self._height, offset=self._offset
        ).reshape(self._height, self._width)
        return self._scaled(stored)

    def _tiled(self) -> np.ndarray:
        from astropy.io import fits  # costs 0.2 s: only where it is needed

        _check_gzipped_tiles(self._data, _fits_header(self._data, self._offset)[1], self._header)
        with fits.open(io.BytesIO(self._data), memmap=False, do_not_scale_image_data=True) as hdus:
            image = next(hdu for hdu in hdus if isinstance(hdu, fits.CompImageHDU))
            stored = np.asarray(image.data)
        return self._scaled(stored.reshape(self._height, self._width))

    def _scaled(self, stored: np.ndarray) -> np.ndarray:
        """Apply BSCALE, BZERO and BLANK (FITS standard 4.0, section 4.4.2)."""
        scale = float(self._header.get("BSCALE", 1.0))
        zero = float(self._header.get("BZERO", 0.0))
        blank = self._header.get("BLANK", self._header.get("ZBLANK"))
        if stored.dtype.kind == "f":
            native = stored.astype(stored.dtype.newbyteorder("="))
            return native if (scale, zero) == (1.0, 0.0) else (native * scale + zero).astype(np.float32)
        native = stored.astype(stored.dtype.newbyteorder("="))
        has_blank = blank is not None and bool((native == int(blank)).any())
        if (scale, zero) == (1.0, 0.0) and not has_blank:
            return native
        if (scale, zero) == (1.0, 32768.0) and native.dtype == np.int16 and not has_blank:
            return (native.view(np.uint16) ^ np.uint16(0x8000)).view(np.uint16)
        # float32 holds 24 bits: 32-bit counts are scaled in float64 first.
        if native.dtype.itemsize <= 2:
            real = native.astype(np.float32) * np.float32(scale) + np.float32(zero)
        else:
            real = (native.astype(np.float64) * scale + zero).astype(np.float32)
        if has_blank:
            real[native == int(blank)] = np.nan
        return real


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
        header[key] = quoted.replace("''", "'").rstrip() if quoted is not None else _card_number(bare.strip())
    return header


def _card_number(word: str) -> Any:
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


class PictureContainer(Container):
    """A PNG, JPEG, JPEG 2000 or TIFF picture, decoded by Pillow (cv2 hides truncation)."""

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
        return _guarded(self._decode)

    def _decode(self) -> np.ndarray:
        with Image.open(io.BytesIO(self._data), formats=_PICTURE_FORMATS) as picture:
            picture.load()
            if picture.mode in ("L", "RGB", "F", "I") or picture.mode.startswith("I;16"):
                flat: Image.Image = picture
            elif picture.mode in ("1", "LA", "La"):
                flat = picture.convert("L")
            else:
                flat = picture.convert("RGB")
            pixels = np.asarray(flat)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _picture_facts(picture: Image.Image) -> dict[str, Any]:
    """Time of exposure from EXIF and text chunks, when a camera wrote them."""
    facts: dict[str, Any] = {
        str(key).upper(): value for key, value in picture.info.items() if isinstance(value, str)
    }
    exif = picture.getexif()
    taken = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal) if exif else None
    if isinstance(taken, str):
        facts["EXIF-DATE"] = taken
    return facts


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
        child.tag.upper(): _card_number((child.text or "").strip())
        for child in block
        if child.tag.upper() not in ("COMMENT", "HISTORY")
    }


_PGM_HEAD = re.compile(
    rb"P5\s+((?:#[^\n]*\n\s*)*)(\d+)\s+((?:#[^\n]*\n\s*)*)(\d+)\s+((?:#[^\n]*\n\s*)*)(\d+)\s"
)
_PGM_KEY = re.compile(r'#\s*"([^"]+)"\s+(.*)')


class PgmContainer(Container):
    """One or many binary PGM images in a row, as the THEMIS-style cameras write them."""

    row_order = RowOrder.TOP
    is_final = False

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._data = data
        self._images: list[tuple[int, int, int, int, dict[str, Any]]] = []
        at = 0
        while at < len(data):
            head = _PGM_HEAD.match(data, at, at + 65536)
            if head is None:
                if not data[at:].strip(b"\0\n\r "):
                    break
                raise UnreadableFileError(f"image {len(self._images)} of the PGM file has no readable head")
            width, height, peak = int(head[2]), int(head[4]), int(head[6])
            limits.check_pixels(width * height)
            if not (width and height and 0 < peak < 65536):
                raise UnreadableFileError(f"the PGM head claims {width} x {height} pixels up to {peak}")
            length = width * height * (1 if peak < 256 else 2)
            if head.end() + length > len(data):
                raise UnreadableFileError(f"the PGM file is truncated in image {len(self._images)}")
            facts = _pgm_facts(head[1] + head[3] + head[5])
            self._images.append((head.end(), height, width, peak, facts))
            at = head.end() + length
            if len(self._images) > limits.max_images:
                raise TooLargeError("the number of images", len(self._images), limits.max_images)
        self.count = len(self._images)

    def header(self, index: int = 0) -> Mapping[str, Any]:
        return self._images[index][4]

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._images[index][1], self._images[index][2]

    def pixels(self, index: int = 0) -> np.ndarray:
        start, height, width, peak, _ = self._images[index]
        stored = np.frombuffer(
            self._data, dtype="u1" if peak < 256 else ">u2", count=height * width, offset=start
        )
        return stored.reshape(height, width).astype(stored.dtype.newbyteorder("="))


def _pgm_facts(comments: bytes) -> dict[str, Any]:
    lines = comments.decode("latin-1").splitlines()
    return {found[1].upper(): found[2].strip() for line in lines if (found := _PGM_KEY.match(line))}


_OPENERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes, Limits], Container]], ...] = (
    (re.compile(rb"SIMPLE  ="), FitsContainer),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PictureContainer),
    (re.compile(rb"\xff\xd8\xff"), PictureContainer),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), PictureContainer),
    (re.compile(rb"II\*\x00|MM\x00\*"), PictureContainer),
    (re.compile(rb"P5\s"), PgmContainer),
)
