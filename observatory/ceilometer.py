"""What a ceilometer saw: the height of the cloud above it, read from CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from observatory.errors import UnreadableFileError

FloatArray = NDArray[np.float64]

CLEAR_BASE_M = 2000.0
"""Cloud that begins as high or higher counts as clear sky (Sado et al. 2022)."""

_TIMES = ("time", "datetime", "date_time", "timestamp", "date/time", "utc", "date")
_BASES = ("cloud_base_m", "cloud_base", "cloud_base_height", "cloud_base_height_m", "cbh", "cbh_m", "cbh1")
_MARKS = {
    **dict.fromkeys(("", "none", "clear", "no cloud", "////", "/////"), np.inf),
    **dict.fromkeys(("na", "n/a", "null"), np.nan),
}
_NUMBERS = {-1.0: np.inf, **dict.fromkeys((-99.0, -999.0, -9999.0, 99999.0), np.nan)}
"""Heights that stand for no cloud, or for no measurement."""


@dataclass(frozen=True)
class CeilometerSeries:
    """Cloud base over time.

    Attributes
    ----------
    times_s : ndarray, shape (n,)
        POSIX seconds, UTC, in order of time.
    cloud_base_m : ndarray, shape (n,)
        Above the instrument; infinite without cloud, NaN where nothing was measured.
    """

    times_s: FloatArray
    cloud_base_m: FloatArray

    @property
    def is_cloudy(self) -> FloatArray:
        """1 below `CLEAR_BASE_M`, 0 from there on and without cloud, NaN where nothing was measured."""
        return np.where(np.isnan(self.cloud_base_m), np.nan, self.cloud_base_m < CLEAR_BASE_M)


def read_ceilometer(path: Path) -> CeilometerSeries:
    """Read a CSV file with a line of names; comma, semicolon or tab lies between its columns.

    One column is the time (ISO 8601; UTC where no zone is given; ``time``, ``datetime`` or the like), one the
    lowest cloud's base in metres (``cloud_base_m``, ``cbh`` or the like). An empty base, -1, ``none`` or
    ``////`` means no cloud; ``nan``, -99, -999, -9999 and 99999 mean that nothing was measured. Lines that
    begin with # are passed over.

    Raises
    ------
    UnreadableFileError
        When it is no such file; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"{path}: no text in UTF-8, so no CSV of a ceilometer") from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")]
    if not lines:
        raise UnreadableFileError(f"{path}: empty; a line of names and then measurements are expected")
    head = lines[0][1]
    separator = max(",;\t", key=head.count)
    names = [name.strip().lower() for name in next(csv.reader([head], delimiter=separator))]
    when, what = _column(path, names, _TIMES), _column(path, names, _BASES)
    times, bases = [], []
    for number, line in lines[1:]:
        row = next(csv.reader([line], delimiter=separator))
        try:
            times.append(_moment_s(row[when]))
            bases.append(_base_m(row[what]))
        except (ValueError, IndexError) as error:
            raise UnreadableFileError(f"{path}, line {number}: {line[:60]!r} is no measurement") from error
    order = np.argsort(times, kind="stable")
    return CeilometerSeries(np.asarray(times, np.float64)[order], np.asarray(bases, np.float64)[order])


def _column(path: Path, names: Sequence[str], known: Sequence[str]) -> int:
    for name in known:
        if name in names:
            return names.index(name)
    raise UnreadableFileError(
        f"{path}: no column named {known[0]} (or {', '.join(known[1:])}); it has {', '.join(names)[:200]}"
    )


def _moment_s(word: str) -> float:
    moment = datetime.fromisoformat(word.strip())
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()


def _base_m(word: str) -> float:
    word = word.strip().lower()
    if word in _MARKS:
        return _MARKS[word]
    value = float(word)
    if value in _NUMBERS:
        return _NUMBERS[value]
    if value < 0.0:
        raise ValueError("a height is not negative")
    return value
