"""Lines of the sky side by side in time: which frame stands in which column, and how bright."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observatory.nights import NightSeries

Bytes8 = NDArray[np.uint8]

_LOW, _HIGH = 0.02, 0.995  # quantiles of the night that become black and white
_LEAST_RANGE = 16.0  # levels: a night in which nothing shines is not stretched to noise
_DARK_DEG = -8.0  # brighter frames do not set the levels while there are darker ones
_MOST_SAMPLES = 200_000
_LEAST_STEP_S, _STEPS = 600.0, (600.0, 1800.0, 3600.0)  # ends of the axis are round times
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Axis:
    """Columns of a picture in time.

    Attributes
    ----------
    start_s, end_s : float
        POSIX seconds of the picture's edges.
    width_px : int
    """

    start_s: float
    end_s: float
    width_px: int

    @classmethod
    def of(cls, series: NightSeries, width_px: int) -> Axis:
        """Axis of round times around a night's frames."""
        first, last = float(series.times_s[0]), float(series.times_s[-1]) + series.cadence_s
        step = next((one for one in _STEPS if last - first <= 24 * one), _STEPS[-1])
        start, end = math.floor(first / step) * step, math.ceil(last / step) * step
        return cls(start, max(end, start + _LEAST_STEP_S), width_px)

    def x(self, time_s: float) -> float:
        """Place of a time in pixels from the left edge."""
        return (time_s - self.start_s) / (self.end_s - self.start_s) * self.width_px

    @property
    def centres_s(self) -> NDArray[np.float64]:
        """Times of the columns' centres."""
        step = (self.end_s - self.start_s) / self.width_px
        return np.asarray(self.start_s + step * (np.arange(self.width_px) + 0.5), np.float64)


@dataclass(frozen=True)
class Levels:
    """Levels that become black and white in all pictures of a night."""

    low: float
    high: float

    @classmethod
    def of(cls, series: NightSeries) -> Levels:
        """Levels of the night's dark frames, if it has any."""
        dark = np.flatnonzero(~(series.sun_elevation_deg > _DARK_DEG))
        chosen = dark if len(dark) else np.arange(len(series.times_s))
        points = 2 * series.north_south.shape[1]
        chosen = chosen[:: max(1, len(chosen) * points // _MOST_SAMPLES)]
        lines = np.concatenate([series.north_south[chosen], series.east_west[chosen]], axis=1)
        light = lines.astype(np.float32) @ _LUMINANCE
        light = light[light > 0]  # 0 is where nothing is seen
        if not light.size:
            return cls(0.0, 255.0)
        low, high = (float(level) for level in np.quantile(light, (_LOW, _HIGH)))
        return cls(low, max(high, low + _LEAST_RANGE))

    def apply(self, lines: NDArray[np.floating] | Bytes8) -> Bytes8:
        """Stretch levels; colours keep their proportions above black."""
        share = (np.asarray(lines, np.float32) - self.low) / (self.high - self.low)
        return (np.clip(share, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def columns(series: NightSeries, lines: Bytes8, axis: Axis) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Lay a night's lines into columns.

    Frames that fall into one column are averaged; columns between two frames show the earlier one.

    Parameters
    ----------
    lines : ndarray, shape (n, points, 3)

    Returns
    -------
    levels : ndarray, shape (points, width, 3), float32
    is_shown : ndarray, shape (width,)
        False in gaps, and before and after the frames.
    """
    times = series.times_s
    step = (axis.end_s - axis.start_s) / axis.width_px
    column = np.clip(((times - axis.start_s) / step).astype(int), 0, axis.width_px - 1)
    _, first = np.unique(column, return_index=True)
    means = np.add.reduceat(lines.astype(np.float32), first, axis=0)
    last = np.append(first[1:], len(times)) - 1
    means /= (last - first + 1)[:, None, None]
    latest = np.searchsorted(times[first], axis.centres_s + step / 2, side="left") - 1
    known = np.maximum(latest, 0)
    is_shown = (latest >= 0) & (axis.centres_s - step / 2 < _ends(series)[last][known])
    return means[known].transpose(1, 0, 2), is_shown


def _ends(series: NightSeries) -> NDArray[np.float64]:
    """Until when each frame counts: until the next one, before a gap for a cadence."""
    spacing = np.append(np.diff(series.times_s), np.inf)
    return series.times_s + np.where(spacing <= series.gap_s, spacing, series.cadence_s)
