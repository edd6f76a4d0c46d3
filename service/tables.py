"""Lists as tables: CSV, VOTable and Parquet, written piece by piece while they are read."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi.responses import Response, StreamingResponse

from service.formats import MEDIA_TYPES, iso_z

Kind = Literal["text", "integer", "number", "boolean", "time"]
Rows = Sequence[Sequence[Any]]
_Key = TypeVar("_Key")
_Piece = TypeVar("_Piece")
_Cell = Callable[[Any], Any]

TRUNCATED = "Heliowatch-Truncated"
"""Header, ``true``, of a table that ends before all that was asked for: CSV and Parquet have no place to say so."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    unit : str
        As VOUnits writes it; empty for none.
    ucd : str
        IVOA's word for what it is.
    """

    name: str
    kind: Kind
    description: str = ""
    unit: str = ""
    ucd: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose rows are read as they are written.

    Attributes
    ----------
    pieces : iterable of lists of rows
        Each row has a value or None for every column. What a piece holds is all that is in memory.
    is_cut : bool
        Whether more was there than was asked for.
    """

    name: str
    columns: Sequence[Column]
    pieces: Iterable[Rows]
    is_cut: bool = False


def pages(read: Callable[[_Key | None], tuple[_Piece, _Key | None]], after: _Key | None) -> Iterator[_Piece]:
    """Pieces of a list, page after page, each in a short transaction of its own.

    One long transaction with a cursor would hold the database's old rows for as long as the slowest
    client reads.

    Parameters
    ----------
    read : callable
        Takes the key to start after; gives a page and the key of its last row, None when it is the last.
    """
    while True:
        rows, after = read(after)
        yield rows
        if after is None:
            return


def table_response(table: Table, form: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a table; the first piece is read before the answer begins, so that it may still fail."""
    pieces = iter(table.pieces)
    first = list(itertools.islice(pieces, 1))
    whole = Table(table.name, table.columns, itertools.chain(first, pieces), table.is_cut)
    cut = {TRUNCATED: "true"} if table.is_cut else {}
    disposition = (
        f'{"attachment" if form == "parquet" else "inline"}; filename="{table.name}.{_SUFFIXES[form]}"'
    )
    return StreamingResponse(
        _WRITERS[form](whole),
        media_type=f"{MEDIA_TYPES[form]}; charset=utf-8; header=present"
        if form == "csv"
        else MEDIA_TYPES[form],
        headers={"Cache-Control": "no-cache", "Content-Disposition": disposition, **cut, **(headers or {})},
    )


def csv_pieces(table: Table) -> Iterator[bytes]:
    """Write CSV with a header line; times end in Z, what is unknown is empty."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(column.name for column in table.columns)
    told = [
        (index, _CELLS[column.kind]) for index, column in enumerate(table.columns) if column.kind in _CELLS
    ]
    for rows in table.pieces:
        for row in rows:
            cells = list(row)
            for index, word in told:
                if cells[index] is not None:
                    cells[index] = word(cells[index])
            writer.writerow(cells)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _boolean(value: Any) -> str:
    return "true" if value else "false"


_CELLS: dict[str, _Cell] = {"time": iso_z, "boolean": _boolean}


def _votable(table: Table) -> Iterator[bytes]:
    from service.votable import votable_pieces

    return votable_pieces(table)


def _parquet(table: Table) -> Iterator[bytes]:
    from service.parquet import parquet_pieces  # with pyarrow: loaded by the first who asks for it

    return parquet_pieces(table)


_WRITERS: dict[str, Callable[[Table], Iterator[bytes]]] = {
    "csv": csv_pieces,
    "votable": _votable,
    "parquet": _parquet,
}
_SUFFIXES = {"csv": "csv", "votable": "vot", "parquet": "parquet"}
