"""Any series with a time as one table: features, frames' answers, magnetometers, ceilometers, other CSV."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heliowatch.feature_store import as_table, read_features, read_file, to_microseconds
from observatory.errors import SettingsError, UnreadableFileError
from observatory.magnetometer import disturbance, read_many
from observatory.nearest import nearest

if TYPE_CHECKING:
    import pyarrow as pa

TIME = "time"
_IAGA = b"IAGA-2002"
_FIELD = ("x_nt", "y_nt", "z_nt")
_TIMES = (TIME, "date_obs", "datetime", "timestamp", "moment", "utc", "date")


def read_table(path: Path) -> pa.Table:
    """Read a series as a table whose first column is ``time`` (UTC, microseconds).

    A folder or file of `heliowatch sky features`, any other Parquet, a file of IAGA-2002 or a folder of them,
    or CSV whose columns are named: one of them ``time`` (``date_obs``, ``datetime``, …) in ISO 8601, UTC where
    no zone is given. Of a magnetometer the columns are the field in nT, and the disturbance that is left of it.

    Raises
    ------
    UnreadableFileError
        When it is none of these, or has no column of times.
    """
    if path.is_dir():
        return _of_magnetometer(path) if _holds_iaga2002(path) else as_table(read_features(path))
    if not path.exists():
        raise UnreadableFileError(f"{path} does not exist")
    if path.suffix in (".h5", ".hdf", ".hdf5"):
        return as_table(read_file(path))
    start = _start(path)
    if start.startswith(b"PAR1"):
        return _of_parquet(path)
    if _IAGA in start.upper():
        return _of_magnetometer(path)
    return _of_csv(path)


def _holds_iaga2002(folder: Path) -> bool:
    return any(path.is_file() and _IAGA in _start(path).upper() for path in folder.iterdir())


def _start(path: Path) -> bytes:
    with path.open("rb") as content:
        return content.read(2048)


def join(left: pa.Table, right: pa.Table, tolerance_s: float, *, keeps_all: bool = False) -> pa.Table:
    """To every row of one table the nearest in time of the other.

    The other's columns come behind, and last ``offset_s``, how much later the other's time is; those of a name
    that is taken already, as ``time``, begin with ``other_``. Rows without a partner are left out, or stay
    with empty cells.
    """
    import pyarrow as pa

    found = nearest(_seconds(left), _seconds(right), tolerance_s)
    if not keeps_all:
        left, found = left.filter(pa.array(found >= 0)), found[found >= 0]
    partners = right.take(pa.array(found, mask=found < 0))
    offset = pa.array(_seconds(partners) - _seconds(left), from_pandas=True)  # NaN is an empty cell
    for name, column in [*zip(partners.column_names, partners.columns, strict=True), ("offset_s", offset)]:
        free = name
        while free in left.column_names:
            free = f"other_{free}"
        left = left.append_column(free, column)
    return left


def write_table(path: Path, table: pa.Table) -> None:
    """Write CSV or Parquet, as the file's ending says.

    Raises
    ------
    SettingsError
        When it is another ending.
    """
    from pyarrow import csv, parquet

    if path.suffix == ".parquet":
        parquet.write_table(table, path, compression="zstd")
    elif path.suffix == ".csv":
        buffer = io.BytesIO()
        csv.write_csv(table.set_column(0, TIME, _in_words(table[TIME])), buffer)
        path.write_bytes(buffer.getvalue())
    else:
        raise SettingsError(f"{path}: write the ending .csv or .parquet")


def _seconds(table: pa.Table) -> np.ndarray:
    import pyarrow as pa

    times = table[TIME].cast(pa.int64())
    return np.where(times.is_null().to_numpy(), np.nan, times.fill_null(0).to_numpy() / 1e6)


def _in_words(times: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    moments = times.to_pylist()
    return pa.array(
        [None if moment is None else moment.isoformat().replace("+00:00", "Z") for moment in moments]
    )


def _with_time(path: Path, table: pa.Table) -> pa.Table:
    import pyarrow as pa

    repeated = next((name for name in table.column_names if table.column_names.count(name) > 1), None)
    if repeated is not None:
        raise UnreadableFileError(
            f"{path}: several columns are named {repeated!r}: give each a name of its own"
        )
    name = next((name for name in _TIMES if name in table.column_names), None)
    if name is None:
        known = ", ".join(table.column_names)[:200]
        raise UnreadableFileError(
            f"{path}: no column named time (or {', '.join(_TIMES[1:])}); it has {known}"
        )
    wanted = pa.timestamp("us", tz="UTC")
    column = table[name]
    if pa.types.is_integer(column.type):
        raise UnreadableFileError(
            f"{path}: column {name} holds whole numbers, whose unit and zero nobody tells: write times"
        )
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pa.array([_moment(word) for word in column.to_pylist()], pa.int64())
        elif pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        times = column.cast(wanted, safe=False)
    except (ValueError, OverflowError, NotImplementedError) as error:  # pyarrow's own are the outer two
        raise UnreadableFileError(f"{path}: column {name} holds no times: {error}") from error
    return table.remove_column(table.column_names.index(name)).add_column(0, TIME, times)


def _moment(word: str | None) -> int | None:
    if word is None or not word.strip():
        return None
    moment = datetime.fromisoformat(word.strip())
    return to_microseconds(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))


def _of_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    try:
        with path.open("rb") as content:
            table = parquet.read_table(content)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path} is no whole Parquet file: {error}") from error
    return _with_time(path, table)


def _of_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path} is no text in UTF-8, so no CSV") from error
    lines = [line for line in text.splitlines(keepends=True) if line.strip() and not line.startswith("#")]
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    names = [name.strip().strip('"') for name in head.split(separator)]
    times = {name: pa.string() for name in names if name in _TIMES}
    try:
        table = csv.read_csv(
            io.BytesIO("".join(lines).encode()),
            parse_options=csv.ParseOptions(delimiter=separator),
            convert_options=csv.ConvertOptions(column_types=times),
        )
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path} is no CSV with a line of names: {error}") from error
    return _with_time(path, table)


def _of_magnetometer(path: Path) -> pa.Table:
    import pyarrow as pa

    series = read_many([path])
    left = disturbance(series)
    columns: dict[str, Any] = {
        TIME: pa.array(np.round(series.times_s * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC")),
        "station": pa.array([series.station] * series.times_s.size, pa.string()),
        **{name: pa.array(getattr(series, name), from_pandas=True) for name in _FIELD},
        **{
            f"disturbance_{name}": pa.array(getattr(left, name).round(2), from_pandas=True) for name in _FIELD
        },
        "is_simulated": pa.array([series.is_simulated] * series.times_s.size, pa.bool_()),
    }
    return pa.table(columns)
