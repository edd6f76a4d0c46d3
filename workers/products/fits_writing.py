"""Writing FITS: images tile-compressed by rows on two threads, checksums, the same bytes every time.

astropy writes such files, too, but needs several copies of the whole image, one thread, and puts the
time of writing beside each checksum: a second run would make another file of the same results. It still
formats the header here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io.fits import Header

Card = tuple[str, Any, str]
"""Keyword, value, comment; COMMENT and HISTORY may come again and again."""

Hdu = tuple[bytes, bytearray]
"""Header and data, both in whole blocks."""

BLOCK_BYTES = 2880
_RICE_BLOCK = 32  # pixels, as CFITSIO takes
_BAND_ROWS = 256
_SUM_BYTES = 1 << 22
_BITPIX = {"u1": 8, "i2": 16, "i4": 32, "f4": -32}
_NO_LETTERS = frozenset([*range(0x3A, 0x41), *range(0x5B, 0x61)])  # signs that the checksum's coding skips


@dataclass(frozen=True)
class Quantised:
    """How real numbers become whole ones: value = zero + scale x whole, and one whole number for no data.

    Attributes
    ----------
    dtype : str
        ``u1``, ``i2`` or ``i4``, numpy's names.
    scale : float
        Difference between neighbouring values (BSCALE).
    blank : int
        What stands for NaN (BLANK).
    zero : float
        Value of the whole number 0 (BZERO).
    """

    dtype: str
    scale: float
    blank: int
    zero: float = 0.0

    def of(self, values: NDArray[np.floating]) -> NDArray[np.integer]:
        """Whole numbers of real ones: the nearest, without bias."""
        limits = np.iinfo(self.dtype)
        scaled = np.subtract(values, self.zero, dtype=np.float64)
        scaled /= self.scale
        scaled = np.clip(np.rint(scaled, out=scaled), limits.min, limits.max, out=scaled)
        return np.where(np.isnan(scaled), self.blank, scaled).astype(self.dtype)

    @property
    def cards(self) -> list[Card]:
        """The header words that tell it."""
        return [
            ("BSCALE", self.scale, "value = BZERO + BSCALE * stored"),
            ("BZERO", self.zero, ""),
            ("BLANK", self.blank, "stored where there is no data"),
        ]


def empty_primary(cards: Iterable[Card]) -> Hdu:
    """A primary HDU without data."""
    start = [("SIMPLE", True, "conforms to the FITS standard"), ("BITPIX", 8, ""), ("NAXIS", 0, "")]
    return _hdu([*start, ("EXTEND", True, "")], cards, [])


def float_image(pixels: NDArray[np.floating], name: str, cards: Iterable[Card]) -> Hdu:
    """An image extension of 32-bit reals, row 0 at the bottom, NaN where there is no data."""
    return _plain(pixels, ">f4", name, cards, lambda band: band)


def whole_image(values: NDArray[np.floating], quantised: Quantised, name: str, cards: Iterable[Card]) -> Hdu:
    """An image extension of whole numbers, not compressed."""
    return _plain(values, f">{quantised.dtype}", name, [*quantised.cards, *cards], quantised.of)


def rice_image(values: NDArray[np.floating], quantised: Quantised, name: str, cards: Iterable[Card]) -> Hdu:
    """A Rice-compressed image extension, one tile a row (FITS standard 4.0, section 10).

    Only a band of rows is there as whole numbers at a time.
    """
    height, width = values.shape
    tiles = [tile for band in _in_threads(lambda rows: _rice_tiles(rows, quantised), values) for tile in band]
    lengths = np.array([len(tile) for tile in tiles], np.int64)
    places = np.column_stack([lengths, np.cumsum(lengths) - lengths]).astype(">i4")
    size = np.dtype(quantised.dtype).itemsize
    start = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, ""),
        ("NAXIS", 2, ""),
        ("NAXIS1", 8, "bytes in a row of the table"),
        ("NAXIS2", height, "tiles"),
        ("PCOUNT", int(lengths.sum()), "bytes of compressed data"),
        ("GCOUNT", 1, ""),
        ("TFIELDS", 1, ""),
        ("TTYPE1", "COMPRESSED_DATA", ""),
        ("TFORM1", f"1PB({int(lengths.max())})", ""),
        ("ZIMAGE", True, "a compressed image"),
        ("ZTENSION", "IMAGE", ""),
        ("ZBITPIX", _BITPIX[quantised.dtype], ""),
        ("ZNAXIS", 2, ""),
        ("ZNAXIS1", width, ""),
        ("ZNAXIS2", height, ""),
        ("ZPCOUNT", 0, ""),
        ("ZGCOUNT", 1, ""),
        ("ZTILE1", width, ""),
        ("ZTILE2", 1, ""),
        ("ZCMPTYPE", "RICE_1", ""),
        ("ZNAME1", "BLOCKSIZE", ""),
        ("ZVAL1", _RICE_BLOCK, ""),
        ("ZNAME2", "BYTEPIX", ""),
        ("ZVAL2", size, ""),
        ("EXTNAME", name, ""),
    ]
    return _hdu(start, [*quantised.cards, *cards], [places.tobytes(), *tiles])


def _rice_tiles(rows: NDArray[np.floating], quantised: Quantised) -> list[bytes]:
    return [bytes(imagecodecs.rcomp_encode(row, nblock=_RICE_BLOCK)) for row in quantised.of(rows)]


def _plain(
    pixels: NDArray[np.floating],
    dtype: str,
    name: str,
    cards: Iterable[Card],
    converted: Callable[[np.ndarray], np.ndarray],
) -> Hdu:
    height, width = pixels.shape
    start = [
        ("XTENSION", "IMAGE", "image extension"),
        ("BITPIX", _BITPIX[dtype[1:]], ""),
        ("NAXIS", 2, ""),
        ("NAXIS1", width, ""),
        ("NAXIS2", height, ""),
        ("PCOUNT", 0, ""),
        ("GCOUNT", 1, ""),
        ("EXTNAME", name, ""),
    ]
    return _hdu(start, cards, [converted(band).astype(dtype).tobytes() for band in bands(pixels)])


def file_of(hdus: Iterable[Hdu]) -> bytes:
    """Bytes of a file."""
    return b"".join(part for hdu in hdus for part in hdu)


def bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """The image in bands of rows, so that what is made of it stays small."""
    for start in range(0, pixels.shape[0], _BAND_ROWS):
        yield pixels[start : start + _BAND_ROWS]


def _in_threads(work: Callable[[np.ndarray], Any], pixels: np.ndarray) -> Iterator[Any]:
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1), thread_name_prefix="rice") as pool:
        yield from pool.map(work, bands(pixels))


def _hdu(start: Sequence[Card], cards: Iterable[Card], pieces: Sequence[bytes]) -> Hdu:
    data = bytearray()
    for piece in pieces:
        data += piece
    data += b"\0" * (-len(data) % BLOCK_BYTES)
    datasum = _sum32(data)
    header = _header([*start, *cards])
    header.append(("CHECKSUM", "0" * 16, "of the HDU"), end=True)
    header.append(("DATASUM", str(datasum), "of the data"), end=True)
    header["CHECKSUM"] = encoded_checksum(_sum32(header.tostring().encode("ascii"), datasum))
    return header.tostring().encode("ascii"), data


def _header(cards: Iterable[Card]) -> Header:
    from astropy.io.fits import Header  # costs 0.2 s: only where it is needed

    header = Header()
    for key, value, comment in cards:
        if key in ("COMMENT", "HISTORY"):
            header.add_comment(value) if key == "COMMENT" else header.add_history(value)
        else:
            header.append((key, value, comment), end=True)
    return header


def _sum32(data: bytes | bytearray, before: int = 0) -> int:
    """Ones' complement sum of 32-bit words (FITS standard 4.0, appendix J)."""
    total = before
    for start in range(0, len(data), _SUM_BYTES):
        total += int(
            np.frombuffer(data, ">u4", min(_SUM_BYTES, len(data) - start) // 4, start).sum(dtype="u8")
        )
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encoded_checksum(total: int) -> str:
    """Sixteen letters and digits that bring an HDU's sum to nothing (FITS standard 4.0, appendix J.2)."""
    letters = [0] * 16
    for place, byte in enumerate((~total & 0xFFFFFFFF).to_bytes(4, "big")):
        four = [byte // 4 + 0x30] * 4
        four[0] += byte % 4
        while any(letter in _NO_LETTERS for letter in four):
            for first in (0, 2):
                if four[first] in _NO_LETTERS or four[first + 1] in _NO_LETTERS:
                    four[first] += 1
                    four[first + 1] -= 1
        letters[place::4] = four
    return bytes(letters[-1:] + letters[:-1]).decode("ascii")
