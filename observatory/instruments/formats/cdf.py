"""Films in NASA's Common Data Format, as the THEMIS all-sky cameras are archived.

A reader of what such files hold and no more (CDF Internal Format Description, version 3): one variable of
images and its times, in memory, every size and place checked before it is followed. Variables may be
compressed by gzip one by one; files compressed as a whole and those of version 2 are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from observatory.errors import TooLargeError, UnreadableFileError
from observatory.frame import RowOrder
from observatory.instruments.formats.container import Container, Limits

_WHOLE, _COMPRESSED = b"\x00\x00\xff\xff", b"\xcc\xcc\x00\x01"
_GDR, _VXR, _VVR, _ZVDR, _CVVR = 2, 6, 7, 8, 13
_MOST_VARIABLES, _MOST_BLOCKS, _MOST_ATTRIBUTES = 1000, 100_000, 1000
_LITTLE = (4, 6, 13, 16, 17)  # encodings of DEC, PC and Alpha; the others count big end first
_TYPES = {
    1: "i1", 2: "i2", 4: "i4", 8: "i8", 11: "u1", 12: "u2", 14: "u4",
    21: "f4", 22: "f8", 31: "f8", 33: "i8", 41: "i1", 44: "f4", 45: "f8",
}  # fmt: skip
_EPOCH, _TT2000 = 31, 33
_LEAST_SIDE = 8
_YEAR_0_S = 62_167_219_200.0  # from 0000-01-01 to 1970-01-01
_POSIX_ZERO = datetime(1970, 1, 1)  # noqa: DTZ001 - written without a zone
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_TT_MINUS_TAI_S = 32.184
_POSIX = (1e8, 4.2e9)


@dataclass(frozen=True)
class _Variable:
    name: str
    number: int
    data_type: int
    records: int
    sides: tuple[int, ...]
    index_at: int
    is_varying: bool

    @property
    def record_bytes(self) -> int:
        return int(np.prod([1, *self.sides], dtype=object)) * np.dtype(_TYPES[self.data_type]).itemsize


@dataclass(frozen=True)
class _Block:
    """Records that lie together."""

    first: int
    last: int
    at: int


class CdfContainer(Container):
    """The images of a CDF file; `fault` tells of those that a truncated file has lost."""

    row_order = RowOrder.TOP

    def __init__(self, data: bytes, limits: Limits) -> None:
        if data[4:8] == _COMPRESSED:
            raise UnreadableFileError("a CDF file that is compressed as a whole: unpack it (cdfconvert)")
        if data[:4] != b"\xcd\xf3\x00\x01" or data[4:8] != _WHOLE:
            raise UnreadableFileError("a CDF file of another version than 3: convert it (cdfconvert)")
        self._data = data
        encoding, flags = self._ints(36, "ii")
        self._order = "<" if encoding in _LITTLE else ">"
        self._is_by_rows = bool(flags & 1)
        (directory,) = self._ints(20, "q")
        self._expect(directory, _GDR)
        variables = list(self._variables(*self._ints(directory + 20, "q")))
        self._images = _images(variables)
        self.count, (self._height, self._width) = self._images.records, self._images.sides[:2]
        limits.check_pixels(self._height * self._width)
        if self.count > limits.max_images:
            raise TooLargeError("the number of images", self.count, limits.max_images)
        self._blocks = list(self._blocks_of(self._images.index_at))
        (end,) = self._ints(directory + 36, "q")
        self.is_cut = end > len(data)
        self._times = self._read_times(variables)
        self._facts = self._read_facts(*self._ints(directory + 28, "q"))
        if all(self.fault(index) for index in range(self.count)):
            raise UnreadableFileError("the CDF file is truncated before its first image")

    # -- records ----------------------------------------------------------------------------

    def _ints(self, at: int, form: str) -> tuple[int, ...]:
        size = struct.calcsize(f">{form}")
        if not 0 <= at <= len(self._data) - size:
            raise UnreadableFileError("the CDF file is truncated, or a place in it lies beyond its end")
        return struct.unpack_from(f">{form}", self._data, at)

    def _expect(self, at: int, kind: int) -> None:
        (found,) = self._ints(at + 8, "i")
        if found != kind:
            raise UnreadableFileError(f"the CDF file is damaged: a record of kind {found} stands for {kind}")

    def _text(self, at: int, length: int) -> str:
        return self._data[at : at + length].split(b"\0")[0].decode("latin-1").strip()

    def _variables(self, at: int) -> Iterator[_Variable]:
        for _ in range(_MOST_VARIABLES):
            if not at:
                return
            self._expect(at, _ZVDR)
            following, data_type, last, index_at = self._ints(at + 12, "qiiq")
            (flags,) = self._ints(at + 44, "i")
            (number,) = self._ints(at + 68, "i")
            (axes,) = self._ints(at + 340, "i")
            if not 0 <= axes <= 10:
                raise UnreadableFileError(f"a variable of {axes} axes in the CDF file")
            sizes, varies = self._ints(at + 344, f"{axes}i"), self._ints(at + 344 + 4 * axes, f"{axes}i")
            sides = tuple(size for size, does in zip(sizes, varies, strict=True) if does)
            if data_type in _TYPES and last >= 0 and min(sides, default=1) > 0:
                name = self._text(at + 84, 256)
                yield _Variable(name, number, data_type, last + 1, sides, index_at, bool(flags & 1))
            at = following

    def _blocks_of(self, at: int, depth: int = 0) -> Iterator[_Block]:
        """Blocks in the order of their records; an index may lead to further ones."""
        if depth > 8:
            raise UnreadableFileError("the CDF file is damaged: its index leads in a circle")
        seen = 0
        while at:
            self._expect(at, _VXR)
            following, room, used = self._ints(at + 12, "qii")
            if not 0 <= used <= room:
                raise UnreadableFileError("the CDF file is damaged: its index claims more than it holds")
            first, last = self._ints(at + 28, f"{used}i"), self._ints(at + 28 + 4 * room, f"{used}i")
            places = self._ints(at + 28 + 8 * room, f"{used}q")
            for begin, end, place in zip(first, last, places, strict=True):
                if 0 <= place <= len(self._data) - 12 and self._ints(place + 8, "i") == (_VXR,):
                    yield from self._blocks_of(place, depth + 1)
                else:
                    yield _Block(begin, end, place)
            seen += max(used, 1)
            if seen > _MOST_BLOCKS:
                raise UnreadableFileError("the CDF file is damaged: its index has no end")
            at = following

    def _record(self, variable: _Variable, blocks: list[_Block], index: int) -> bytes:
        """Bytes of one record.

        Raises
        ------
        UnreadableFileError
            When they are not in the file.
        """
        length = variable.record_bytes
        for block in blocks:
            if not block.first <= index <= block.last:
                continue
            size, kind = self._ints(block.at, "qi")
            begin, wanted = (index - block.first) * length, (block.last - block.first + 1) * length
            if kind == _VVR:
                begin += block.at + 12
                if begin + length <= min(len(self._data), block.at + size):
                    return self._data[begin : begin + length]
            elif kind == _CVVR:
                (packed,) = self._ints(block.at + 16, "q")
                unpacked = _unpacked(self._data[block.at + 24 : block.at + 24 + max(packed, 0)], wanted)
                if begin + length <= len(unpacked):
                    return unpacked[begin : begin + length]
            break
        raise UnreadableFileError(f"the CDF file is truncated in image {index}")

    def _values(self, variable: _Variable, blocks: list[_Block], index: int) -> np.ndarray:
        dtype = np.dtype(self._order + _TYPES[variable.data_type])
        values = np.frombuffer(self._record(variable, blocks, index), dtype)
        sides = variable.sides if self._is_by_rows else variable.sides[::-1]
        values = values.reshape(sides) if self._is_by_rows else values.reshape(sides).T
        return np.ascontiguousarray(values, dtype.newbyteorder("="))

    # -- what is asked ----------------------------------------------------------------------

    def _read_times(self, variables: list[_Variable]) -> list[str | None]:
        """Times of the images, from the variable that tells them: CDF's own kinds first, then seconds."""

        def rank(variable: _Variable) -> tuple[bool, bool, bool]:
            is_own = variable.data_type in (_EPOCH, _TT2000)
            return not variable.name.startswith(self._images.name), not is_own, "end" in variable.name.lower()

        fitting = [
            variable
            for variable in variables
            if not variable.sides
            and variable.is_varying
            and variable.records == self.count
            and (variable.data_type in (_EPOCH, _TT2000) or "time" in variable.name.lower())
        ]
        if not fitting:
            return [None] * self.count
        variable = min(fitting, key=rank)
        blocks = list(self._blocks_of(variable.index_at))
        found: list[str | None] = []
        for index in range(self.count):
            try:
                value = self._values(variable, blocks, index).ravel()[0]
                found.append(_iso(float(value), variable.data_type))
            except (UnreadableFileError, OverflowError, ValueError):
                found.append(None)
        return found

    def _read_facts(self, at: int) -> dict[str, str]:
        """Attributes of the file that are texts, by name in capitals."""
        found: dict[str, str] = {}
        for _ in range(_MOST_ATTRIBUTES):
            if not at:
                break
            following, entry, scope = self._ints(at + 12, "qqi")
            if scope in (1, 3) and entry:
                data_type, _, length = self._ints(entry + 24, "iii")
                if data_type in (51, 52) and 0 < length < 4096:
                    found[self._text(at + 68, 256).upper()] = self._text(entry + 56, length)
            at = following
        return found

    def header(self, index: int = 0) -> Mapping[str, Any]:
        site, _, name = self._facts.get("DESCRIPTOR", "").partition(">")
        known = {
            "DATE-OBS": self._times[index],
            "PROJECT UNIQUE ID": self._facts.get("PROJECT"),
            "SITE UNIQUE ID": site.lower(),
            "SITE NAME": name,
            "LOGICAL_SOURCE": self._facts.get("LOGICAL_SOURCE"),
        }
        return {key: value for key, value in known.items() if value}

    def shape(self, index: int = 0) -> tuple[int, int]:
        return self._height, self._width

    def fault(self, index: int = 0) -> str | None:
        block = next((one for one in self._blocks if one.first <= index <= one.last), None)
        if block is None:
            return f"the CDF file holds no image {index}, though it claims to"
        if not 0 <= block.at <= len(self._data) - 24:
            return f"the CDF file is truncated in image {index}"
        size, kind = self._ints(block.at, "qi")
        begin = block.at + 12 + (index - block.first) * self._images.record_bytes
        end = block.at + size if kind == _CVVR else begin + self._images.record_bytes
        return f"the CDF file is truncated in image {index}" if end > len(self._data) else None

    def pixels(self, index: int = 0) -> np.ndarray:
        return self._values(self._images, self._blocks, index)


