"""Onsets: moments at which aurora brightens, or first appears, and stays.

Two things must come together: some part of the sky's lines grows brighter than that part was in the minutes
before, and the network says aurora. Each point of a line is compared with itself, so town lights and the skyline
cancel, and what brightens the whole sky slowly (a Moon that rises, dawn) is expected and taken off. A single
bright frame (a car, a meteor, a satellite) is no onset, for several in a row must say the same; nor is what a
gap hides. One that lasts has another onset only when it brightens by much more than it did: an arc that breaks up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from observatory.nights import NightSeries, binned

BEFORE_S = 900.0
"""Time before a frame that tells what is to be expected; longer where frames are rare."""
LEAST_FRAMES = 4
"""Frames in that time, at least."""
LEAST_PROBABILITY = 0.5
LEAST_RISE = 8.0
"""Levels of 255 by which the brightest tenth of the points must grow, more than the whole sky's trend."""
NOISE_TIMES = 5.0
"""The same in robust standard deviations of the minutes before."""
APART_S = 900.0
"""Two onsets are no nearer than that."""

_LEAST_CADENCE_S = 15.0  # faster frames are averaged: an onset takes longer, and noise falls
_STAYS_S = 90.0
_IN_ROW, _IN_ROW_RARE = 3, 2  # frames that must say the same
_RARE_S = 240.0
_MOST_COMPARED = 24  # frames of the minutes before
_BRIGHTEST = 0.1  # share of a line's points
_HORIZON = 10  # degrees at both ends of a line, which see trees and lights
_WORTH_A_LOOK = 0.5  # of the least rise, over the mean of the minutes before
_TREND_TIMES = 1.25  # the half before to the frames themselves, and a little for what grows ever faster
_FADED = 0.5  # of its rise: below it an aurora has faded, and another may begin
_AGAIN_TIMES, _AGAIN_TIMES_LEAST = 1.5, 2.0  # its former rise, and the least
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Onset:
    """Aurora brightens.

    Attributes
    ----------
    time : datetime
        Of the first frame that is brighter.
    frame_id : int
    rise : float
        By how much the brightest tenth of its lines grew, as a share of the lines' range, 0 to 1.
    aurora_probability : float
        Median of the frames from there on that say the same.
    """

    time: datetime
    frame_id: int
    rise: float
    aurora_probability: float


def onsets(series: NightSeries) -> tuple[Onset, ...]:
    """Find the onsets of a night, in order of time."""
    series = binned(series, _LEAST_CADENCE_S)
    search = _Search(series)
    found: list[Onset] = []
    seen: _Seen | None = None
    for i in range(LEAST_FRAMES, len(series.times_s) - search.in_row + 1):
        if seen is not None and not search.goes_on(i, seen):
            seen = None
        is_apart = not found or series.times_s[i] - found[-1].time.timestamp() >= APART_S
        rise = search.rise(i) if is_apart else None
        if rise is not None and (seen is None or rise >= seen.least_again):
            found.append(search.onset(i, rise))
            seen = _Seen(search.reference(i), rise)
    return tuple(found)


@dataclass(frozen=True)
class _Seen:
    """An aurora whose onset was found.

    Attributes
    ----------
    reference : ndarray
        Each point's level before it.
    rise : float
        How much brighter it began.
    """

    reference: NDArray[np.float32]
    rise: float

    @property
    def least_again(self) -> float:
        """Rise by which it brightens once more while it lasts, as an arc that breaks up."""
        return max(_AGAIN_TIMES_LEAST * LEAST_RISE, _AGAIN_TIMES * self.rise)


class _Search:
    """The lines of one night, and what they are compared with."""

    def __init__(self, series: NightSeries) -> None:
        inside = slice(_HORIZON, -_HORIZON)
        lines = np.concatenate([series.north_south[:, inside], series.east_west[:, inside]], axis=1)
        self._light = lines.astype(np.float32) @ _LUMINANCE
        self._series = series
        self._probability = np.nan_to_num(series.aurora_probability, nan=0.0)
        self._part = np.cumsum(np.concatenate([[0], np.diff(series.times_s) > series.gap_s]))
        cadence_s = series.cadence_s
        self._before_s = max(BEFORE_S, 1.5 * LEAST_FRAMES * cadence_s)
        self.in_row = _IN_ROW_RARE if cadence_s > _RARE_S else max(_IN_ROW, math.ceil(_STAYS_S / cadence_s))

    def rise(self, i: int) -> float | None:
        """How much a frame and those after it are brighter than those before; None: not enough."""
        row = slice(i, i + self.in_row)
        if min(self._probability[row]) < LEAST_PROBABILITY or self._part[i] != self._part[row.stop - 1]:
            return None
        first = self._first(i)
        if i - first < LEAST_FRAMES:
            return None
        compared = self._compared(first, i)
        plain = self._light[compared].mean(axis=0)  # a median takes ten times as long
        if _brightest(self._light[row] - plain).min() < _WORTH_A_LOOK * LEAST_RISE:
            return None
        growth = self._light[compared] - self.reference(i)
        middle = np.median(growth, axis=1)
        usual = _brightest(growth) - middle  # what noise and stars alone give
        noise = 1.4826 * float(np.median(np.abs(usual - np.median(usual))))
        taken_off = float(np.median(usual)) + _trend(middle)
        grown = _brightest(self._light[row] - self.reference(i)) - taken_off
        is_enough = grown.min() > max(LEAST_RISE, NOISE_TIMES * noise)
        return float(np.median(grown)) if is_enough else None

    def reference(self, i: int) -> NDArray[np.float32]:
        """Each point's level in the minutes before a frame."""
        return np.asarray(np.median(self._light[self._compared(self._first(i), i)], axis=0), np.float32)

    def goes_on(self, i: int, seen: _Seen) -> bool:
        """Whether an aurora that began is still there."""
        row = slice(i, i + self.in_row)
        is_bright = float(np.median(_brightest(self._light[row] - seen.reference))) >= _FADED * seen.rise
        is_likely = float(np.median(self._probability[row])) >= LEAST_PROBABILITY
        return is_bright and is_likely and self._part[i] == self._part[i - 1]

    def onset(self, i: int, rise: float) -> Onset:
        """What is to be told."""
        return Onset(
            time=datetime.fromtimestamp(self._series.times_s[i], UTC),
            frame_id=int(self._series.frame_ids[i]),
            rise=min(rise / 255.0, 1.0),
            aurora_probability=float(np.median(self._probability[i : i + self.in_row])),
        )

    def _first(self, i: int) -> int:
        """First frame of the minutes before, after the last gap."""
        begin = int(np.searchsorted(self._series.times_s, self._series.times_s[i] - self._before_s))
        return max(begin, int(np.searchsorted(self._part, self._part[i])))

    @staticmethod
    def _compared(first: int, i: int) -> NDArray[np.intp]:
        return np.unique(np.linspace(first, i - 1, _MOST_COMPARED).round().astype(np.intp))


def _brightest(growth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each line's brightest tenth."""
    ordered = np.sort(growth, axis=1)
    return np.asarray(ordered[:, int(ordered.shape[1] * (1.0 - _BRIGHTEST)) :].mean(axis=1), np.float32)


def _trend(middle: NDArray[np.float32]) -> float:
    """How much the whole sky may be expected to have brightened since the middle of some frames."""
    half = len(middle) // 2
    return _TREND_TIMES * max(float(np.median(middle[half:]) - np.median(middle[:half])), 0.0)
