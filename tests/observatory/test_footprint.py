"""Where on Earth lies what an all-sky camera sees."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import EarthLocation
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import readsav

from observatory.fisheye import Fisheye
from observatory.footprint import NoFootprintError, footprint, points_below, polygons
from observatory.sky import Site

GAKONA = Site(62.41, 214.84 - 360.0, 0.0)


def km_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distance on the ground of neighbouring points, to a percent or so."""
    across = (first[:, 0] - second[:, 0] + 180.0) % 360.0 - 180.0
    north = first[:, 1] - second[:, 1]
    return 111.2 * np.hypot(across * np.cos(np.radians(second[:, 1])), north)


@pytest.mark.filterwarnings("ignore:Not able to verify")
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_points_lie_where_the_skymap_of_a_real_camera_has_them(real_frames: Path, layer: int) -> None:
    skymap = readsav(real_frames / "allsky" / "themis" / "themis_skymap_gako_20110305.sav")["skymap"][0]
    corners = [skymap[name][layer] for name in ("FULL_MAP_LONGITUDE", "FULL_MAP_LATITUDE")]
    middles = [(c[:-1, :-1] + c[1:, :-1] + c[:-1, 1:] + c[1:, 1:]) / 4.0 for c in corners]
    elevation = np.asarray(skymap["FULL_ELEVATION"], float)
    is_good = (elevation > 20.0) & np.isfinite(middles[1])
    azimuth = np.asarray(skymap["FULL_AZIMUTH"], float)[is_good]
    altitude_km = float(skymap["FULL_MAP_ALTITUDE"][layer]) / 1000.0
    found = points_below(GAKONA, 90.0 - elevation[is_good], azimuth, altitude_km)
    expected = np.column_stack([middle[is_good] for middle in middles])
    assert np.median(km_between(found, expected)) < 0.1
    assert km_between(found, expected).max() < 0.5


@given(
    st.floats(-89.9, 89.9), st.floats(-180, 180), st.floats(0, 5000), st.floats(0, 89), st.floats(0, 360),
    st.floats(50, 500),
)  # fmt: skip
def test_the_emission_stands_at_its_altitude_over_the_point(
    latitude: float, longitude: float, height: float, zenith: float, azimuth: float, altitude: float
) -> None:
    site = Site(latitude, longitude, height)
    ((x, y),) = points_below(site, np.array([zenith]), np.array([azimuth]), altitude)
    above = EarthLocation.from_geodetic(x, y, altitude * units.km)
    here = EarthLocation.from_geodetic(longitude, latitude, height)
    line = np.array([(getattr(above, c) - getattr(here, c)).to_value("km") for c in "xyz"])
    lat, lon = np.radians([latitude, longitude])
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    level = np.linalg.norm(line - (up @ line) * up)
    assert np.degrees(np.arctan2(level, up @ line)) == pytest.approx(zenith, abs=0.01)


def test_the_zenith_is_over_the_site_and_the_field_around_it() -> None:
    ((x, y),) = points_below(GAKONA, np.array([0.0]), np.array([123.0]), 110.0)
    assert (x, y) == pytest.approx((GAKONA.longitude_deg, GAKONA.latitude_deg), abs=1e-6)
    ring = footprint(GAKONA)
    assert ring.shape == (180, 2)
    away = km_between(ring, np.tile([x, y], (180, 1)))
    assert 450.0 < away.min() < away.max() < 550.0
    east, north = ring.T
    area = np.sum(east * np.roll(north, -1) - np.roll(east, -1) * north) / 2.0
    assert area > 0.0  # anticlockwise, as RFC 7946 wants it


def test_a_higher_emission_is_seen_over_more_of_the_earth() -> None:
    low, high = footprint(GAKONA, altitude_km=110.0), footprint(GAKONA, altitude_km=250.0)
    assert np.ptp(high[:, 1]) > 1.5 * np.ptp(low[:, 1])


def test_the_edges_of_the_picture_cut_the_field_of_an_oriented_camera() -> None:
    lens = Fisheye(127.5, 127.5, 250.0, is_oriented=True)
    cut, whole = footprint(GAKONA, lens, (256, 256)), footprint(GAKONA)
    assert np.ptp(cut[:, 1]) < 0.6 * np.ptp(whole[:, 1])
    unoriented = footprint(GAKONA, Fisheye(127.5, 127.5, 200.0), (256, 256))
    np.testing.assert_allclose(unoriented, whole)


def test_an_oblong_picture_is_cut_at_each_of_its_edges() -> None:
    lens = Fisheye(100.0, 60.0, 180.0, is_oriented=True)  # 2 pixels a degree, east to the left
    ring = footprint(GAKONA, lens, (120, 300))
    here = points_below(GAKONA, np.zeros(4), np.zeros(4), 110.0)
    reach = np.array([30.25, 80.0, 29.75, 50.25])  # north, west, south, east
    azimuth = np.array([0.0, 270.0, 180.0, 90.0])
    most = km_between(points_below(GAKONA, reach, azimuth, 110.0), here)
    least = km_between(points_below(GAKONA, reach - 80.0 / 180.0, azimuth, 110.0), here)
    found = km_between(ring[[0, 45, 90, 135]], here)
    assert (least < found).all() and (found <= most + 1e-6).all()


def test_the_field_ends_where_the_lens_does() -> None:
    narrow = footprint(GAKONA, Fisheye(127.5, 127.5, 120.0, max_zenith_deg=60.0))
    np.testing.assert_allclose(narrow, footprint(GAKONA, elevation_min_deg=30.0))


def test_a_zenith_outside_the_picture_is_said_to_be_so() -> None:
    with pytest.raises(NoFootprintError, match="check the camera's fisheye"):
        footprint(GAKONA, Fisheye(-20.0, 127.5, 120.0, is_oriented=True), (256, 256))


def test_a_ring_across_the_date_line_is_cut_in_two() -> None:
    pieces = polygons(footprint(Site(65.0, 179.0)))
    assert len(pieces) == 2
    assert all(piece[0] == piece[-1] for piece in pieces)
    longitudes = [x for piece in pieces for x, _ in piece]
    assert min(longitudes) == -180.0
    assert max(longitudes) == 180.0
    assert len(polygons(footprint(Site(65.0, 20.0)))) == 1


@pytest.mark.parametrize("latitude", [-90.0, -89.5, 89.5, 90.0])
@pytest.mark.parametrize("longitude", [-180.0, -30.0, 0.0, 180.0])
def test_a_ring_around_a_pole_runs_to_the_pole(latitude: float, longitude: float) -> None:
    pieces = polygons(footprint(Site(latitude, longitude)))
    points = [point for piece in pieces for point in piece]
    assert np.copysign(90.0, latitude) in [y for _, y in points]
    assert min(x for x, _ in points) == -180.0
    assert max(x for x, _ in points) == 180.0
    areas = [sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(piece)) / 2.0 for piece in pieces]
    assert min(areas) > 0.0  # anticlockwise, and no sliver along 180 degrees
    assert sum(areas) == pytest.approx(
        360.0 * (90.0 - np.abs(footprint(Site(latitude, longitude))[:, 1]).mean()), rel=0.02
    )
