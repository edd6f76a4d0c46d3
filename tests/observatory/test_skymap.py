"""Skymaps: the lens behind a map whichever way it lies, and the networks' numbers as ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from observatory.fisheye import Fisheye, Projection
from observatory.skymap import skymap_of

SHAPE = (96, 120)
HEIGHTS_M = np.array([90_000.0, 110_000.0, 150_000.0])


def arrays(lens: Fisheye, **changes: Any) -> dict[str, Any]:
    """A skymap in the networks' form of a camera in Athabasca (all longitudes east, to 360)."""
    zenith, azimuth = lens.directions(SHAPE)
    rows, columns = np.mgrid[: SHAPE[0] + 1, : SHAPE[1] + 1] / 100.0
    return {
        "full_elevation": np.where(zenith < 95.0, 90.0 - zenith, np.nan),
        "full_azimuth": azimuth,
        "full_map_altitude": HEIGHTS_M,
        "full_map_latitude": 54.6 + HEIGHTS_M[:, None, None] / 1e5 * rows,
        "full_map_longitude": 246.7 + HEIGHTS_M[:, None, None] / 1e5 * columns,
        "site_map_latitude": 54.6,
        "site_map_longitude": 246.7,
    } | changes


def lens(**changes: Any) -> Fisheye:
    return Fisheye(**{"center_x_px": 58.0, "center_y_px": 49.0, "radius_px": 44.0} | changes)


@pytest.mark.parametrize("projection", Projection)
@pytest.mark.parametrize("is_clockwise", [False, True])
@pytest.mark.parametrize(("up_azimuth_deg", "radius_y_px"), [(0.0, None), (110.0, 40.0), (290.0, 44.0)])
def test_the_lens_that_made_a_map_is_found_in_it(
    projection: Projection, is_clockwise: bool, up_azimuth_deg: float, radius_y_px: float | None
) -> None:
    made = lens(
        projection=projection,
        is_clockwise=is_clockwise,
        up_azimuth_deg=up_azimuth_deg,
        radius_y_px=radius_y_px,
    )
    found = skymap_of(arrays(made)).fisheye()
    assert (found.projection, found.is_clockwise, found.is_oriented) == (projection, is_clockwise, True)
    assert (found.center_x_px, found.center_y_px) == pytest.approx((58.0, 49.0), abs=0.01)
    assert (found.radius_px, found.aspect) == pytest.approx((44.0, made.aspect), rel=1e-3)
    assert (found.up_azimuth_deg - up_azimuth_deg + 180.0) % 360.0 == pytest.approx(180.0, abs=0.01)


def test_heights_that_fall_are_put_in_order_with_their_maps() -> None:
    rising, plain = skymap_of(arrays(lens())), arrays(lens())
    names = ("full_map_altitude", "full_map_latitude", "full_map_longitude")
    fallen = skymap_of(plain | {name: plain[name][::-1] for name in names})
    assert fallen.altitudes_km.tolist() == [90.0, 110.0, 150.0]
    for height in (90.0, 105.0, 120.0, 150.0):
        latitude, longitude = fallen.corners(height)
        np.testing.assert_allclose((latitude, longitude), rising.corners(height))
        assert latitude[-1, 0] == pytest.approx(54.6 + height / 100.0 * 0.96)
        assert longitude[0, -1] == pytest.approx(-113.3 + height / 100.0 * 1.20)


def test_between_two_heights_the_short_way_over_the_date_line_is_taken() -> None:
    plain = arrays(lens())
    moved = plain["full_map_longitude"] - 246.7 + 178.9  # at 90 km all west of it, at 110 km some east
    _, longitude = skymap_of(plain | {"full_map_longitude": moved}).corners(100.0)
    np.testing.assert_allclose(longitude[0] % 360.0, 178.9 + np.arange(121) / 100.0)


def test_a_map_of_one_height_knows_no_other() -> None:
    plain = arrays(lens())
    names = ("full_map_latitude", "full_map_longitude")
    single = skymap_of(plain | {"full_map_altitude": 110_000.0} | {name: plain[name][1:2] for name in names})
    np.testing.assert_array_equal(single.corners(110.0)[0], plain["full_map_latitude"][1])
    for height in (109.9, 110.1):
        with pytest.raises(ValueError, match="110 to 110 km"):
            single.corners(height)


def test_numbers_are_turned_into_ours_and_what_is_none_is_nan() -> None:
    plain = arrays(lens())
    azimuth, latitude = plain["full_azimuth"], plain["full_map_latitude"].astype(">f4")
    latitude[0, 0, 0] = 1e20
    changes = {
        "full_azimuth": np.where(azimuth > 180.0, azimuth - 360.0, azimuth),
        "full_map_latitude": latitude,
        "site_map_altitude": np.array([681.0]),
        "site_uid": b"atha/..",
    }
    found = skymap_of(plain | changes)
    assert found.elevation_deg[49, 58] == 90.0
    np.testing.assert_allclose(found.azimuth_deg, azimuth, atol=1e-4)
    assert np.argwhere(np.isnan(found.latitude_deg)).tolist() == [[0, 0, 0]]
    assert found.latitude_deg.dtype == np.float64
    assert -113.3 - 1e-6 <= found.longitude_deg.min() < found.longitude_deg.max() < -111.0
    assert (found.site.latitude_deg, found.site.longitude_deg) == pytest.approx((54.6, -113.3))
    assert (found.site.height_m, found.site_id, found.imager_id) == (681.0, "atha..", "")


def test_a_map_with_too_little_sky_is_refused() -> None:
    few = np.full(SHAPE, np.nan)
    few[:9, :11] = 45.0
    with pytest.raises(ValueError, match="hardly a pixel"):
        skymap_of(arrays(lens(), full_elevation=few))
    low = np.full(SHAPE, 4.9)
    with pytest.raises(ValueError, match="too few pixels"):
        skymap_of(arrays(lens(), full_elevation=low)).fisheye()
    with pytest.raises(ValueError, match="full_azimuth"):
        skymap_of(arrays(lens(), full_azimuth=few[1:]))
