"""Simulated skies that are good: what the p-value is calibrated on, and what defects are laid over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.simulate.allsky import SkyTruth
from models.simulate.allsky_cameras import CameraKind
from models.simulate.allsky_sampling import sample
from observatory.analysis import SkyClass, SkyFacts
from observatory.fisheye import Fisheye
from observatory.frame import Frame, RowOrder

_MOST_CLOUD = 0.25  # what an observer still calls a good night
_GOOD = frozenset({SkyClass.ARC, SkyClass.DIFFUSE, SkyClass.DISCRETE, SkyClass.CLEAR})
_DARK_DEG = -12.0


def good_skies(
    random: np.random.Generator, kinds: Sequence[CameraKind], size_px: int
) -> Iterator[tuple[Frame, Fisheye, SkyFacts, float]]:
    """Endless good frames with their geometry, what is known of Sun and Moon, and their true cloud cover.

    Good is a sky of an evident class that is neither cloud nor Moon, with little cloud, after twilight, with
    the Moon down or new.
    """
    while True:
        pixels, circle, truth = sample(random, size_px, kinds)
        if is_good(truth):
            frame = Frame(pixels, "allsky", RowOrder.TOP, fisheye=circle)
            yield frame, circle, facts_in(truth), truth.cloud_cover


def is_good(truth: SkyTruth) -> bool:
    """Whether nothing spoils a simulated sky."""
    moon = truth.moon_elevation_deg
    is_moonlit = moon is not None and moon > 0 and (truth.moon_illuminated or 0.0) > 0.3
    return (
        truth.sky_class in _GOOD
        and truth.cloud_cover <= _MOST_CLOUD
        and truth.sun_elevation_deg < _DARK_DEG
        and not is_moonlit
    )


def facts_in(truth: SkyTruth) -> SkyFacts:
    """What would be known of a simulated sky from time and place."""
    return SkyFacts(
        sun_elevation_deg=truth.sun_elevation_deg,
        moon_elevation_deg=truth.moon_elevation_deg,
        moon_azimuth_deg=truth.moon_azimuth_deg,
        moon_illuminated=truth.moon_illuminated,
        can_show_aurora=truth.sun_elevation_deg < -6.0,
    )
