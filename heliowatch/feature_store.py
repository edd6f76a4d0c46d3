"""Features of all-sky frames on disk: one file a month, Parquet or HDF, for programs that learn from them.

A file ``YYYYMM.parquet`` or ``YYYYMM.h5`` has one row a frame in the order of time: when, where, what the
network says of the sky, then its features (Parquet: ``feature_000`` and on; HDF: one array ``features``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from observatory import __version__
from observatory.analysis import AURORAL, SkyClass
from observatory.errors import SettingsError, UnreadableFileError

if TYPE_CHECKING:
    import pyarrow as pa

_MICROSECONDS = 1_000_000
_FEATURE = "feature_"
_MONTH = re.compile(r"\d{6}\.(parquet|h5)")
_FACTS = ("model", "model_sha256")
CLASS_COLUMNS = tuple(f"p_{name.value}" for name in SkyClass)


class StoreFormat(StrEnum):
    """How files are written."""

    PARQUET = "parquet"
    HDF = "hdf"

    @property
    def suffix(self) -> str:
        """Ending of a file's name."""
        return ".parquet" if self is StoreFormat.PARQUET else ".h5"


@dataclass(frozen=True)
class Features:
    """Rows of features, each of one frame; missing numbers are NaN, missing words empty.

    Attributes
    ----------
    time_us : ndarray, shape (n,), int64
        Start of the exposure, microseconds since 1970, UTC.
    latitude_deg, longitude_deg : ndarray, shape (n,)
    instrument, frame : ndarray of str, shape (n,)
        The camera, and what tells its frames apart: file and index, or number in the database.
    is_simulated : ndarray of bool, shape (n,)
    sky_class : ndarray of str, shape (n,)
        Empty where the sky could not be judged.
    probabilities : ndarray, shape (n, 6)
        In the order of `SkyClass`.
    cloud_cover, zenith_cloud : ndarray, shape (n,)
        Share of cloudy sectors, and probability of cloud in the sector about the zenith.
    sun_elevation_deg, moon_elevation_deg : ndarray, shape (n,)
    features : ndarray, shape (n, m), float32
    model, model_sha256 : str
        The network that they are of; one for all rows.
    """

    time_us: NDArray[np.int64]
    latitude_deg: NDArray[np.float64]
    longitude_deg: NDArray[np.float64]
    instrument: NDArray[np.str_]
    frame: NDArray[np.str_]
    is_simulated: NDArray[np.bool_]
    sky_class: NDArray[np.str_]
    probabilities: NDArray[np.float64]
    cloud_cover: NDArray[np.float64]
    zenith_cloud: NDArray[np.float64]
    sun_elevation_deg: NDArray[np.float64]
    moon_elevation_deg: NDArray[np.float64]
    features: NDArray[np.float32]
    model: str
    model_sha256: str

    def __len__(self) -> int:
        return int(self.time_us.size)

    @property
    def times_s(self) -> NDArray[np.float64]:
        """POSIX seconds."""
        return self.time_us / _MICROSECONDS

    @property
    def aurora_probability(self) -> NDArray[np.float64]:
        """Sum of the auroral classes; NaN where the sky could not be judged."""
        return self.probabilities[:, [list(SkyClass).index(name) for name in AURORAL]].sum(axis=1)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Features:
        """Some of the rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROWS})


_ROWS = tuple(field.name for field in fields(Features) if field.name not in _FACTS)
_COLUMNS = tuple(name for name in _ROWS if name not in ("probabilities", "features"))
_WORDS = ("instrument", "frame", "sky_class")


def joined(parts: Sequence[Features]) -> Features:
    """Rows of several parts in the order of time; of one frame's rows the last given stays.

    Raises
    ------
    SettingsError
        When they are of several networks, whose features do not mix.
    """
    first = parts[0]
    for part in parts:
        _check_network(first, part.model, part.model_sha256)
    columns: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _ROWS}
    together = replace(first, **columns)
    keys = zip(together.time_us.tolist(), together.instrument.tolist(), together.frame.tolist(), strict=True)
    rows = np.asarray(list({key: row for row, key in enumerate(keys)}.values()), np.intp)
    return together.at(rows[np.lexsort((rows, together.time_us[rows]))])


def _check_network(rows: Features, model: str, model_sha256: str) -> None:
    if model_sha256 != rows.model_sha256:
        raise SettingsError(
            f"features of {model} ({model_sha256[:12]}…) and of {rows.model} "
            f"({rows.model_sha256[:12]}…) do not mix: keep them in folders of their own"
        )


def write_months(folder: Path, rows: Features, form: StoreFormat) -> list[Path]:
    """Add rows to the files of their months; writing the same rows again changes nothing.

    Each file is replaced as a whole: who reads meanwhile sees the old one.

    Raises
    ------
    SettingsError
        When a file there, of whatever month, holds features of another network; then nothing is written.
    UnreadableFileError
        When a file there is not ours or damaged.
    """
    if not len(rows):
        return []
    for path in _months_in(folder):
        _check_network(rows, *_network_of(path))
    months = rows.time_us.astype("datetime64[us]").astype("datetime64[M]")
    written = []
    for month in np.unique(months):
        path = folder / f"{str(month).replace('-', '')}{form.suffix}"
        parts = [read_file(path)] if path.exists() else []
        whole = joined([*parts, rows.at(months == month)])
        unfinished = path.with_name(f".{path.name}.part")
        (_write_parquet if form is StoreFormat.PARQUET else _write_hdf)(unfinished, whole)
        unfinished.replace(path)
        written.append(path)
    return written


def read_features(path: Path) -> Features:
    """Read a file, or all months of a folder, in the order of time.

    Raises
    ------
    UnreadableFileError
        When there is nothing to read or a file is damaged.
    SettingsError
        When months are of several networks.
    """
    if not path.is_dir():
        return joined([read_file(path)])
    found = _months_in(path)
    if not found:
        raise UnreadableFileError(
            f"{path} holds no features (YYYYMM.parquet or YYYYMM.h5): `heliowatch sky features` writes them"
        )
    return joined([read_file(item) for item in found])


def is_store(path: Path) -> bool:
    """Whether a path is a folder or a file of features, not a frame; films of cameras are HDF, too."""
    if path.is_dir() or path.suffix == ".parquet":
        return True
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            return "features" in file
    except OSError:  # no HDF, missing or damaged: whoever reads frames says so
        return False


def _months_in(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if _MONTH.fullmatch(item.name))


def read_file(path: Path) -> Features:
    """Read one month's file.

    Raises
    ------
    UnreadableFileError
        When it is missing, damaged or not of this kind.
    """
    if not path.exists():
        raise UnreadableFileError(
            f"{path} does not exist: name a file or folder of `heliowatch sky features`"
        )
    with _if_ours(path):
        return _read_hdf(path) if _is_hdf(path) else _read_parquet(path)


@contextmanager
def _if_ours(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:  # pyarrow's own are ValueErrors
        raise UnreadableFileError(f"{path} holds no features of ours, or is damaged: {error}") from error


def _is_hdf(path: Path) -> bool:
    return path.suffix in (".h5", ".hdf", ".hdf5")


def _network_of(path: Path) -> tuple[str, str]:
    """Name and checksum of the network of a file, whose rows are not read."""
    with _if_ours(path):
        if _is_hdf(path):
            import h5py

            with h5py.File(path, "r") as file:
                return str(file.attrs["model"]), str(file.attrs["model_sha256"])
        from pyarrow import parquet

        with path.open("rb") as content:
            facts = parquet.read_schema(content).metadata or {}
        return facts[b"model"].decode(), facts[b"model_sha256"].decode()


def as_table(rows: Features) -> pa.Table:
    """Rows as they stand in Parquet: ``time`` (UTC) first, the network's name in the metadata."""
    import pyarrow as pa

    columns: dict[str, Any] = {"time": pa.array(rows.time_us, pa.timestamp("us", tz="UTC"))}
    for name in _COLUMNS[1:]:
        values = getattr(rows, name)
        columns[name] = pa.array(values.tolist(), pa.string()) if name in _WORDS else pa.array(values)
    for column, name in enumerate(CLASS_COLUMNS):
        columns[name] = pa.array(rows.probabilities[:, column])
    for column in range(rows.features.shape[1]):
        columns[f"{_FEATURE}{column:03d}"] = pa.array(np.ascontiguousarray(rows.features[:, column]))
    facts = {"model": rows.model, "model_sha256": rows.model_sha256, "software": f"Heliowatch {__version__}"}
    return pa.table(columns).replace_schema_metadata(facts)


