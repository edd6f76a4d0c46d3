"""Which night a time belongs to, and what a night of frames was like.

A night goes from noon to noon of local mean time, so that a station's darkness is never cut in two, and is named
by the day on whose evening it begins.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.analysis import AURORAL, SkyClass

_DEG_PER_HOUR = 15.0
_HALF_DAY = timedelta(hours=12)
_IS_GAP = 2.5  # times the cadence: one frame that is missing is not yet one
_LEAST_GAP_S = 60.0
_LONE_FRAME_S = 60.0  # how long a frame counts that has no neighbour to tell the cadence by


@dataclass(frozen=True)
class Night:
    """One night at one longitude.

    Attributes
    ----------
    date : date
        Of its evening, in local mean time.
    longitude_deg : float
        East of Greenwich.
    """

    date: dt.date
    longitude_deg: float = 0.0

    @property
    def start(self) -> datetime:
        """Local mean noon before it, UTC."""
        noon = datetime.combine(self.date, dt.time(12), UTC)
        return noon - timedelta(hours=self.longitude_deg / _DEG_PER_HOUR)

    @property
    def end(self) -> datetime:
        """Local mean noon after it, UTC; not part of it."""
        return self.start + 2 * _HALF_DAY


def night_of(moment: datetime, longitude_deg: float = 0.0) -> Night:
    """Night that a time belongs to.

    Parameters
    ----------
    longitude_deg : float
        East of Greenwich, any turn; 0 where nobody knows it.
    """
    east = (longitude_deg + 180.0) % 360.0 - 180.0
    local = moment.astimezone(UTC) + timedelta(hours=east / _DEG_PER_HOUR)
    return Night((local - _HALF_DAY).date(), east)


@dataclass(frozen=True)
class NightSeries:
    """The frames of one night in order of time, column by column.

    Attributes
    ----------
    frame_ids : ndarray of int, shape (n,)
    times_s : ndarray, shape (n,)
        POSIX seconds, strictly growing.
    sky_classes : tuple of SkyClass or None
        None where the sky could not be judged.
    aurora_probability, cloud_cover, sun_elevation_deg : ndarray, shape (n,)
        NaN where not known.
    north_south, east_west : ndarray, shape (n, 181, 3), uint8
        As `observatory.keogram.SkySlices`.
    is_oriented : bool
        Whether north is north in all of them.
    """

    frame_ids: NDArray[np.int64]
    times_s: NDArray[np.float64]
    sky_classes: tuple[SkyClass | None, ...]
    aurora_probability: NDArray[np.float64]
    cloud_cover: NDArray[np.float64]
    sun_elevation_deg: NDArray[np.float64]
    north_south: NDArray[np.uint8]
    east_west: NDArray[np.uint8]
    is_oriented: bool

    @property
    def cadence_s(self) -> float:
        """What most spacings are about; a minute where there is but one frame."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else _LONE_FRAME_S

    @property
    def gap_s(self) -> float:
        """Spacing from which on frames are missing."""
        return max(_IS_GAP * self.cadence_s, _LEAST_GAP_S)


def selected(series: NightSeries, is_wanted: NDArray[np.bool_]) -> NightSeries | None:
    """Some frames of a night; None where none is wanted."""
    places = np.flatnonzero(is_wanted)
    if not places.size:
        return None
    return NightSeries(
        frame_ids=series.frame_ids[places],
        times_s=series.times_s[places],
        sky_classes=tuple(series.sky_classes[place] for place in places),
        aurora_probability=series.aurora_probability[places],
        cloud_cover=series.cloud_cover[places],
        sun_elevation_deg=series.sun_elevation_deg[places],
        north_south=series.north_south[places],
        east_west=series.east_west[places],
        is_oriented=series.is_oriented,
    )


def binned(series: NightSeries, least_cadence_s: float) -> NightSeries:
    """Average frames that follow each other faster than wanted; others pass unchanged.

    A mean stands at the time, and under the number, of the first of its frames; what is not known of some of
    them is the mean of the others.
    """
    if len(series.times_s) < 2 or series.cadence_s >= least_cadence_s:
        return series
    bins = np.floor((series.times_s - series.times_s[0]) / least_cadence_s)
    _, first = np.unique(bins, return_index=True)
    counts = np.diff(np.append(first, len(bins)))

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        sums = np.add.reduceat(values.astype(np.float32), first, axis=0)
        return sums / counts.reshape(-1, *[1] * (values.ndim - 1))

    def mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
        is_known = np.isfinite(values)
        with np.errstate(invalid="ignore"):  # of none: NaN
            return (mean(np.where(is_known, values, 0.0)) / mean(is_known)).astype(np.float64)

    return NightSeries(
        frame_ids=series.frame_ids[first],
        times_s=series.times_s[first],
        sky_classes=tuple(series.sky_classes[place] for place in first),
        aurora_probability=mean_of_known(series.aurora_probability),
        cloud_cover=mean_of_known(series.cloud_cover),
        sun_elevation_deg=mean_of_known(series.sun_elevation_deg),
        north_south=np.rint(mean(series.north_south)).astype(np.uint8),
        east_west=np.rint(mean(series.east_west)).astype(np.uint8),
        is_oriented=series.is_oriented,
    )


