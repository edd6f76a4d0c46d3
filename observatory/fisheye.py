"""Where a pixel of an all-sky camera looks, and where a direction falls on its detector.

Directions are zenith distances and azimuths in degrees; azimuths count from north over east. Pixels are
0-based (x = column, y = row of the array as it was read, whatever side row 0 is shown at).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


class Projection(StrEnum):
    """How a lens maps the zenith distance to the distance from the zenith's pixel."""

    EQUIDISTANT = "equidistant"
    EQUISOLID = "equisolid"
    STEREOGRAPHIC = "stereographic"
    ORTHOGRAPHIC = "orthographic"


@dataclass(frozen=True)
class Fisheye:
    """Geometry of one camera.

    Attributes
    ----------
    center_x_px, center_y_px : float
        Pixel of the zenith.
    radius_px : float
        Along a row, from there to the zenith distance `max_zenith_deg`.
    radius_y_px : float or None
        The same along a column, for detectors that are binned unevenly; None: as `radius_px`.
    max_zenith_deg : float
    projection : Projection
    up_azimuth_deg : float
        Azimuth that lies towards row 0 of the array.
    is_clockwise : bool
        Whether azimuths grow clockwise in the array when row 0 is shown at the top; False for a sky
        seen from below with north up and east left.
    is_oriented : bool
        Whether the azimuths are known; the zenith distances always are.
    source : str
        ``settings``, ``skymap``, ``header`` or ``picture`` (the circle was found in it).
    """

    center_x_px: float
    center_y_px: float
    radius_px: float
    radius_y_px: float | None = None
    max_zenith_deg: float = 90.0
    projection: Projection = Projection.EQUIDISTANT
    up_azimuth_deg: float = 0.0
    is_clockwise: bool = False
    is_oriented: bool = False
    source: str = "picture"

    @property
    def aspect(self) -> float:
        """Radius along a column over that along a row."""
        return 1.0 if self.radius_y_px is None else self.radius_y_px / self.radius_px

    def directions(self, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """Zenith distance and azimuth of every pixel, degrees, float32.

        Parameters
        ----------
        shape : tuple (height, width)

        Returns
        -------
        zenith_deg, azimuth_deg : ndarray, shape (height, width)
            NaN in `zenith_deg` where the lens cannot look.
        """
        rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
        return self.direction(columns, rows)

    def direction(self, x_px: FloatArray, y_px: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Zenith distance and azimuth of points, degrees."""
        right = (np.asarray(x_px) - self.center_x_px) / self.radius_px
        down = (np.asarray(y_px) - self.center_y_px) / (self.radius_px * self.aspect)
        zenith = np.degrees(_angle(self.projection, np.hypot(right, down), self.max_zenith_deg))
        turned = np.degrees(np.arctan2(right, -down))
        azimuth = self.up_azimuth_deg + (turned if self.is_clockwise else -turned)
        return zenith, np.mod(azimuth, 360.0)

    def pixel(self, zenith_deg: FloatArray, azimuth_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pixel (x, y) that a direction falls on."""
        reach = _distance(self.projection, np.radians(zenith_deg), self.max_zenith_deg)
        turned = np.radians(np.asarray(azimuth_deg) - self.up_azimuth_deg)
        if not self.is_clockwise:
            turned = -turned
        x = self.center_x_px + self.radius_px * reach * np.sin(turned)
        y = self.center_y_px - self.radius_px * self.aspect * reach * np.cos(turned)
        return x, y

    def scaled(self, factor: float) -> Fisheye:
        """The geometry of the same picture at another size."""
        return replace(
            self,
            center_x_px=(self.center_x_px + 0.5) * factor - 0.5,
            center_y_px=(self.center_y_px + 0.5) * factor - 0.5,
            radius_px=self.radius_px * factor,
            radius_y_px=None if self.radius_y_px is None else self.radius_y_px * factor,
        )


def _distance(projection: Projection, angle: FloatArray, max_zenith_deg: float) -> FloatArray:
    """Distance from the zenith's pixel as a share of the radius."""
    return _image_height(projection, angle) / _image_height(projection, np.radians(max_zenith_deg))


def _image_height(projection: Projection, angle: FloatArray) -> FloatArray:
    if projection is Projection.EQUISOLID:
        return np.sin(angle / 2.0)
    if projection is Projection.STEREOGRAPHIC:
        return np.tan(angle / 2.0)
    if projection is Projection.ORTHOGRAPHIC:
        return np.sin(angle)
    return np.asarray(angle)


def _angle(projection: Projection, distance: FloatArray, max_zenith_deg: float) -> FloatArray:
    """Inverse of `_distance`, radians; NaN beyond what the projection reaches."""
    height = distance * _image_height(projection, np.radians(max_zenith_deg))
    with np.errstate(invalid="ignore"):
        if projection is Projection.EQUISOLID:
            return 2.0 * np.arcsin(height)
        if projection is Projection.STEREOGRAPHIC:
            return 2.0 * np.arctan(height)
        if projection is Projection.ORTHOGRAPHIC:
            return np.arcsin(height)
        return np.asarray(np.where(height <= np.pi, height, np.nan))
