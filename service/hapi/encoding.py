"""Records as csv, binary and json, a chunk at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from observatory.storage.series import Column, Kind
from service.hapi.documents import FILLS
from service.hapi.times import LENGTH, write_time

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "binary": "application/octet-stream",
    "json": "application/json",
}
_Chunk = Sequence[tuple[Any, ...]]
_NAN = float(FILLS[Kind.DOUBLE])
_NO_INTEGER = int(FILLS[Kind.INTEGER])


def encoded(
    form: str, head: Mapping[str, Any] | None, columns: Sequence[Column], chunks: Iterable[_Chunk]
) -> Iterator[bytes]:
    """Write records in one of the formats.

    Parameters
    ----------
    form : str
        csv, binary or json.
    head : Mapping or None
        What comes before the data; json always has it.
    """
    if form == "json":
        yield from _json(head or {}, columns, chunks)
        return
    if head is not None:
        lines = orjson.dumps(head, option=orjson.OPT_INDENT_2).splitlines()
        yield b"".join(b"#" + line + b"\n" for line in lines)
    write = _csv(columns) if form == "csv" else _binary(columns)
    for chunk in chunks:
        yield write(chunk)


def _csv(columns: Sequence[Column]) -> Callable[[_Chunk], bytes]:
    writers = [_CSV_WRITERS[column.kind] for column in columns]

    def write(chunk: _Chunk) -> bytes:
        lines = []
        for moment, *values in chunk:
            words = [write(value) for write, value in zip(writers, values, strict=True)]
            lines.append(",".join([write_time(moment), *words]))
        return ("\n".join(lines) + "\n").encode()

    return write


def _quoted(value: str | None) -> str:
    word = FILLS[Kind.STRING] if value is None else value
    if not any(mark in word for mark in ',"\r\n'):
        return word
    return '"' + word.replace('"', '""') + '"'


_CSV_WRITERS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.DOUBLE: lambda value: FILLS[Kind.DOUBLE] if value is None else repr(float(value)),
    Kind.INTEGER: lambda value: FILLS[Kind.INTEGER] if value is None else str(int(value)),
    Kind.STRING: _quoted,
}


def _binary(columns: Sequence[Column]) -> Callable[[_Chunk], bytes]:
    """One record after the other, little-endian, strings padded with zeros."""
    shapes = [_shape(column) for column in columns]
    pack = struct.Struct(f"<{LENGTH}s" + "".join(code for code, _ in shapes)).pack
    writers = [write for _, write in shapes]

    def write(chunk: _Chunk) -> bytes:
        return b"".join(
            pack(
                write_time(moment).encode(),
                *(write(value) for write, value in zip(writers, values, strict=True)),
            )
            for moment, *values in chunk
        )

    return write


def _shape(column: Column) -> tuple[str, Callable[[Any], Any]]:
    if column.kind is Kind.DOUBLE:
        return "d", lambda value: _NAN if value is None else float(value)
    if column.kind is Kind.INTEGER:
        return "i", lambda value: _NO_INTEGER if value is None else int(value)
    length = column.length or 0
    return f"{length}s", lambda value: _cut(FILLS[Kind.STRING] if value is None else value, length)


def _cut(word: str, length: int) -> bytes:
    """At most so many bytes, and no half letter at the end."""
    return word.encode()[:length].decode(errors="ignore").encode()


def _json(head: Mapping[str, Any], columns: Sequence[Column], chunks: Iterable[_Chunk]) -> Iterator[bytes]:
    writers = [_JSON_WRITERS[column.kind] for column in columns]
    yield orjson.dumps(head)[:-1] + b',"data":['
    separator = b"\n"
    for chunk in chunks:
        records = (
            orjson.dumps(
                [write_time(moment), *(write(value) for write, value in zip(writers, values, strict=True))]
            )
            for moment, *values in chunk
        )
        yield separator + b",\n".join(records)
        separator = b",\n"
    yield b"\n]}\n"


_JSON_WRITERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DOUBLE: lambda value: None if value is None else float(value),  # JSON has no NaN
    Kind.INTEGER: lambda value: _NO_INTEGER if value is None else int(value),
    Kind.STRING: lambda value: FILLS[Kind.STRING] if value is None else value,
}
