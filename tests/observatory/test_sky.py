"""The Sun over a station, and the Earth before SDO's Sun, against what others say of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, get_sun
from astropy.time import Time

from observatory import sdo
from observatory.sky import Site, spans_above, sun_above, sun_azimuth_deg, sun_elevation_deg

KANZELHOEHE = Site(46.678, 13.902, 1526)
SITES = [KANZELHOEHE, Site(34.258, -116.921, 2067), Site(-31.27, 149.06, 1165), Site(78.92, 11.93, 10)]


@pytest.mark.usefixtures("installed_iers")
@pytest.mark.parametrize("site", SITES, ids=["Kanzelhöhe", "Big Bear", "Siding Spring", "Ny-Ålesund"])
def test_the_suns_place_is_astropys_within_a_fiftieth_of_a_degree(site: Site) -> None:
    start = datetime(2010, 1, 1, tzinfo=UTC)
    times = np.array([(start + timedelta(hours=131.7 * step)).timestamp() for step in range(1200)])
    when = Time(times, format="unix")
    place = EarthLocation.from_geodetic(
        site.longitude_deg * u.deg, site.latitude_deg * u.deg, site.height_m * u.m
    )
    right = get_sun(when).transform_to(AltAz(obstime=when, location=place))
    assert np.abs(sun_elevation_deg(times, site) - right.alt.deg).max() < 0.02
    turned_deg = (sun_azimuth_deg(times, site) - right.az.deg + 180.0) % 360.0 - 180.0
    assert np.abs(turned_deg * np.cos(right.alt.rad)).max() < 0.02


def test_days_begin_and_end_where_the_sun_passes_the_limit() -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    spans = sun_above(KANZELHOEHE, 5.0, start, start + 10 * 86400)
    assert len(spans) == 10
    edges = np.array(spans).ravel()
    assert np.abs(sun_elevation_deg(edges, KANZELHOEHE) - 5.0).max() < 0.01


def test_a_span_that_only_touches_an_end_is_none() -> None:
    times, rises = np.array([0.0, 300.0]), np.array([-1.0, 1.0])
    assert spans_above(times, rises, 0.0, 150.0) == []
    assert spans_above(times, rises, 0.0, 200.0) == [(150.0, 200.0)]
    assert spans_above(times, -rises, 150.0, 300.0) == []
    assert spans_above(times, -rises, 100.0, 300.0) == [(100.0, 150.0)]


@pytest.mark.parametrize(("month", "spans"), [(1, []), (6, [(0.0, 5 * 86400.0)])], ids=["winter", "summer"])
def test_there_is_neither_day_in_the_polar_night_nor_night_in_its_summer(
    month: int, spans: list[tuple[float, float]]
) -> None:
    start = datetime(2026, month, 10, tzinfo=UTC).timestamp()
    found = sun_above(SITES[3], 0.0, start, start + 5 * 86400)
    assert [(begin - start, end - start) for begin, end in found] == spans


# As the mission's blog (sdoisgo.blogspot.com) and NASA's news announced them.
SEASONS = [
    ("2010-09-15", "2010-10-07"),
    ("2012-09-06", "2012-09-29"),
    ("2015-02-23", "2015-03-17"),
    ("2015-08-25", "2015-09-17"),
    ("2016-02-19", "2016-03-12"),
    ("2018-02-10", "2018-03-05"),
]


@pytest.mark.parametrize(("first", "last"), SEASONS)
def test_eclipse_seasons_come_out_to_the_day_as_they_were_announced(first: str, last: str) -> None:
    begin, end = (datetime.fromisoformat(word).replace(tzinfo=UTC) for word in (first, last))
    around = [(side + timedelta(days=days)).timestamp() for side, days in ((begin, -30), (end, 30))]
    found = sdo.eclipses(*around, margin_deg=0.0)
    days = [datetime.fromtimestamp(at, UTC).date() for at, _ in found]
    assert abs((days[0] - begin.date()).days) <= 1 and abs((days[-1] - end.date()).days) <= 1
    assert len(set(days)) == len(days) == (days[-1] - days[0]).days + 1, "one eclipse a day"
    assert 70 * 60 < max(end - begin for begin, end in found) < 76 * 60


def test_the_total_eclipse_of_11_february_2018_lies_where_nasa_saw_it() -> None:
    begin, end = (datetime(2018, 2, 11, 7, minute, tzinfo=UTC).timestamp() for minute in (10, 41))
    (found,) = sdo.eclipses(begin - 3600, end + 3600)
    assert found[0] < begin and found[1] > end
    assert found[0] > begin - 20 * 60 and found[1] < end + 20 * 60


def test_an_eclipse_is_cut_at_the_ends_of_the_span_and_none_is_found_out_of_season() -> None:
    middle = datetime(2018, 2, 20, 7, 0, tzinfo=UTC).timestamp()
    assert sdo.eclipses(middle, middle + 600) == [(middle, middle + 600)]
    june = datetime(2018, 6, 1, tzinfo=UTC).timestamp()
    assert sdo.eclipses(june, june + 30 * 86400) == []
