"""File formats: bytes in, headers and pixels out, within limits.

Nothing here knows an instrument. A file is read once, whole, never memory-mapped (a file
truncated under a map kills the process); packed files are unpacked in pieces up to a limit
and their checksums are verified. Sizes that a header claims are checked before memory is
taken for them. Whatever a decoder raises on broken bytes leaves here as `UnreadableFileError`.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable
from pathlib import Path

from isal import isal_zlib
from isal.igzip_lib import IsalError

from observatory.errors import (
    HeliowatchError,
    StorageUnavailableError,
    TooLargeError,
    UnreadableFileError,
    VanishedFileError,
)
from observatory.instruments.formats.cdf import CdfContainer
from observatory.instruments.formats.container import Container, Limits, guarded
from observatory.instruments.formats.fits import FitsContainer, images_of
from observatory.instruments.formats.fits_film import first_of, open_fits
from observatory.instruments.formats.npz import NpzContainer
from observatory.instruments.formats.packing import CutError, unpack
from observatory.instruments.formats.pgm import PgmContainer
from observatory.instruments.formats.pictures import PictureContainer
from observatory.instruments.formats.tar import TarContainer
from observatory.instruments.formats.tiff import open_tiff

__all__ = ["Container", "Limits", "file_error", "open_container", "read_bytes", "unpack"]

_NOT_TO_BE_HAD = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}
_LEAST_GZIP = 18  # bytes of an empty gzip member
_PEEKS = ((1 << 14, 1 << 14), (1 << 16, 1 << 17))  # bytes packed and unpacked: most headers are short


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
        if path.is_dir():
            raise VanishedFileError(path.name, "it is a folder; name the files in it")
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
    try:
        data = unpack(data, limits, look=_opener)
    except CutError as error:
        return _film_of_what_is_left(error, limits)
    if not data:
        raise UnreadableFileError("the file is empty")
    return guarded(_opener(data), data, limits)


def _film_of_what_is_left(error: CutError, limits: Limits) -> Container:
    """The whole images of a film that was cut off inside its gzip or bzip2; any other file is refused."""
    if not error.unpacked.startswith(b"P5"):
        raise error
    film: Container
    try:
        film = guarded(PgmContainer, error.unpacked, limits)
    except UnreadableFileError:
        raise error from None
    film.is_cut = True
    return film


def _opener(data: bytes) -> Callable[[bytes, Limits], Container]:
    for magic, opener in _OPENERS:
        if magic.match(data):
            return opener
    raise UnreadableFileError(
        "the format is not recognised: FITS, PNG, JPEG, JPEG 2000, TIFF, PGM, npz, CDF, HDF5 and tar of these "
        "pictures are read, also inside gzip or bzip2"
    )


def _member(data: bytes, limits: Limits) -> Container:
    """Open one member of an archive: a picture or FITS file that is not packed again."""
    for magic, opener in _OPENERS[:_PICTURES]:
        if magic.match(data):
            return opener(data, limits)
    raise UnreadableFileError(
        "the format is not recognised: of an archive, plain FITS, PNG, JPEG, TIFF and PGM are read"
    )


def _archive(data: bytes, limits: Limits) -> Container:
    return TarContainer(data, limits, _member)


def _hdf5(data: bytes, limits: Limits) -> Container:
    from observatory.instruments.formats.hdf5 import Hdf5Container  # costs a tenth of a second that few need

    return Hdf5Container(data, limits)


def _peek_gzipped_fits(data: bytes, limits: Limits) -> FitsContainer | None:
    """Open a gzipped FITS file by its head and its noted length; None when that is not enough."""
    if data[:2] != b"\x1f\x8b" or len(data) < _LEAST_GZIP:
        return None
    length = int.from_bytes(data[-4:], "little")  # RFC 1952: modulo 2**32, of the last member
    for packed, unpacked in _PEEKS:
        try:
            head = isal_zlib.decompressobj(wbits=31).decompress(data[:packed], unpacked)
        except IsalError:  # type: ignore[misc]
            return None
        if not head.startswith(b"SIMPLE  =") or length > limits.max_unpacked_bytes:
            return None
        with contextlib.suppress(UnreadableFileError):
            image = first_of(images_of(head, length))
            return FitsContainer(head, limits, image) if image.end >= length else None  # a film, perhaps
    return None  # several members, a header that goes on, or a truncated file: unpack and see


_OPENERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes, Limits], Container]], ...] = (
    (re.compile(rb"SIMPLE  ="), open_fits),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PictureContainer),
    (re.compile(rb"\xff\xd8\xff"), PictureContainer),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), PictureContainer),
    (re.compile(rb"II[*+]\x00|MM\x00\*"), open_tiff),
    (re.compile(rb"P5\s"), PgmContainer),
    (re.compile(rb"PK\x03\x04"), NpzContainer),
    (re.compile(rb"\xcd\xf3\x00\x01|\xcd\xf2\x60\x02"), CdfContainer),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), _hdf5),
    (re.compile(rb"(?s).{257}ustar"), _archive),
)
_PICTURES = 6  # of them may be members of an archive