def _write_parquet(path: Path, rows: Features) -> None:
    from pyarrow import parquet

    parquet.write_table(as_table(rows), path, compression="zstd")


def _read_parquet(path: Path) -> Features:
    import pyarrow as pa
    from pyarrow import parquet

    with path.open("rb") as content:  # pyarrow would take a name with odd bytes for something else
        table = parquet.read_table(content)
    facts = table.schema.metadata or {}
    # By name: a program that changed the file may have put its columns in another order.
    count = sum(name.startswith(_FEATURE) for name in table.column_names)
    names = [f"{_FEATURE}{column:03d}" for column in range(count)]
    given = {name: _column(table[name], name) for name in _COLUMNS[1:]}
    return Features(
        time_us=table["time"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(),
        probabilities=np.column_stack([table[name].to_numpy() for name in CLASS_COLUMNS]),
        features=np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32, copy=False),
        model=facts[b"model"].decode(),
        model_sha256=facts[b"model_sha256"].decode(),
        **given,
    )


def _column(column: Any, name: str) -> NDArray[Any]:
    if name in _WORDS:
        return np.asarray(column.to_pylist(), dtype=np.str_)
    return column.to_numpy().astype(bool if name == "is_simulated" else np.float64, copy=False)


def _write_hdf(path: Path, rows: Features) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(
            {"model": rows.model, "model_sha256": rows.model_sha256, "software": f"Heliowatch {__version__}"}
        )
        for name in _ROWS:
            values = getattr(rows, name)
            if name in _WORDS:
                file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype())
            else:
                more = {"compression": "gzip", "compression_opts": 1} if name == "features" else {}
                file.create_dataset(name, data=values, **more)
        file["time_us"].attrs["unit"] = "microseconds since 1970-01-01T00:00Z"
        file["probabilities"].attrs["columns"] = [name.value for name in SkyClass]


