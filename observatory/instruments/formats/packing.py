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
