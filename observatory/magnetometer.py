"""Magnetometers: the exchange format IAGA-2002, and the disturbance in what they measured.

The format is that of the International Association of Geomagnetism and Aeronomy (IAGA-2002 Exchange Format,
https://www.ncei.noaa.gov/services/world-data-system/v-dat-working-group/iaga-2002-data-exchange-format): a
header of lines of seventy characters that end in ``|``, then a line for each minute or second with four
components. 99999 is a gap, 88888 a component that the station does not measure.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from observatory.errors import UnreadableFileError
from observatory.sky import Site

FloatArray = NDArray[np.float64]

_GAP = 99999.0
_LEAST_GAP = 88887.0  # no field on Earth is stronger than 70 000 nT
_COLUMNS = re.compile(r"^DATE\s+TIME\s+DOY((?:\s+\S+){1,4})\s*\|?\s*$")
_SIMULATED = "SIMULATED"
_MOST_BYTES = 256 << 20  # a second's file of a day is 6 MB
_DAY_S = 86_400.0
_DAYS_OF_LEVEL = 7  # an active night does not move the median of a week


@dataclass(frozen=True)
class MagneticSeries:
    """The field at a station over time, or its disturbance.

    Attributes
    ----------
    station : str
        IAGA code of three letters or more.
    name : str
    site : Site or None
        None where the header does not tell.
    times_s : ndarray, shape (n,)
        POSIX seconds, UTC, strictly rising.
    x_nt, y_nt, z_nt : ndarray, shape (n,)
        Geographic north, east and down in nT; NaN in gaps.
    is_simulated : bool
        Whether no magnetometer measured it.
    kind : str
        Data type as the header says: ``variation``, ``provisional``, ``definitive``, …
    """

    station: str
    name: str
    site: Site | None
    times_s: FloatArray
    x_nt: FloatArray
    y_nt: FloatArray
    z_nt: FloatArray
    is_simulated: bool = False
    kind: str = "variation"

    @property
    def xyz_nt(self) -> FloatArray:
        """The three components side by side, shape (n, 3)."""
        return np.stack([self.x_nt, self.y_nt, self.z_nt], axis=-1)

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> MagneticSeries:
        """Some of its rows."""
        return replace(
            self,
            times_s=self.times_s[rows],
            x_nt=self.x_nt[rows],
            y_nt=self.y_nt[rows],
            z_nt=self.z_nt[rows],
        )


def read_iaga2002(path: Path) -> MagneticSeries:
    """Read one file of one-minute or one-second values, in any of XYZF, HDZF, DHZF, DIF and the like.

    H and D become X and Y: X = H cos D, Y = H sin D. D stands in minutes of arc; in data of the type
    *variation* it counts from DECBAS, the baseline in tenths of minutes, where the header has one. A last
    line that ends in its middle, as in a file that is being written, is left out.

    Raises
    ------
    UnreadableFileError
        When it is no such file, or a line of it is none; the message names the line.
    """
    lines = _lines(path)
    facts, letters, start = _header(path, lines)
    times, values = _values(path, lines, start, len(letters))
    values[np.abs(values) >= _LEAST_GAP] = np.nan
    # Stations send a minute again when it was wrong: the later line of one time is the better one.
    order = np.argsort(times, kind="stable")
    is_last = np.append(np.diff(times[order]) > 0, True) if times.size else np.zeros(0, bool)
    kept = order[is_last]
    x, y, z = _geographic(path, dict(zip(letters, values[kept].T, strict=True)), facts)
    return MagneticSeries(
        station=facts.get("iaga code", "").upper(),
        name=facts.get("station name", ""),
        site=_site(facts),
        times_s=times[kept],
        x_nt=x,
        y_nt=y,
        z_nt=z,
        is_simulated=facts.get(_SIMULATED) == "yes",
        kind=facts.get("data type", "variation").lower(),
    )


def read_many(paths: Sequence[Path]) -> MagneticSeries:
    """Read the files of one station into one series; where several tell of a time the last named counts.

    Of a folder all files are meant, by name, but for hidden ones.

    Raises
    ------
    UnreadableFileError
        When a file is none, or they are of several stations, or some are simulated and some are not.
    """
    files = [file for path in paths for file in (_files_in(path) if path.is_dir() else [path])]
    if not files:
        raise UnreadableFileError("no magnetometer file is named: name IAGA-2002 files of one station")
    parts = [read_iaga2002(path) for path in files]
    first = parts[0]
    for part, path in zip(parts, files, strict=True):
        if part.station != first.station:
            raise UnreadableFileError(f"{path} is of {part.station}, {files[0]} of {first.station}: name one")
        if part.is_simulated != first.is_simulated:
            raise UnreadableFileError(f"{path} and {files[0]}: only one is simulated; never mix them")
    times, values = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("times_s", "xyz_nt")
    )
    order = np.argsort(times, kind="stable")
    kept = order[np.append(np.diff(times[order]) > 0, True)] if times.size else order
    x, y, z = values[kept].T
    return replace(first, times_s=times[kept], x_nt=x, y_nt=y, z_nt=z)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def write_iaga2002(path: Path, series: MagneticSeries, *, source: str = "Heliowatch") -> None:
    """Write XYZF, F being the length of the three; a simulated series says so in source and comments."""
    site = series.site
    stated = {
        "Format": "IAGA-2002",
        "Source of Data": f"{source} ({_SIMULATED})" if series.is_simulated else source,
        "Station Name": series.name,
        "IAGA CODE": series.station,
        "Geodetic Latitude": "" if site is None else f"{site.latitude_deg:.3f}",
        "Geodetic Longitude": "" if site is None else f"{site.longitude_deg % 360.0:.3f}",
        "Elevation": "" if site is None else f"{site.height_m:.0f}",
        "Reported": "XYZF",
        "Sensor Orientation": "XYZF",
        "Digital Sampling": "",
        "Data Interval Type": "",
        "Data Type": series.kind,
    }
    lines = [f" {name:<23}{value:<45.45}|" for name, value in stated.items()]
    if series.is_simulated:
        lines.append(f" # {f'{_SIMULATED}: no magnetometer measured this':<66}|")
    names = "".join(f"{series.station[:3].upper() + letter:>10}" for letter in "XYZF")
    lines.append(f"{'DATE       TIME         DOY' + names[1:]:<69}|")
    values = np.column_stack([series.xyz_nt, np.linalg.norm(series.xyz_nt, axis=1)])
    values = np.where(np.isnan(values), _GAP, values)
    for time_s, row in zip(series.times_s, values, strict=True):
        moment = datetime.fromtimestamp(round(time_s, 3), UTC)
        when = moment.isoformat(" ", "milliseconds")[:23]
        lines.append(f"{when} {moment:%j}   " + "".join(f"{value:10.2f}" for value in row))
    path.write_text("\n".join(lines) + "\n", encoding="latin-1", errors="replace")


def disturbance(series: MagneticSeries) -> MagneticSeries:
    """What is left of each component when its quiet level is taken off.

    The level is the median of a week: of each day with the three before and the three after it, as far as
    there are data, joined by straight lines from noon to noon. It takes off main field, baseline and
    season; the quiet day's own course, some tens of nT, stays.
    """
    if not series.times_s.size:
        return series
    days = np.floor(series.times_s / _DAY_S).astype(int)
    values = series.xyz_nt
    numbers = np.unique(days)
    reach = _DAYS_OF_LEVEL // 2
    levels = np.full((numbers.size, 3), np.nan)
    for row, day in enumerate(numbers):
        week = values[np.searchsorted(days, day - reach) : np.searchsorted(days, day + reach, side="right")]
        for column in range(3):
            measured = week[:, column][~np.isnan(week[:, column])]
            if measured.size:
                levels[row, column] = np.median(measured)
    noons = (numbers + 0.5) * _DAY_S
    left = [_without_level(series.times_s, values[:, n], noons, levels[:, n]) for n in range(3)]
    return replace(series, x_nt=left[0], y_nt=left[1], z_nt=left[2])


def _without_level(
    times: FloatArray, values: FloatArray, noons: FloatArray, levels: FloatArray
) -> FloatArray:
    is_known = ~np.isnan(levels)
    if not is_known.any():
        return np.full(times.shape, np.nan)
    return values - np.interp(times, noons[is_known], levels[is_known])


def _lines(path: Path) -> list[str]:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise UnreadableFileError(f"{path}: {size:,} bytes are too many for IAGA-2002; split it by days")
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:  # the standard knows ASCII alone; stations' names do not keep to it
        text = content.decode("latin-1")
    lines = text.splitlines()
    if lines and not text.endswith(("\n", "\r")):
        lines[-1] = lines[-1] + "\0"  # so that its end is known to be missing
    return lines


def _header(path: Path, lines: Sequence[str]) -> tuple[dict[str, str], str, int]:
    """Facts by name in small letters, letters of the components, number of the first line of data."""
    facts: dict[str, str] = {}
    is_named = False
    for number, line in enumerate(lines):
        found = _COLUMNS.match(line.strip("\0"))
        if found and is_named:
            return facts, _letters(path, found[1].split()), number + 1
        words = line.strip("\0").rstrip().removesuffix("|").rstrip()
        if number > 200 or (number > 2 and not is_named):
            break
        if words.lstrip().startswith("#"):
            _note_comment(facts, words.lstrip())
            continue
        name, value = words[:24].strip().lower(), words[24:].strip()
        facts.setdefault(name, value)
        is_named = is_named or (name == "format" and value.upper().replace(" ", "").startswith("IAGA-2002"))
        if name == "source of data" and _SIMULATED in value.upper():
            facts[_SIMULATED] = "yes"
    raise UnreadableFileError(
        f"{path}: not IAGA-2002: "
        + (
            "no line `DATE TIME DOY …` follows its header"
            if is_named
            else "no line `Format IAGA-2002` opens it"
        )
    )


def _note_comment(facts: dict[str, str], comment: str) -> None:
    words = comment.lstrip("# ").split()
    if words and words[0].upper() == "DECBAS" and len(words) > 1:
        facts.setdefault("decbas", words[1])
    if words and words[0].upper().startswith(_SIMULATED):
        facts[_SIMULATED] = "yes"


def _letters(path: Path, columns: Sequence[str]) -> str:
    letters = "".join(column.removesuffix("|")[-1:].upper() for column in columns)
    if len(set(letters)) != len(letters):
        raise UnreadableFileError(f"{path}: its columns are {' '.join(columns)}: two name the same component")
    return letters


def _values(path: Path, lines: Sequence[str], start: int, columns: int) -> tuple[FloatArray, FloatArray]:
    whens, values = [], []
    for number in range(start, len(lines)):
        line = lines[number]
        is_cut = line.endswith("\0")
        words = line.strip("\0").split()
        if not words:
            continue
        try:
            if len(words) != columns + 3:
                raise ValueError("too few or too many columns")
            if is_cut and words[-1][-3:-2] != ".":
                continue  # being written: its last number may lack digits
            whens.append(_posix_s(words[0], words[1]))
            values.append([float(word) for word in words[3:]])
        except ValueError as error:
            if is_cut:
                continue
            raise UnreadableFileError(
                f"{path}, line {number + 1}: {line[:72]!r} is no line of {columns} values"
            ) from error
    found = np.asarray(values, np.float64).reshape(-1, columns)
    if not np.isfinite(found).all():
        raise UnreadableFileError(f"{path}: a value is no number; IAGA-2002 marks gaps by 99999")
    return np.asarray(whens, np.float64), found


def _posix_s(date: str, clock: str) -> float:
    """POSIX seconds, in which a leap second has the time of the midnight after it."""
    is_leap = clock.startswith("23:59:60")
    moment = datetime.fromisoformat(f"{date}T{clock.replace(':60', ':59') if is_leap else clock}+00:00")
    return moment.timestamp() + is_leap


def _geographic(
    path: Path, given: Mapping[str, FloatArray], facts: Mapping[str, str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    if {"X", "Y", "Z"} <= given.keys():
        return given["X"], given["Y"], given["Z"]
    inclination = np.radians(given["I"] / 60.0) if "I" in given else None
    horizontal, down = given.get("H"), given.get("Z")
    if horizontal is None and inclination is not None and "F" in given:
        horizontal = given["F"] * np.cos(inclination)
    if down is None and inclination is not None and horizontal is not None:
        down = horizontal * np.tan(inclination)
    if "D" not in given or horizontal is None or down is None:
        raise UnreadableFileError(f"{path}: X, Y and Z do not follow from {', '.join(given)}")
    declination = np.radians((given["D"] + _baseline_minutes(path, facts)) / 60.0)
    return horizontal * np.cos(declination), horizontal * np.sin(declination), down


def _baseline_minutes(path: Path, facts: Mapping[str, str]) -> float:
    """Minutes of arc from which D counts: only variations have a baseline, absolute data are whole."""
    if "decbas" not in facts or not facts.get("data type", "variation").lower().startswith("variation"):
        return 0.0
    try:
        tenths = float(facts["decbas"])
    except ValueError as error:
        raise UnreadableFileError(f"{path}: DECBAS is {facts['decbas']!r}, not tenths of minutes") from error
    minutes = tenths / 10.0
    return minutes - 21_600.0 if minutes > 10_800.0 else minutes


def _site(facts: Mapping[str, str]) -> Site | None:
    try:
        latitude, longitude = float(facts["geodetic latitude"]), float(facts["geodetic longitude"])
        height = float(facts.get("elevation") or 0.0)
    except (KeyError, ValueError):
        return None
    if not -90.0 <= latitude <= 90.0 or not -360.0 <= longitude <= 360.0:
        return None
    east = round((longitude + 180.0) % 360.0 - 180.0, 6)  # the header has three places or four
    return Site(latitude, east, height if abs(height) < 10_000.0 else 0.0)
