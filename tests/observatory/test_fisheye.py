import numpy as np
import pytest

from observatory import sky_sectors
from observatory.fisheye import Fisheye, Projection


@pytest.mark.parametrize("projection", Projection)
@pytest.mark.parametrize("is_clockwise", [False, True])
def test_a_direction_comes_back_from_its_pixel(projection, is_clockwise):
    camera = Fisheye(
        100.0, 90.0, 80.0, 60.0, projection=projection, up_azimuth_deg=37.0, is_clockwise=is_clockwise
    )
    zenith, azimuth = np.meshgrid([1.0, 30.0, 89.0], [0.0, 45.0, 200.0, 359.0])
    found_zenith, found_azimuth = camera.direction(*camera.pixel(zenith, azimuth))
    np.testing.assert_allclose(found_zenith, zenith, atol=1e-4)
    np.testing.assert_allclose(np.mod(found_azimuth - azimuth + 180.0, 360.0), 180.0, atol=1e-4)


def test_an_oblong_circle_ends_at_both_of_its_radii_and_every_pixel_has_its_direction():
    camera = Fisheye(20.0, 15.0, 16.0, 12.0)
    zenith, azimuth = camera.directions((31, 41))
    assert zenith.shape == azimuth.shape == (31, 41)
    assert (zenith[15, 20], zenith[15, 4], zenith[3, 20]) == pytest.approx((0.0, 90.0, 90.0))
    assert (azimuth[3, 20], azimuth[15, 4]) == pytest.approx((0.0, 90.0))


def test_north_is_up_and_east_is_left_in_a_sky_seen_from_below():
    camera = Fisheye(50.0, 50.0, 40.0)
    np.testing.assert_allclose(camera.pixel(np.array(90.0), np.array(0.0)), (50.0, 10.0), atol=1e-9)
    np.testing.assert_allclose(camera.pixel(np.array(90.0), np.array(90.0)), (10.0, 50.0), atol=1e-9)


def test_a_scaled_camera_sees_the_same_directions():
    camera = Fisheye(63.5, 63.5, 60.0, 30.0, projection=Projection.EQUISOLID)
    small = camera.scaled(0.5)
    zenith, azimuth = np.array([10.0, 80.0]), np.array([20.0, 300.0])
    x, y = camera.pixel(zenith, azimuth)
    np.testing.assert_allclose(small.pixel(zenith, azimuth), ((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5))


def test_each_sector_holds_its_own_middle():
    for number in range(sky_sectors.COUNT):
        near, far, start, stop = sky_sectors.edges_deg(number)
        found = sky_sectors.sector_of(np.array((near + far) / 2), np.array((start + stop) / 2))
        assert found == number
    assert sky_sectors.sector_of(np.array([80.0, np.nan]), np.array([0.0, 0.0])).tolist() == [-1, -1]
