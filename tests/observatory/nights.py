"""Nights of frames for tests: a quiet sky, and what is laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from observatory.analysis import SkyClass
from observatory.keogram import LINE
from observatory.nights import NightSeries

DUSK = datetime(2026, 11, 20, 18, tzinfo=UTC)


def night_of_frames(
    minutes: Sequence[float],
    *,
    classes: Sequence[SkyClass | None] | None = None,
    glow: Sequence[float] | float = 0.0,
    arc: Sequence[float] | float = 0.0,
    probability: Sequence[float] | float = 0.1,
    cloud: Sequence[float] | float = 0.2,
    seed: int = 1,
) -> NightSeries:
    """A night with frames at some minutes after dusk.

    Parameters
    ----------
    glow : levels
        Added to the whole sky: twilight, the Moon behind haze.
    arc : levels
        Added to a band of 20 degrees in the north.
    """
    count = len(minutes)
    random = np.random.default_rng(seed)
    lines = random.normal(30.0, 1.5, (count, LINE, 1)).repeat(3, 2)
    lines += np.broadcast_to(np.asarray(glow, float), count)[:, None, None]
    bright = np.broadcast_to(np.asarray(arc, float), count)[:, None, None]
    north_south = lines.copy()
    north_south[:, 40:60] += bright * [0.4, 1.0, 0.5]
    east_west = lines.copy()
    east_west[:, 80:100] += bright * [0.2, 0.5, 0.25]
    return NightSeries(
        frame_ids=np.arange(1, count + 1),
        times_s=np.array([(DUSK + timedelta(minutes=float(one))).timestamp() for one in minutes]),
        sky_classes=tuple(classes) if classes is not None else (SkyClass.CLEAR,) * count,
        aurora_probability=np.broadcast_to(np.asarray(probability, float), count).copy(),
        cloud_cover=np.broadcast_to(np.asarray(cloud, float), count).copy(),
        sun_elevation_deg=np.full(count, -20.0),
        north_south=np.clip(north_south, 0, 255).astype(np.uint8),
        east_west=np.clip(east_west, 0, 255).astype(np.uint8),
        is_oriented=True,
    )
