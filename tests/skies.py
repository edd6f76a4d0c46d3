"""All-sky files for tests, made here: films, archives, archives of archives, and broken ones."""

from __future__ import annotations

import io
import struct
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from observatory.camera import Camera, Stations
from observatory.instruments import Limits, Opened, open_bytes
from tests.making import pgm_bytes

LIMITS = Limits()
FILM = "20140310_0600_gill_themis19_full.pgm"


def opened(data: bytes, name: str = FILM, camera: Camera | None = None) -> Opened:
    """A file as it would be opened, under some camera's settings."""
    stations = None if camera is None else Stations({"cam": "allsky"}, {"cam": camera})
    return open_bytes(data, name, LIMITS, instrument="cam" if camera else None, stations=stations)


def usable(film: Opened) -> list[int]:
    """Numbers of the images that are not known to be broken."""
    return [index for index in range(film.count) if film.container.fault(index) is None]


def sky_picture(width: int = 96, height: int = 96, *, seed: int = 1, depth: int = 16) -> np.ndarray:
    """A round sky, brighter than what is around it, with noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(columns - width / 2 + 0.5, rows - height / 2 + 0.5) / (0.46 * min(width, height))
    shown = np.where(distance < 1.0, 120.0 + 40.0 * distance, 8.0) + random.normal(0.0, 2.0, rows.shape)
    shown = np.clip(shown, 0, 255)
    return shown.astype(np.uint8) if depth == 8 else (shown * 100).astype(np.uint16)


def behind(mosaic: str, picture: np.ndarray) -> np.ndarray:
    """What a detector sees of a picture in colours, whose filters are named from its upper left corner."""
    seen = np.empty(picture.shape[:2], picture.dtype)
    for y in (0, 1):
        for x in (0, 1):
            seen[y::2, x::2] = picture[y::2, x::2, "RGB".index(mosaic[2 * y + x])]
    return seen


def film_facts(number: int, minute: str = "2014-03-10 06:00") -> dict[str, str]:
    """Comments of one image of a THEMIS film; the camera is described in the first one alone."""
    camera = {
        "Project unique ID": "THEMIS",
        "Site unique ID": "gill",
        "Site name": "Gillam",
        "Geodetic latitude": "56.3539",
        "Geodetic Longitude": "-94.6557",
        "Pixel aspect ratio": "0.5181",
    }
    own = {
        "Exposure options": "WIDTH=512 HEIGHT=256 XBIN=2 YBIN=1 XOFFSET=126 YOFFSET=22 MSEC=999",
        "Image request start": f"{minute}:{3 * number:02d}.000000 UTC",
    }
    return (camera if number == 0 else {}) | own


def film_parts(count: int = 20) -> list[bytes]:
    """Images of a film, one by one, with their heads."""
    return [pgm_bytes([sky_picture(seed=n)], [film_facts(n)]) for n in range(count)]


def tar_bytes(members: Mapping[str, bytes | None], *, links: Mapping[str, str] | None = None) -> bytes:
    """A tar archive; a member of None is a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            if data is None:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


def png_bytes(pixels: np.ndarray, texts: Mapping[str, str] | None = None) -> bytes:
    """A PNG with text chunks."""
    told = PngImagePlugin.PngInfo()
    for key, value in (texts or {}).items():
        told.add_text(key, value)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=told)
    return buffer.getvalue()


def jpeg_bytes(pixels: np.ndarray, exif: Mapping[int, str] | None = None) -> bytes:
    """A JPEG with EXIF tags of the exposure (36867 is the time, 36881 its offset)."""
    tags = Image.Exif()
    tags.get_ifd(0x8769).update(dict(exif or {}))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=tags)
    return buffer.getvalue()


def npz_bytes(**arrays: np.ndarray) -> bytes:
    """An .npz archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def hdf5_bytes(
    images: np.ndarray,
    times: Sequence[str],
    *,
    facts: Mapping[str, str] | None = None,
    libver: str = "earliest",
    **storage: Any,
) -> bytes:
    """A film of shape (height, width, channels, n) as TREx's colour cameras write them."""
    import h5py  # type: ignore[import-untyped]

    known = {"project_unique_id": "trex", "imager_unique_id": "rgb-09", "site_unique_id": "gill"}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=libver) as file:
        file.create_dataset("data/images", data=images, **storage)
        file["data/timestamp"] = np.array(times, dtype="S30")
        file.create_group("metadata/file").attrs.update(known | dict(facts or {}))
        for number, time in enumerate(times):
            frame = file.create_dataset(f"metadata/frame/frame{number}", data=np.zeros(1, np.uint8))
            frame.attrs["image_request_start_timestamp"] = time
            frame.attrs["subframe_requested_exposure"] = "43.000 ms"
    return buffer.getvalue()


def cdf_bytes(images: np.ndarray, epochs_ms: np.ndarray, *, is_compressed: bool = False) -> bytes:
    """A CDF file of version 3 with a variable of images and one of times, in one block each."""
    import zlib

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack(">qi", len(body) + 12, kind) + body

    def text(word: str) -> bytes:
        return word.encode().ljust(256, b"\0")

    def packed(values: np.ndarray) -> bytes:
        raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
        if not is_compressed:
            return record(7, raw)
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        data = packer.compress(raw) + packer.flush()
        return record(13, struct.pack(">iq", 0, len(data)) + data)

    count, height, width = images.shape
    head = b"\xcd\xf3\x00\x01\x00\x00\xff\xff"
    cdr_size, gdr_size = 12 + 44 + 256, 12 + 72
    gdr_at = len(head) + cdr_size
    variable_at = gdr_at + gdr_size
    parts, at, places = [], variable_at, []
    for name, values, code, sides in (
        ("thg_asf_gako", images.astype(np.uint16), 12, (height, width)),
        ("thg_asf_gako_epoch", epochs_ms.astype(np.float64), 31, ()),
    ):
        size = 12 + 72 + 256 + 4 + 8 * len(sides)
        index_at = at + size
        block_at = index_at + 28 + 16
        places.append(at)
        block = packed(values)
        following = block_at + len(block) if name == "thg_asf_gako" else 0
        numbers = (following, code, count - 1, index_at, index_at, 1, 0, 0, 0, 0, 1, len(places) - 1, 0, 1)
        body = struct.pack(">qiiqqiiiiiiiqi", *numbers) + text(name)
        body += struct.pack(f">i{2 * len(sides)}i", len(sides), *sides, *[-1] * len(sides))
        index = record(6, struct.pack(">qiiiiq", 0, 1, 1, 0, count - 1, block_at))
        parts += [record(8, body), index, block]
        at = block_at + len(block)
    cdr = record(1, struct.pack(">qiiiiiiiii", gdr_at, 3, 6, 6, 3, 0, 0, 1, 0, 0) + b"\0" * 256)
    gdr = record(2, struct.pack(">qqqqiiiiiqiii", 0, variable_at, 0, at, 0, 0, 0, 0, 2, 0, 0, 0, 0))
    return head + cdr + gdr + b"".join(parts)