def _read_hdf(path: Path) -> Features:
    import h5py

    with h5py.File(path, "r") as file:
        given: dict[str, Any] = {
            name: np.asarray(file[name].asstr()[:], np.str_) if name in _WORDS else file[name][:]
            for name in _ROWS
        }
        given |= {name: str(file.attrs[name]) for name in _FACTS}
        return Features(**given)


def time_of(time_us: int) -> datetime:
    """Aware UTC time of a row."""
    return datetime.fromtimestamp(time_us / _MICROSECONDS, UTC)


def to_microseconds(moment: datetime) -> int:
    """Inverse of `time_of`."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * _MICROSECONDS + since.microseconds


@dataclass(frozen=True)
class Row:
    """One frame as it enters the store; None is what is not known."""

    time: datetime
    instrument: str
    frame: str
    latitude_deg: float | None
    longitude_deg: float | None
    is_simulated: bool
    sky_class: SkyClass | None
    probabilities: Sequence[float] | None
    cloud_cover: float | None
    zenith_cloud: float | None
    sun_elevation_deg: float | None
    moon_elevation_deg: float | None
    features: NDArray[np.float32]
    model: str
    model_sha256: str


def gathered(rows: Sequence[Row]) -> Features:
    """Rows as columns.

    Raises
    ------
    SettingsError
        When they are of several networks.
    """
    first = rows[0]
    other = next((row for row in rows if row.model_sha256 != first.model_sha256), None)
    if other is not None:
        raise SettingsError(
            f"frames were read by several networks ({first.model}, {other.model}), whose features do not mix: "
            "ask for the time of one (--time), or reprocess the others"
        )

    def numbers(name: str) -> NDArray[np.float64]:
        return np.asarray(
            [np.nan if (value := getattr(row, name)) is None else value for row in rows], np.float64
        )

    unknown = [np.nan] * len(SkyClass)
    numeric = (
        "latitude_deg",
        "longitude_deg",
        "cloud_cover",
        "zenith_cloud",
        "sun_elevation_deg",
        "moon_elevation_deg",
    )
    return Features(
        time_us=np.asarray([to_microseconds(row.time) for row in rows], np.int64),
        instrument=np.asarray([row.instrument for row in rows], np.str_),
        frame=np.asarray([row.frame for row in rows], np.str_),
        is_simulated=np.asarray([row.is_simulated for row in rows], bool),
        sky_class=np.asarray([row.sky_class.value if row.sky_class else "" for row in rows], np.str_),
        probabilities=np.asarray([row.probabilities or unknown for row in rows], np.float64),
        features=np.stack([np.asarray(row.features, np.float32) for row in rows]),
        model=first.model,
        model_sha256=first.model_sha256,
        **{name: numbers(name) for name in numeric},
    )


def in_chunks(rows: Iterable[Row], size: int = 20_000) -> Iterator[Features]:
    """Rows as columns, so many at a time: an archive is never in memory as a whole."""
    kept: list[Row] = []
    for row in rows:
        kept.append(row)
        if len(kept) == size:
            yield gathered(kept)
            kept = []
    if kept:
        yield gathered(kept)
