"""The Moon and the Sun in a station's sky."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, get_body
from astropy.time import Time

from observatory.moon import horizontal, moon_illuminated, moon_position
from observatory.sky import Site, sun_azimuth_deg, sun_elevation_deg

SITES = [
    Site(78.15, 16.04, 520.0), Site(-33.0, -70.7, 2000.0), Site(0.0, 140.0), Site(90.0, 0.0),
    Site(-90.0, 0.0, 2835.0), Site(-77.85, 166.67),
]  # fmt: skip


@pytest.fixture(scope="module")
def times_s() -> np.ndarray:
    """Between 1951 and 2049."""
    return np.random.default_rng(1).uniform(-600_000_000, 2_500_000_000, 500)


@pytest.mark.filterwarnings("ignore:ERFA function")
@pytest.mark.usefixtures("installed_iers")
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("body", "most_deg", "usual_deg"), [("moon", 0.05, 0.012), ("sun", 0.015, 0.0035)])
def test_bodies_stand_where_astropy_puts_them(
    site: Site, body: str, most_deg: float, usual_deg: float, times_s: np.ndarray
) -> None:
    place = EarthLocation.from_geodetic(site.longitude_deg, site.latitude_deg, site.height_m)
    times = Time(times_s, format="unix")
    there = get_body(body, times, place).transform_to(AltAz(obstime=times, location=place))
    if body == "moon":
        elevation, azimuth = moon_position(times_s, site)
    else:
        elevation, azimuth = sun_elevation_deg(times_s, site), sun_azimuth_deg(times_s, site)
    assert azimuth.min() >= 0.0 and azimuth.max() < 360.0
    up = elevation - there.alt.deg
    along = ((azimuth - there.az.deg + 180.0) % 360.0 - 180.0) * np.cos(np.radians(elevation))
    assert np.hypot(up, along).max() < most_deg
    # A wrong sign of any term of the Moon's series shows here, at a pole at least.
    is_pole = abs(site.latitude_deg) == 90.0
    assert max(up.std(), along.std()) < (0.0077 if is_pole and body == "moon" else usual_deg)


def test_an_hour_angle_and_a_declination_stand_where_meeus_has_them() -> None:
    """Example 13.b of his Astronomical Algorithms, whose azimuths count from the south."""
    found = horizontal(np.radians(64.352133), np.radians(-6.719892), Site(38.921389, -77.065556))
    assert found == pytest.approx((15.1249, 68.0337 + 180.0), abs=2e-4)


def test_the_lit_share_is_the_one_of_meeus() -> None:
    """Example 48.a: 1992 April 12, 0 h."""
    assert moon_illuminated(np.array([Time("1992-04-12").unix]))[0] == pytest.approx(0.6786, abs=5e-4)


def test_the_moon_is_full_and_new_when_almanacs_say_so() -> None:
    full = np.array([Time(word).unix for word in ("2014-01-16T04:52", "2024-02-24T12:30")])
    new = np.array([Time(word).unix for word in ("2014-01-01T11:14", "2017-08-21T18:30")])
    quarter = np.array([Time("2014-01-08T03:39").unix])
    assert moon_illuminated(full).min() > 0.995
    assert moon_illuminated(new).max() < 0.005
    assert moon_illuminated(quarter)[0] == pytest.approx(0.5, abs=0.01)
