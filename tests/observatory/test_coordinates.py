"""Places on the Sun agree with sunpy's, there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observatory.coordinates import (
    MM2_PER_MSH,
    RSUN_MM,
    SunView,
    UnknownOrientationError,
    cell_areas,
    hpc_to_pixel,
    hpc_to_stonyhurst,
    pixel_to_hpc,
    rotate_carrington,
    rotate_stonyhurst,
    rotation_deg_per_day,
    stonyhurst_to_hpc,
    to_carrington,
    to_stonyhurst,
)
from observatory.frame import Pointing, RowOrder

MOMENTS = [datetime(2010, 5, 20, tzinfo=UTC) + timedelta(days=37.3 * k) for k in range(0, 160, 9)]
AIA = Pointing(2047.5, 2050.2, 1600.0, 960.0, 0.14, "header")


def test_the_ephemeris_agrees_with_sunpy_to_two_hundredths_of_a_degree_and_an_arcsecond():
    sun = pytest.importorskip("sunpy.coordinates.sun")
    for moment in MOMENTS:
        view = SunView(moment)
        time = moment.replace(tzinfo=None)
        assert view.b0_deg == pytest.approx(sun.B0(time).deg, abs=0.02)
        apart = (view.l0_deg - sun.L0(time).deg + 180) % 360 - 180
        assert abs(apart) < 0.02
        assert view.rsun_arcsec == pytest.approx(sun.angular_radius(time).arcsec, abs=1.0)
        assert view.distance_au == pytest.approx(sun.earth_distance(time).au, abs=1e-4)


def test_heliographic_coordinates_agree_with_sunpy():
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    frames = pytest.importorskip("sunpy.coordinates.frames")
    moment = datetime(2014, 9, 5, 7, 12, tzinfo=UTC)
    view = SunView(moment)
    tx, ty = (v.ravel() for v in np.meshgrid(np.linspace(-930, 930, 13), np.linspace(-930, 930, 13)))
    seen = SkyCoord(
        tx * u.arcsec,
        ty * u.arcsec,
        frame=frames.Helioprojective(
            observer="earth", obstime=moment.replace(tzinfo=None), rsun=RSUN_MM * u.Mm
        ),
    )
    radius = np.degrees(np.arcsin((RSUN_MM * u.Mm / seen.observer.radius).to_value(u.one))) * 3600
    on_disk = np.hypot(tx, ty) < 0.985 * radius
    theirs = seen[on_disk].transform_to(
        frames.HeliographicCarrington(observer="earth", obstime=moment.replace(tzinfo=None))
    )
    longitude, latitude = hpc_to_stonyhurst(tx[on_disk], ty[on_disk], view.b0_deg, radius)
    apart = (to_carrington(longitude, view.l0_deg) - theirs.lon.deg + 180) % 360 - 180
    assert np.abs(latitude - theirs.lat.deg).max() < 0.02
    assert np.abs(apart * np.cos(np.radians(latitude))).max() < 0.02
    back_x, back_y = stonyhurst_to_hpc(longitude, latitude, view.b0_deg, radius)
    assert np.hypot(back_x - tx[on_disk], back_y - ty[on_disk]).max() < 1e-6


@pytest.mark.parametrize("roll", [0.0, 0.14, 35.0, 180.0, -90.0])
def test_pixels_agree_with_the_wcs_of_the_same_header(roll: float):
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    angle = np.radians(roll)
    wcs.wcs.ctype = ["HPLN-TAN", "HPLT-TAN"]
    wcs.wcs.cunit = ["arcsec", "arcsec"]
    wcs.wcs.crpix = [AIA.center_x_px + 1, AIA.center_y_px + 1]
    wcs.wcs.cdelt = [AIA.cdelt_arcsec] * 2
    wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pointing = Pointing(AIA.center_x_px, AIA.center_y_px, AIA.radius_px, AIA.rsun_arcsec, roll)
    x, y = np.array([500.0, 2047.5, 3600.0]), np.array([3100.0, 400.0, 2200.0])
    theirs = np.stack(wcs.all_pix2world(x, y, 0)) * 3600
    theirs[0] = (theirs[0] + 648000) % 1296000 - 648000
    assert np.allclose(np.stack(pixel_to_hpc(x, y, pointing)), theirs, atol=0.02)


@given(
    st.floats(-180, 180),
    st.sampled_from(RowOrder),
    st.floats(0, 4095),
    st.floats(0, 4095),
)
def test_a_pixel_comes_back_from_the_sky(roll: float, rows: RowOrder, x: float, y: float):
    pointing = Pointing(2047.5, 2050.2, 1600.0, 960.0, roll)
    back = hpc_to_pixel(*pixel_to_hpc(x, y, pointing, rows), pointing, rows)
    assert np.allclose(back, (x, y), atol=1e-8)


@given(st.floats(-7.25, 7.25), st.floats(-89, 89), st.floats(-60, 60))
@settings(max_examples=200)
def test_a_place_on_the_near_side_comes_back_from_the_disk(b0: float, longitude: float, latitude: float):
    tx, ty = stonyhurst_to_hpc(longitude, latitude, b0, 945.0)
    if np.isnan(tx):
        return
    back = hpc_to_stonyhurst(tx, ty, b0, 945.0)
    assert np.allclose(back, (longitude, latitude), atol=2e-4)


def test_north_is_up_in_a_picture_whose_rows_count_down():
    pointing = Pointing(99.5, 99.5, 80.0, 960.0, 0.0)
    assert pixel_to_hpc(99.5, 19.5, pointing, RowOrder.TOP)[1] == pytest.approx(960.0)
    assert pixel_to_hpc(99.5, 19.5, pointing, RowOrder.BOTTOM)[1] == pytest.approx(-960.0)


def test_there_is_nothing_beyond_the_limb_and_nothing_on_the_far_side():
    assert np.isnan(hpc_to_stonyhurst(1200.0, 0.0, 3.0, 960.0)).all()
    assert np.isnan(stonyhurst_to_hpc(120.0, 10.0, 3.0, 960.0)).all()
    assert np.isfinite(stonyhurst_to_hpc(89.0, 0.0, 3.0, 960.0)).all()


def test_an_unknown_roll_is_an_error_that_says_what_to_give():
    with pytest.raises(UnknownOrientationError, match="CROTA2"):
        pixel_to_hpc(1, 1, Pointing(50, 50, 40.0))


def test_rotation_is_that_of_howard_and_colleagues_as_sunpy_has_it():
    import astropy.units as u

    theirs = pytest.importorskip("sunpy.sun.models").differential_rotation
    latitudes = np.array([0.0, 16.0, -45.0, 80.0])
    days = 1 * u.day
    assert np.allclose(
        rotation_deg_per_day(latitudes, frame="sidereal"),
        theirs(days, latitudes * u.deg, model="howard", frame_time="sidereal").to_value(u.deg),
        atol=1e-3,
    )
    assert np.allclose(
        rotation_deg_per_day(latitudes),
        theirs(days, latitudes * u.deg, model="howard", frame_time="synodic").to_value(u.deg),
        atol=1e-3,
    )


@given(st.floats(0, 360), st.floats(-80, 80), st.floats(-10, 10))
def test_rotating_forward_and_back_ends_where_it_began(longitude: float, latitude: float, days: float):
    there = rotate_carrington(longitude, latitude, days)
    back = rotate_carrington(there, latitude, -days)
    assert (back - longitude + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    seen = rotate_stonyhurst(rotate_stonyhurst(longitude, latitude, days), latitude, -days)
    assert (seen - longitude + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


def test_longitudes_stay_within_their_turn():
    assert [float(to_stonyhurst(*pair)) for pair in ((10, 350), (350, 10), (190, 10), (10, 190))] == [
        20.0,
        -20.0,
        -180.0,
        -180.0,
    ]
    assert [float(to_carrington(longitude, 350.0)) for longitude in (20.0, -20.0, 10.0)] == [10.0, 330.0, 0.0]
    drift = float(rotation_deg_per_day(0.0, frame="carrington"))
    assert 0.0 < drift < 1.0
    assert float(rotate_carrington(360.0 - drift / 2, 0.0, 1.0)) == pytest.approx(drift / 2)
    assert float(rotate_stonyhurst(175.0, 0.0, 1.0)) == pytest.approx(
        175.0 + rotation_deg_per_day(0.0) - 360.0
    )


def test_carrington_and_stonyhurst_rotation_tell_the_same():
    start, later = (SunView(datetime(2015, 3, 1, tzinfo=UTC) + timedelta(days=d)) for d in (0, 4))
    carrington = to_carrington(12.0, start.l0_deg)
    moved = to_stonyhurst(rotate_carrington(carrington, 20.0, 4.0), later.l0_deg)
    # The Earth's true motion differs from the mean by up to a thirtieth of a degree a day.
    assert moved == pytest.approx(rotate_stonyhurst(12.0, 20.0, 4.0), abs=0.15)


@pytest.mark.parametrize("side", [64, 256, 1024])
def test_the_cells_cover_what_of_the_sun_can_be_seen(side: int):
    pointing = Pointing(511.5, 511.5, 400.0, 960.0, 0.0)
    areas = cell_areas(side, (-0.5, -0.5, 1023.5, 1023.5), pointing)
    visible = 1e6 * (1 - np.sin(960.0 * np.pi / 648000))
    assert areas.msh.sum() == pytest.approx(visible, rel=2e-3)
    assert areas.msh[areas.radius > 1 + 2 / side * 1024 / 400].max() == 0


def test_a_cell_at_sixty_degrees_is_twice_a_cell_at_the_centre():
    pointing = Pointing(511.5, 511.5, 400.0, 1.0, 0.0)  # one arcsecond: seen from far away
    areas = cell_areas(1024, (-0.5, -0.5, 1023.5, 1023.5), pointing)
    sixty = round(511.5 + 400 * np.sin(np.radians(60)))
    assert areas.msh[512, sixty] / areas.msh[512, 512] == pytest.approx(2.0, rel=0.01)
    assert areas.msh[512, 512] * MM2_PER_MSH == pytest.approx((RSUN_MM / 400) ** 2, rel=0.01)
    assert pytest.approx(2e-6 * np.pi * RSUN_MM**2) == MM2_PER_MSH


def test_a_map_of_areas_is_kept_for_the_next_frame():
    first = cell_areas(128, (0, 0, 1000, 1000), Pointing(500.0, 500.0, 400.0))
    again = cell_areas(128, (10, 20, 1010, 1020), Pointing(510.0, 520.0, 400.0, roll_deg=0.1))
    assert first is again
