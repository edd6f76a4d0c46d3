"""Where on the Sun the pixels of a picture of the photosphere lie.

Two kinds of pictures say it: those in helioprojective coordinates, by their pointing, and patches in
cylindrical equal-area coordinates (SHARP), by the words of their header.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from observatory.coordinates import RSUN_MM, SunView
from observatory.frame import Frame, Pointing, RowOrder
from observatory.instruments.base import number

Box = tuple[int, int, int, int]

_MOST_DEG = 1.0  # per pixel: beyond, a CDELT in degrees is none of a patch
_MEAN_RSUN_ARCSEC = 959.63


class View(Protocol):
    """How pixels lie on the Sun.

    Attributes
    ----------
    radius_px : float
        Solar radius in pixels.
    pixel_arcsec : float
        Side of a pixel at the disk's centre, as seen from the distance of HMI.
    pixel_mm : float
        The same on the Sun in 1000 km.
    is_equal_area : bool
        Whether pixels have the same area on the Sun all over.
    """

    @property
    def radius_px(self) -> float: ...

    @property
    def pixel_arcsec(self) -> float: ...

    @property
    def pixel_mm(self) -> float: ...

    @property
    def is_equal_area(self) -> bool: ...

    def mu_squared(self, box: Box) -> NDArray[np.float32]:
        """Squared cosine of the heliocentric angle of the pixels in (x0, y0, x1, y1); below 0 off the disk."""


@dataclass(frozen=True)
class DiskView:
    """Helioprojective pixels around a known disk."""

    pointing: Pointing

    @property
    def radius_px(self) -> float:
        return self.pointing.radius_px

    @property
    def pixel_arcsec(self) -> float:
        return self.pointing.cdelt_arcsec

    @property
    def pixel_mm(self) -> float:
        return RSUN_MM / self.pointing.radius_px

    @property
    def is_equal_area(self) -> bool:
        return False

    def mu_squared(self, box: Box) -> NDArray[np.float32]:
        x0, y0, x1, y1 = box
        x = (np.arange(x0, x1) - self.pointing.center_x_px) / self.pointing.radius_px
        y = (np.arange(y0, y1) - self.pointing.center_y_px) / self.pointing.radius_px
        across, along = np.square(x).astype(np.float32), (1.0 - np.square(y)).astype(np.float32)
        return np.subtract(along[:, None], across[None, :])


@dataclass(frozen=True)
class CylindricalView:
    """Pixels of a cylindrical equal-area map about a point on the Sun.

    The map's own equator runs through its reference point (Calabretta & Greisen 2002, A&A 395, 1077,
    section 5.2.2; so the patches of Bobra et al. 2014, Solar Phys. 289, 3549, are made).

    Attributes
    ----------
    reference_px : tuple (x, y)
        0-based.
    reference_deg : tuple (longitude, latitude)
        Heliographic, longitude from the central meridian.
    step_deg : tuple (x, y)
        Per pixel; y below 0 where rows count from the top.
    b0_deg : float
        Latitude of the disk's centre.
    rsun_arcsec : float
    """

    reference_px: tuple[float, float]
    reference_deg: tuple[float, float]
    step_deg: tuple[float, float]
    b0_deg: float
    rsun_arcsec: float = _MEAN_RSUN_ARCSEC

    @property
    def radius_px(self) -> float:
        return float(1.0 / np.radians(abs(self.step_deg[0])))

    @property
    def pixel_arcsec(self) -> float:
        return self.rsun_arcsec / self.radius_px

    @property
    def pixel_mm(self) -> float:
        return RSUN_MM / self.radius_px

    @property
    def is_equal_area(self) -> bool:
        return True

    def mu_squared(self, box: Box) -> NDArray[np.float32]:
        x0, y0, x1, y1 = box
        along = np.radians((np.arange(x0, x1) - self.reference_px[0]) * self.step_deg[0])[None, :]
        up = np.radians((np.arange(y0, y1) - self.reference_px[1]) * self.step_deg[1])[:, None]
        sine = np.clip(up, -1.0, 1.0)
        cosine = np.sqrt(1.0 - np.square(sine))
        # The disk's centre in the map's own frame: x towards its reference point, z to its north.
        longitude, latitude, b0 = (np.radians(a) for a in (*self.reference_deg, self.b0_deg))
        towards = np.sin(b0) * np.sin(latitude) + np.cos(b0) * np.cos(latitude) * np.cos(longitude)
        west = -np.cos(b0) * np.sin(longitude)
        north = np.sin(b0) * np.cos(latitude) - np.cos(b0) * np.sin(latitude) * np.cos(longitude)
        mu = cosine * (np.cos(along) * towards + np.sin(along) * west) + sine * north
        return np.asarray(mu * np.abs(mu), np.float32)


def view_of(frame: Frame) -> View | None:
    """Where the pixels of a frame lie, as far as its header tells; None for a bare patch."""
    if frame.pointing is not None:
        return DiskView(frame.pointing)
    return _cylindrical(frame)


def stated_pixel_arcsec(frame: Frame) -> float | None:
    """Side of a pixel as the header tells it, even of a picture whose place on the Sun it does not tell."""
    view = view_of(frame)
    if view is not None:
        return view.pixel_arcsec
    step = number(frame.header, "CDELT1")
    unit = str(frame.header.get("CUNIT1", "arcsec")).strip().lower()
    if step is None or not step:
        return None
    if unit.startswith("deg"):
        return abs(step) * 3600.0 if abs(step) < 0.01 else abs(float(np.radians(step))) * _MEAN_RSUN_ARCSEC
    return abs(step) if unit.startswith(("arcsec", "asec")) else None


def _cylindrical(frame: Frame) -> CylindricalView | None:
    header = frame.header
    if not str(header.get("CTYPE1", "")).strip().endswith("-CEA"):
        return None
    found = [number(header, key) for key in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2")]
    if any(value is None for value in found):
        return None
    x, y, longitude, latitude, step_x, step_y = (float(value) for value in found if value is not None)
    if not (0 < abs(step_x) < _MOST_DEG and 0 < abs(step_y) < _MOST_DEG):
        return None
    l0, b0 = number(header, "CRLN_OBS"), number(header, "CRLT_OBS")
    rsun = number(header, "RSUN_OBS")
    if frame.date_obs is not None and (l0 is None or b0 is None or rsun is None):
        sun = SunView(frame.date_obs)
        l0, b0 = sun.l0_deg if l0 is None else l0, sun.b0_deg if b0 is None else b0
        rsun = sun.rsun_arcsec if rsun is None else rsun
    if str(header.get("CTYPE1", "")).startswith("HGLN"):
        l0 = 0.0  # Stonyhurst: longitude counts from the central meridian already
    if l0 is None or b0 is None:
        return None
    if frame.row_order is RowOrder.TOP:
        y, step_y = frame.height + 1 - y, -step_y
    return CylindricalView(
        (x - 1.0, y - 1.0),
        ((longitude - l0 + 180.0) % 360.0 - 180.0, latitude),
        (step_x, step_y),
        b0,
        rsun or _MEAN_RSUN_ARCSEC,
    )
