"""Parquet in constant memory: row groups, each written as soon as it is full."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from service.tables import Table

_GROUP_ROWS = 10_000
_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}


class _Outlet(io.RawIOBase):
    """Where the writer writes; what it has written is taken away at once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        """What was written since the last time."""
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole


def parquet_pieces(table: Table) -> Iterator[bytes]:
    """Write a table, its columns described in their metadata."""
    schema = pa.schema(
        [
            pa.field(column.name, _TYPES[column.kind], metadata=_metadata(column.description, column.unit))
            for column in table.columns
        ]
    )
    outlet = _Outlet()
    with pq.ParquetWriter(pa.PythonFile(outlet, mode="w"), schema) as writer:
        waiting: list[Sequence[Any]] = []
        for rows in table.pieces:
            waiting.extend(rows)
            if len(waiting) >= _GROUP_ROWS:
                writer.write_batch(_batch(waiting, schema))
                waiting = []
                yield outlet.take()
        if waiting:
            writer.write_batch(_batch(waiting, schema))
    yield outlet.take()


def _metadata(description: str, unit: str) -> dict[str, str]:
    return {"description": description} | ({"unit": unit} if unit else {})


def _batch(rows: list[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.array(values, type=field.type)
        for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)
