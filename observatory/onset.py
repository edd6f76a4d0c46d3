"""Onsets: moments at which aurora brightens, or first appears, and stays.

Two things must rise together: the brightness of the brightest parts of the night's lines over what the minutes
before let expect, and the network's probability of aurora. Brightness is taken as contrast, the brightest tenth
of the lines over their middle, so that a Moon that rises or a dawn that fills the whole sky adds little; what
they add slowly is expected from the minutes before. A single bright frame (a car, a meteor, a satellite) is no
onset, for three frames in a row must say the same; nor is what a gap hides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from observatory.nights import NightSeries

BEFORE_S = 1200.0
"""Time before a frame that tells what is to be expected."""
LEAST_FRAMES = 4
"""Frames in that time, at least; where they are rare the time is longer."""
FRAMES_IN_ROW = 3
LEAST_PROBABILITY = 0.5
LEAST_RISE = 12.0
"""Levels of 255 by which the contrast must grow."""
NOISE_TIMES = 4.0
"""The same in robust standard deviations of the minutes before."""
APART_S = 900.0
"""Two onsets are no nearer than that."""

_BRIGHTEST = 0.1  # share of a line's points
_HORIZON = 10  # degrees at both ends of a line, which see trees and lights
_TREND_TIMES = 1.5  # from the middle of the half before to the frame itself is one and a half halves
_FADED = 0.5  # of the least rise: below it an aurora has faded, and another may begin
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
        By how much its contrast grew, as a share of the lines' range, 0 to 1.
    aurora_probability : float
        Median of the three frames from there on.
    """

    time: datetime
    frame_id: int
    rise: float
    aurora_probability: float


def contrast(series: NightSeries) -> NDArray[np.float64]:
    """Mean of the brightest tenth of both lines of each frame over their median, in levels."""
    lines = np.concatenate(
        [series.north_south[:, _HORIZON:-_HORIZON], series.east_west[:, _HORIZON:-_HORIZON]], 1
    )
    found = np.empty(len(lines))
    for i, line in enumerate(lines):  # one by one: a long night's lines would be large as floats
        levels = np.sort(line @ _LUMINANCE)
        brightest = levels[int(len(levels) * (1.0 - _BRIGHTEST)) :]
        found[i] = brightest.mean() - levels[len(levels) // 2]
    return found


def onsets(series: NightSeries) -> tuple[Onset, ...]:
    """Find the onsets of a night, in order of time."""
    if len(series.times_s) < LEAST_FRAMES + FRAMES_IN_ROW:
        return ()
    return _found(series, contrast(series), np.nan_to_num(series.aurora_probability, nan=0.0))


def _found(
    series: NightSeries, brightness: NDArray[np.float64], probability: NDArray[np.float64]
) -> tuple[Onset, ...]:
    times = series.times_s
    before_s = max(BEFORE_S, 1.5 * LEAST_FRAMES * series.cadence_s)
    part = np.cumsum(np.concatenate([[0], np.diff(times) > series.gap_s]))  # number of the unbroken stretch
    found: list[Onset] = []
    faded_below: float | None = None
    for i in range(LEAST_FRAMES, len(times) - FRAMES_IN_ROW + 1):
        row = slice(i, i + FRAMES_IN_ROW)
        level = float(np.median(brightness[row]))
        likely = float(np.median(probability[row]))
        if faded_below is not None:
            has_ended = level < faded_below or likely < LEAST_PROBABILITY or part[i] != part[i - 1]
            faded_below = None if has_ended else faded_below
            continue
        is_apart = not found or times[i] - found[-1].time.timestamp() >= APART_S
        if (
            min(probability[row]) < LEAST_PROBABILITY
            or part[i] != part[i + FRAMES_IN_ROW - 1]
            or not is_apart
        ):
            continue
        first = max(int(np.searchsorted(times, times[i] - before_s)), int(np.searchsorted(part, part[i])))
        if i - first < LEAST_FRAMES:
            continue
        expected, least = _expected(brightness[first:i])
        if brightness[row].min() - expected > least:
            moment = datetime.fromtimestamp(times[i], UTC)
            rise = (level - expected) / 255.0
            found.append(Onset(moment, int(series.frame_ids[i]), min(rise, 1.0), likely))
            faded_below = expected + _FADED * least
    return tuple(found)


def _expected(before: NDArray[np.float64]) -> tuple[float, float]:
    """Level that the frames before let expect, and the least rise over it that counts."""
    half = len(before) // 2
    trend = float(np.median(before[half:]) - np.median(before[:half]))
    middle = float(np.median(before))
    noise = 1.4826 * float(np.median(np.abs(before - middle)))
    return middle + _TREND_TIMES * max(trend, 0.0), max(LEAST_RISE, NOISE_TIMES * noise)