def _images(variables: list[_Variable]) -> _Variable:
    """The variable that holds the images: the one with the most pixels."""
    found = [
        variable
        for variable in variables
        if variable.is_varying
        and len(variable.sides) in (2, 3)
        and min(variable.sides[:2]) >= _LEAST_SIDE
        and variable.sides[2:] in ((), (3,))
    ]
    if not found:
        names = ", ".join(variable.name for variable in variables[:8])
        raise UnreadableFileError(f"the CDF file holds no images: its variables are {names or 'none'}")
    return max(found, key=lambda variable: variable.record_bytes)


def _unpacked(packed: bytes, length: int) -> bytes:
    try:
        return bytes(isal_zlib.decompressobj(wbits=31).decompress(packed, length))
    except IsalError as error:  # type: ignore[misc]
        raise UnreadableFileError(f"the CDF file's compressed data are damaged: {error}") from error


def _iso(value: float, data_type: int) -> str | None:
    """A time as ISO 8601, UTC; None for fill values and what is no time."""
    if data_type == _TT2000:
        time = _J2000 + timedelta(seconds=value / 1e9 - _TT_MINUS_TAI_S)
        return f"{time.isoformat()}_TAI" if 1970 <= time.year < 2100 else None
    elapsed_ms = value - _YEAR_0_S * 1e3 if data_type == _EPOCH else value * 1e3
    if not _POSIX[0] * 1e3 < elapsed_ms < _POSIX[1] * 1e3:
        return None
    return (_POSIX_ZERO + timedelta(milliseconds=elapsed_ms)).isoformat()
