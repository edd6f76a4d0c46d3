"""gzip and bzip2: unpacked in pieces up to a limit, their checksums verified."""

from __future__ import annotations

import bz2
from collections.abc import Callable
from typing import Any, Protocol

from isal import isal_zlib
from isal.igzip_lib import IsalError

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.instruments.formats.container import Limits

_PIECE = 1 << 20
_MAX_GZIP_MEMBERS = 1000
_LOOKED_AT = 1 << 14
_ENOUGH = 16  # bytes that tell a format


class CutError(UnreadableFileError):
    """The packed bytes end too early.

    Attributes
    ----------
    unpacked : bytes
        What was unpacked until then, its checksum not verified.
    """

    def __init__(self, name: str, unpacked: bytes) -> None:
        super().__init__(f"the {name} file is truncated")
        self.unpacked = unpacked


Look = Callable[[bytes], object]
"""Raises when the first unpacked bytes, 16 of them or more, are none that anybody wants."""


def unpack(data: bytes, limits: Limits, look: Look | None = None) -> bytes:
    """Undo gzip or bzip2 up to the limit, verifying the checksums; other bytes pass through.

    Parameters
    ----------
    look : callable or None
        Looks at the beginning before the rest is unpacked: a gigabyte of zeros is packed in one
        megabyte. Not asked about less than 16 bytes.

    Raises
    ------
    CutError
        When the bytes end too early.
    UnreadableFileError
        When they are damaged.
    TooLargeError
    """
    if data[:2] == b"\x1f\x8b":
        return _unpack(data, _gzip, b"\x1f\x8b", "gzip", limits, look)
    if data[:3] == b"BZh":
        return _unpack(data, bz2.BZ2Decompressor, b"BZh", "bzip2", limits, look)
    return data


def _gzip() -> Any:
    return isal_zlib.decompressobj(wbits=31)


class _Decompressor(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _beginning(data: bytes, name: str) -> bytes:
    """What the first packed bytes of gzip unpack to; nothing where that does not tell."""
    if name != "gzip":
        return b""
    try:
        return bytes(_gzip().decompress(data[:_LOOKED_AT], _LOOKED_AT))
    except IsalError:  # type: ignore[misc]
        return b""


def _unpack(
    data: bytes, new: Callable[[], Any], magic: bytes, name: str, limits: Limits, look: Look | None
) -> bytes:
    if look is not None and len(beginning := _beginning(data, name)) >= _ENOUGH:
        look(beginning)
        look = None
    pieces: list[bytes] = []
    total = 0
    rest = data
    # With the right length at once the decompressor need not grow its buffer: a quarter of the time.
    noted = int.from_bytes(data[-4:], "little") if name == "gzip" else 0
    max_piece = noted if look is None and 0 < noted <= limits.max_unpacked_bytes else _PIECE * 16
    members = 0
    while rest.startswith(magic):
        members += 1
        if members > _MAX_GZIP_MEMBERS:
            raise UnreadableFileError(f"the {name} file has more than {_MAX_GZIP_MEMBERS} members")
        member: _Decompressor = new()
        while not member.eof:
            most = min(max_piece, limits.max_unpacked_bytes - total + 1)
            try:
                piece = member.decompress(rest, most)
            except (OSError, ValueError, EOFError, IsalError) as error:  # type: ignore[misc]
                raise UnreadableFileError(f"the {name} data is damaged: {error}") from error
            rest = getattr(member, "unconsumed_tail", b"")
            total += len(piece)
            if total > limits.max_unpacked_bytes:
                raise TooLargeError(
                    f"the {name} file's unpacked size in bytes", total, limits.max_unpacked_bytes
                )
            if not piece and not member.eof and not rest:
                raise CutError(name, b"".join(pieces))
            pieces.append(piece)
            if look is not None and total >= _ENOUGH:
                look(b"".join(pieces))
                look = None
        rest = member.unused_data
    if rest.strip(b"\0"):
        raise UnreadableFileError(f"{len(rest)} bytes of something else follow the {name} data")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
