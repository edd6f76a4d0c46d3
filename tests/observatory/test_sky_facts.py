"""What is known of a sky without looking at it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from observatory.frame import Frame, RowOrder
from observatory.moon import moon_position
from observatory.sky import Site, sun_elevation_deg
from observatory.sky_facts import aurora_rarity, facts_of, magnetic_latitude_deg

LONGYEARBYEN = Site(78.15, 16.04)
FLAGSTAFF = Site(34.75, -111.42)


def frame(time: datetime | None, site: Site | None) -> Frame:
    return Frame(np.zeros((4, 4), np.uint8), "allsky", RowOrder.TOP, date_obs=time, site=site)


def test_the_polar_night_can_show_aurora_at_noon() -> None:
    facts = facts_of(frame(datetime(2013, 12, 21, 11, 0, tzinfo=UTC), LONGYEARBYEN))
    assert facts.sun_elevation_deg == pytest.approx(-11.6, abs=0.1)
    assert facts.can_show_aurora is True


def test_neither_daylight_nor_bright_twilight_can_show_aurora() -> None:
    noon = facts_of(frame(datetime(2018, 6, 20, 19, 25, tzinfo=UTC), FLAGSTAFF))
    dawn = facts_of(frame(datetime(2018, 6, 20, 12, 0, tzinfo=UTC), FLAGSTAFF))
    assert noon.sun_elevation_deg == pytest.approx(78.7, abs=0.2)
    assert noon.can_show_aurora is False
    assert dawn.sun_elevation_deg is not None and -6 < dawn.sun_elevation_deg < 0
    assert dawn.can_show_aurora is False
    before, after = (facts_of(frame(datetime(2018, 6, 20, 11, n, tzinfo=UTC), FLAGSTAFF)) for n in (42, 44))
    assert before.sun_elevation_deg == pytest.approx(-6.17, abs=0.05) and before.can_show_aurora is True
    assert after.sun_elevation_deg == pytest.approx(-5.83, abs=0.05) and after.can_show_aurora is False


def test_without_a_place_only_the_moons_phase_is_known_and_without_a_time_nothing() -> None:
    time = datetime(2018, 7, 27, 20, 20, 30, tzinfo=UTC)  # a total lunar eclipse: the Moon is full
    facts = facts_of(frame(time, None))
    assert facts.moon_illuminated == pytest.approx(1.0, abs=0.001)
    assert facts.moon_elevation_deg is None and facts.can_show_aurora is None
    nothing = facts_of(frame(None, FLAGSTAFF))
    assert nothing.sun_elevation_deg is None and nothing.moon_illuminated is None


def test_between_whole_minutes_sun_and_moon_stand_where_they_do() -> None:
    for second in (0.0, 17.3, 59.9):
        time = datetime(2014, 3, 10, 6, 41, tzinfo=UTC) + timedelta(seconds=second)
        facts = facts_of(frame(time, LONGYEARBYEN))
        exactly = np.array([time.timestamp()])
        elevation, azimuth = moon_position(exactly, LONGYEARBYEN)
        assert facts.moon_elevation_deg == pytest.approx(elevation[0], abs=1e-3)
        assert facts.moon_azimuth_deg == pytest.approx(azimuth[0], abs=1e-3)
        assert facts.sun_elevation_deg == pytest.approx(sun_elevation_deg(exactly, LONGYEARBYEN)[0], abs=1e-3)


def test_an_azimuth_that_passes_north_goes_the_short_way() -> None:
    minute = datetime(2014, 3, 10, 6, 19, tzinfo=UTC)  # 359.91 degrees, and 0.14 at the next
    for second, azimuth_deg in ((12, 359.956), (48, 0.094)):
        facts = facts_of(frame(minute + timedelta(seconds=second), LONGYEARBYEN))
        assert facts.moon_azimuth_deg == pytest.approx(azimuth_deg, abs=0.002)


@pytest.mark.parametrize(
    ("site", "latitude_deg"),
    [(LONGYEARBYEN, 75.6), (FLAGSTAFF, 42.0), (Site(56.38, -94.64), 65.5), (Site(-67.6, 62.9), -73.0)],
)
def test_magnetic_latitudes_are_those_of_the_dipole(site: Site, latitude_deg: float) -> None:
    assert magnetic_latitude_deg(site) == pytest.approx(latitude_deg, abs=1.0)


def test_aurora_is_rare_far_from_its_zone_on_both_sides_of_the_equator() -> None:
    assert aurora_rarity(None) == aurora_rarity(LONGYEARBYEN) == aurora_rarity(Site(-67.6, 62.9)) == 1.0
    assert aurora_rarity(FLAGSTAFF) == pytest.approx(0.016, rel=0.1)  # ten times rarer for ten of 18 degrees
    assert aurora_rarity(Site(0.0, 0.0)) < 1e-5
