"""What is known of a frame's sky without looking at the frame: where Sun and Moon stand."""

from __future__ import annotations

import numpy as np

from observatory.analysis import SkyFacts
from observatory.frame import Frame
from observatory.moon import moon_illuminated, moon_position
from observatory.sky import sun_elevation_deg

DAYLIGHT_DEG = -0.833
"""The Sun's height at sunrise: half its disk and 34' of refraction."""
AURORA_DEG = -6.0
"""Civil twilight: with the Sun above this no camera tells an aurora from the sky."""


def facts_of(frame: Frame) -> SkyFacts:
    """Sun and Moon over a frame's camera at the time of its exposure.

    Where the time or the place is not known, nothing of this is; the Moon's phase needs the time alone.
    """
    if frame.date_obs is None:
        return SkyFacts()
    time_s = np.array([frame.date_obs.timestamp()])
    illuminated = float(moon_illuminated(time_s)[0])
    if frame.site is None:
        return SkyFacts(moon_illuminated=illuminated)
    sun = float(sun_elevation_deg(time_s, frame.site)[0])
    moon, azimuth = moon_position(time_s, frame.site)
    return SkyFacts(
        sun_elevation_deg=sun,
        moon_elevation_deg=float(moon[0]),
        moon_azimuth_deg=float(azimuth[0]),
        moon_illuminated=illuminated,
        can_show_aurora=sun < AURORA_DEG,
    )
