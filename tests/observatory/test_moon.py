"""The Moon and the Sun in a station's sky."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, get_body
from astropy.time import Time
from astropy.utils import iers

from observatory.moon import moon_illuminated, moon_position
from observatory.sky import Site, sun_azimuth_deg, sun_elevation_deg

SITES = [Site(78.15, 16.04, 520.0), Site(-33.0, -70.7, 2000.0), Site(0.0, 140.0)]


@pytest.fixture(scope="module")
def times_s() -> np.ndarray:
    return np.random.default_rng(1).uniform(1_100_000_000, 1_900_000_000, 60)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("body", ["moon", "sun"])
def test_bodies_stand_where_astropy_puts_them(site: Site, body: str, times_s: np.ndarray) -> None:
    place = EarthLocation.from_geodetic(site.longitude_deg, site.latitude_deg, site.height_m)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        times = Time(times_s, format="unix")
        there = get_body(body, times, place).transform_to(AltAz(obstime=times, location=place))
    if body == "moon":
        elevation, azimuth = moon_position(times_s, site)
    else:
        elevation, azimuth = sun_elevation_deg(times_s, site), sun_azimuth_deg(times_s, site)
    ours = AltAz(alt=elevation * u.deg, az=azimuth * u.deg, obstime=times, location=place)
    apart = np.degrees(
        np.arccos(
            np.clip(
                np.sum(
                    np.asarray(there.cartesian.xyz / there.cartesian.norm()) * np.asarray(ours.cartesian.xyz),
                    0,
                ),
                -1,
                1,
            )
        )
    )
    assert apart.max() < 0.08


def test_the_moon_is_full_and_new_when_almanacs_say_so() -> None:
    full = np.array([Time(word).unix for word in ("2014-01-16T04:52", "2024-02-24T12:30")])
    new = np.array([Time(word).unix for word in ("2014-01-01T11:14", "2017-08-21T18:30")])
    quarter = np.array([Time("2014-01-08T03:39").unix])
    assert moon_illuminated(full).min() > 0.995
    assert moon_illuminated(new).max() < 0.005
    assert moon_illuminated(quarter)[0] == pytest.approx(0.5, abs=0.01)
