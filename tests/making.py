"""Files made for tests: whole ones of every format we read, and broken ones of every kind."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from PIL import Image

from models.simulate.halpha import HalphaSun, HalphaTelescope, SimulatedFrame
from models.simulate.kso_fits import write_kso_fits

NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)
KSO_CARDS = {
    "OBS_TYPE": "HALPH",
    "TELESCOP": "KHPI",
    "ORIGIN": "Kanzelhoehe Observatory",
    "DATE-OBS": "2024-05-08T12:00:00.000",
}


@cache
def _sun(size_px: int) -> tuple[HalphaSun, HalphaTelescope]:
    return HalphaSun(3, detail=256), HalphaTelescope(size_px=size_px)


@cache
def sun(number: int = 0, size_px: int = 256) -> SimulatedFrame:
    """A simulated H-alpha Sun; every number has its own noise and therefore its own bytes."""
    body, telescope = _sun(size_px)
    return body.frame(NOON, telescope, noise_seed=number)


def kso_frame(path: Path, number: int = 0, size_px: int = 256) -> Path:
    """A good KSO-style frame, written under a temporary name and renamed."""
    taken = sun(number, size_px)
    return write_kso_fits(path, taken.pixels, NOON + timedelta(seconds=6 * number), taken.pointing)


def kso_bytes(number: int = 0, size_px: int = 256) -> bytes:
    """A good KSO-style frame, gzipped."""
    return gzip.compress(fits_bytes(sun(number, size_px).pixels, KSO_CARDS | {"FRAMENO": number}), 1, mtime=0)


def fits_bytes(data: np.ndarray | None, cards: dict[str, Any] | None = None) -> bytes:
    """A FITS file as astropy writes it."""
    hdu = fits.PrimaryHDU(data)
    for key, value in (cards or {}).items():
        hdu.header[key] = value
    return _written([hdu])


def tiled_fits_bytes(data: np.ndarray, cards: dict[str, Any] | None = None, **options: Any) -> bytes:
    """A tile-compressed FITS file (``.fits.fz``)."""
    hdu = fits.CompImageHDU(data, **options)
    for key, value in (cards or {}).items():
        hdu.header[key] = value
    return _written([fits.PrimaryHDU(), hdu])


def _written(hdus: list[Any]) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer)
    return buffer.getvalue()


def raw_fits(cards: dict[str, Any], data: bytes = b"") -> bytes:
    """A FITS file with any header at all, however absurd."""
    lines = []
    for key, value in cards.items():
        word = f"'{value}'" if isinstance(value, str) else str(value)
        if isinstance(value, bool):
            word = "T" if value else "F"
        lines.append(f"{key:<8}= {word:>20}".ljust(80))
    text = "".join([*lines, "END".ljust(80)])
    block = text.ljust(-(-len(text) // 2880) * 2880).encode("latin-1")
    return block + data + b"\0" * (-len(data) % 2880)


def claim(**cards: Any) -> bytes:
    """A FITS header that claims something, over a single block of data."""
    return raw_fits({"SIMPLE": True, "BITPIX": 16, **cards, "OBS_TYPE": "HALPH"}, b"\0" * 2880)


def with_card(data: bytes, key: str, value: str) -> bytes:
    """The same FITS bytes with the value of one card replaced, unchecked."""
    at = data.index(f"{key:<8}=".encode())
    return data[:at] + f"{key:<8}= {value:>20}".ljust(80).encode() + data[at + 80 :]


def picture_bytes(pixels: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """A picture as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def sun_picture(form: str = "PNG", number: int = 0, size_px: int = 256) -> bytes:
    """An 8-bit picture of the disk, row 0 at the top."""
    pixels = sun(number, size_px).pixels[::-1]
    return picture_bytes((np.clip(pixels, 0, 4095) // 16).astype(np.uint8), form)


def png_claim(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def png_bomb(side: int) -> bytes:
    """A true PNG of ``side`` squared black pixels: small on disk, large in memory."""
    packer = zlib.compressobj(1)
    row = b"\0" * (side + 1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    whole = png_claim(side, side)
    at = whole.index(b"IDAT") - 4
    body = b"IDAT" + packed
    chunk = struct.pack(">I", len(packed)) + body + struct.pack(">I", zlib.crc32(body))
    return whole[:at] + chunk + whole[whole.index(b"IEND") - 4 :]


@cache
def gzip_bomb(unpacked: int = 2 << 30, beginning: bytes = b"") -> bytes:
    """Two gigabytes of zeros in two megabytes (one piece, packed once and repeated)."""
    piece = 16 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"\0" * piece) + packer.flush(zlib.Z_FULL_FLUSH)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    if beginning:
        first = zlib.compressobj(9, zlib.DEFLATED, -15)
        head += first.compress(beginning) + first.flush(zlib.Z_FULL_FLUSH)
    return head + packed * (unpacked // piece) + b"\x03\0" + struct.pack("<II", 0, unpacked & 0xFFFFFFFF)


def wrong_crc(packed: bytes) -> bytes:
    """A gzip file whose checksum does not fit its data."""
    return packed[:-8] + bytes(byte ^ 0xFF for byte in packed[-8:-4]) + packed[-4:]


def pgm_bytes(frames: list[np.ndarray], facts: list[dict[str, str]] | None = None) -> bytes:
    """A film of binary PGM images, as the THEMIS cameras write them."""
    whole = b""
    for number, frame in enumerate(frames):
        comments = "".join(f'#"{key}" {value}\n' for key, value in (facts[number] if facts else {}).items())
        peak = 255 if frame.dtype == np.uint8 else 65535
        whole += f"P5\n{comments}{frame.shape[1]} {frame.shape[0]}\n{peak}\n".encode()
        whole += frame.astype("u1" if peak == 255 else ">u2").tobytes()
    return whole


def drop(path: Path, data: bytes) -> Path:
    """Write a file as a camera should: under a temporary name, then renamed."""
    temporary = path.with_name(f".{path.name[:40]}.part")
    temporary.write_bytes(data)
    temporary.rename(path)
    return path