@dataclass(frozen=True)
class Run:
    """A time in which neighbouring frames say the same.

    Attributes
    ----------
    sky_class : SkyClass or None
        None: the sky could not be judged.
    start, end : datetime
        Each frame counts until the next one, or for a cadence before a gap.
    frames : int
    """

    sky_class: SkyClass | None
    start: datetime
    end: datetime
    frames: int


@dataclass(frozen=True)
class Hour:
    """One hour of UTC.

    Attributes
    ----------
    start : datetime
    frames, judged : int
        All of them, and those whose sky could be judged.
    cloud_cover : float or None
        Mean of the frames that say it, 0 to 1.
    aurora : float or None
        Share of the judged frames that show aurora, 0 to 1.
    classes : dict of SkyClass to int
        Frames of each class; those that do not occur are left out.
    """

    start: datetime
    frames: int
    judged: int
    cloud_cover: float | None
    aurora: float | None
    classes: dict[SkyClass, int]


@dataclass(frozen=True)
class NightSummary:
    """A night in numbers.

    Attributes
    ----------
    first, last : datetime
        Times of its first and last frame.
    frames, judged : int
    cadence_s : float
    cloud_cover : float or None
        Mean over the frames, 0 to 1.
    aurora : float or None
        Occurrence: share of the judged frames that show aurora, 0 to 1.
    aurora_of_clear : float or None
        The same of those frames alone that clouds do not hide (their class is not cloud).
    classes : dict of SkyClass to int
        Frames of each class; those that never occur are left out.
    hours : tuple of Hour
        Those with frames.
    runs : tuple of Run
    gaps : tuple of (datetime, datetime)
        Frames before and after each.
    """

    first: datetime
    last: datetime
    frames: int
    judged: int
    cadence_s: float
    cloud_cover: float | None
    aurora: float | None
    aurora_of_clear: float | None
    classes: dict[SkyClass, int]
    hours: tuple[Hour, ...]
    runs: tuple[Run, ...]
    gaps: tuple[tuple[datetime, datetime], ...]


def summarised(series: NightSeries) -> NightSummary:
    """Sum up a night that has one frame at least."""
    times = [datetime.fromtimestamp(second, UTC) for second in series.times_s]
    classes = [one for one in series.sky_classes if one is not None]
    unhidden = [one for one in classes if one is not SkyClass.CLOUD]
    spacings = np.diff(series.times_s)
    return NightSummary(
        first=times[0],
        last=times[-1],
        frames=len(times),
        judged=len(classes),
        cadence_s=series.cadence_s,
        cloud_cover=_mean(series.cloud_cover),
        aurora=_aurora(classes),
        aurora_of_clear=_aurora(unhidden),
        classes=_counts(classes),
        hours=_hours(series, times),
        runs=_runs(series, times),
        gaps=tuple((times[i], times[i + 1]) for i in np.flatnonzero(spacings > series.gap_s)),
    )


def _aurora(classes: Sequence[SkyClass]) -> float | None:
    return sum(one in AURORAL for one in classes) / len(classes) if classes else None


def _counts(classes: Sequence[SkyClass]) -> dict[SkyClass, int]:
    return {name: classes.count(name) for name in SkyClass if name in classes}


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _hours(series: NightSeries, times: Sequence[datetime]) -> tuple[Hour, ...]:
    found = []
    places = range(len(times))
    for start, group in groupby(places, lambda i: times[i].replace(minute=0, second=0, microsecond=0)):
        mine = list(group)
        classes = [one for i in mine if (one := series.sky_classes[i]) is not None]
        cloud = _mean(series.cloud_cover[mine])
        found.append(Hour(start, len(mine), len(classes), cloud, _aurora(classes), _counts(classes)))
    return tuple(found)


def _runs(series: NightSeries, times: Sequence[datetime]) -> tuple[Run, ...]:
    """Neighbours of one class, cut at gaps."""
    cadence, is_gaps = timedelta(seconds=series.cadence_s), np.diff(series.times_s) > series.gap_s
    runs: list[Run] = []
    begin = 0
    for i in range(len(times)):
        is_last = i + 1 == len(times)
        is_gap = not is_last and is_gaps[i]
        if is_last or is_gap or series.sky_classes[i + 1] != series.sky_classes[i]:
            end = times[i] + cadence if is_last or is_gap else times[i + 1]
            runs.append(Run(series.sky_classes[i], times[begin], end, i + 1 - begin))
            begin = i + 1
    return tuple(runs)
