"""A simulated photosphere as SDO/HMI sees it: patches with their truth, and full disks.

Patches come from `models.simulate.photosphere` through the telescope's point spread function.
Full disks are drawn at the frame's own scale: a granulation with the right power spectrum on the
curved surface, network, plage and groups of spots that turn with the Sun, limb darkening, the
telescope, noise, and the circle beyond which HMI's frames hold nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.hmi_enhancement.psf import HMI_PX_ARCSEC, KM_PER_ARCSEC, WACHTER, Psf, degrade
from models.simulate.hmi_surface import Plane, Surface, SurfaceTiles, draw_plane, draw_tiles, look_at
from models.simulate.photosphere import GRID_KM, photosphere
from models.simulate.sunspots import SpotGroup, draw_groups, draw_spot
from observatory.analysis import Quantity
from observatory.coordinates import SunView, hpc_to_pixel, rotate_carrington, stonyhurst_to_hpc, to_stonyhurst
from observatory.frame import DateSource, Frame, Pointing, RowOrder
from observatory.sun import limb_darkening

__all__ = [
    "NOISE",
    "HmiSun",
    "HmiTelescope",
    "SimulatedHmi",
    "SpotGroup",
    "full_disk",
    "hmi_patch",
]

FloatArray = NDArray[np.float32]

#: Rms of the noise: share of the quiet Sun's light, and kG (10.2 G in 45 s: Liu et al. 2012, Solar
#: Phys. 279, 295, section 3).
NOISE = {Quantity.CONTINUUM: 1e-3, Quantity.FIELD: 0.0102}
_FIELD_NOISE_720S_KG = 0.0063  # the same source

#: Limb darkening of the continuum at 617 nm, quadratic law: Cox (ed.) 2000, Allen's Astrophysical
#: Quantities, 4th ed., section 14.7, (u2, v2) interpolated between 600 nm (0.88, -0.23) and 800 nm
#: (0.73, -0.22).
LIMB_DARKENING_617NM = (0.867, -0.229)

_FULL_SIDE = 4096
_CDELT_ARCSEC = 0.504042  # as headers of 2024 have it
_CROP_PX = 2022.0  # radius of the circle of 12 849 208 values that headers of 2023 count
_CENTER_DN_S = 58000.0  # of the quiet disk centre in early 2023
_EPOCH = datetime(2019, 1, 1, tzinfo=UTC)
_NETWORK_HOURS, _GRANULE_MINUTES = 12, 8  # for which they stay as they are


def hmi_patch(
    random: np.random.Generator,
    quantity: Quantity,
    size_px: int = 96,
    psf: Psf = WACHTER,
    noise: float | None = None,
    *,
    spots: int | None = None,
    pores: int | None = None,
    plage: float | None = None,
    network: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Draw a patch at disk centre as HMI observes it, and as twice its aperture would.

    Parameters
    ----------
    random : Generator
        Draws also what is not given: half of the patches are quiet, others have plage or spots.
    quantity : Quantity
        Continuum (1 is the quiet Sun) or field (kG).
    size_px : int
        Side of what is observed, in pixels of 0.504 arcsec.
    noise : float, optional
        Rms in the quantity's unit; HMI's own (`NOISE`) by default.

    Returns
    -------
    observed : ndarray, float32, shape (size_px, size_px)
    target : ndarray, float32, shape (2 size_px, 2 size_px)
    """
    is_quiet = random.random() < 0.5
    drawn_spots, drawn_pores = int(random.integers(0, 3)), int(random.integers(0, 4))
    drawn_plage = float(random.uniform(0.0, 0.9))
    # A rim is drawn and cut off: at a picture's edge the wings of the function see it mirrored.
    rim = 8
    side = int(np.ceil((size_px + 2 * rim) * HMI_PX_ARCSEC * KM_PER_ARCSEC / GRID_KM)) + 1
    piece = photosphere(
        (side, side),
        GRID_KM,
        random,
        spots=(0 if is_quiet else drawn_spots) if spots is None else spots,
        pores=(0 if is_quiet else drawn_pores) if pores is None else pores,
        plage=(0.0 if is_quiet else drawn_plage) if plage is None else plage,
        network=network,
    )
    truth = piece.continuum if quantity is Quantity.CONTINUUM else piece.field_kg
    observed, target = degrade(truth, GRID_KM, psf, NOISE[quantity] if noise is None else noise, random)
    low, high = slice(rim, rim + size_px), slice(2 * rim, 2 * (rim + size_px))
    return np.ascontiguousarray(observed[low, low]), np.ascontiguousarray(target[high, high])


@dataclass(frozen=True)
class HmiTelescope:
    """What stands between the photosphere and the frame.

    Attributes
    ----------
    size_px : int
        Side of the square frame; other sides than 4096 have larger pixels and less noise.
    center_offset_px : tuple (x, y)
        Disk centre less the frame's centre, in pixels of the frame.
    roll_deg : float
        FITS CROTA2. HMI hangs upside down: close to 180.
    cadence_s : int
        45, or 720 with less noise in the field.
    psf : Psf
    noise : bool
    crop_at_limb : bool
        Nothing beyond the limb at all, as in products made from HMI's; its own frames hold scattered
        light (and noise) out to a circle 2022 pixels from the frame's middle.
    window_px : tuple (x0, y0, x1, y1), optional
        The part of the frame that is kept, first pixel and the one after the last: a cut-out.
    """

    size_px: int = _FULL_SIDE
    center_offset_px: tuple[float, float] = (0.0, 0.0)
    roll_deg: float = 179.93
    cadence_s: int = 45
    psf: Psf = WACHTER
    noise: bool = True
    crop_at_limb: bool = False
    window_px: tuple[int, int, int, int] | None = None

    @property
    def cdelt_arcsec(self) -> float:
        """Plate scale."""
        return _CDELT_ARCSEC * _FULL_SIDE / self.size_px

    @property
    def box_px(self) -> tuple[int, int, int, int]:
        """What is kept of the frame: x0, y0, x1, y1."""
        return self.window_px or (0, 0, self.size_px, self.size_px)

    def pointing(self, rsun_arcsec: float) -> Pointing:
        """Return the disk for an apparent solar radius, in pixels of what is kept."""
        middle = (self.size_px - 1) / 2.0
        return Pointing(
            middle + self.center_offset_px[0] - self.box_px[0],
            middle + self.center_offset_px[1] - self.box_px[1],
            rsun_arcsec / self.cdelt_arcsec,
            rsun_arcsec,
            self.roll_deg,
            "header",
        )


@dataclass(frozen=True)
class SimulatedHmi:
    """One simulated frame and what is true of it; rows upwards.

    Attributes
    ----------
    pixels : ndarray, float32, shape (height, width)
        DN/s (continuum) or gauss; NaN where HMI has nothing.
    quantity : Quantity
    pointing : Pointing
    date_obs : datetime
        Start of the span that the frame stands for.
    groups : tuple of SpotGroup
        Those on the visible half, with the longitudes that they have.
    """

    pixels: FloatArray
    quantity: Quantity
    pointing: Pointing
    date_obs: datetime
    cadence_s: int
    groups: tuple[SpotGroup, ...] = field(repr=False)

    @property
    def unit(self) -> str:
        """BUNIT."""
        return "DN/s" if self.quantity is Quantity.CONTINUUM else "Gauss"

    def frame(self) -> Frame:
        """Return it as a frame that has been read."""
        return Frame(
            pixels=self.pixels,
            instrument="hmi-continuum" if self.quantity is Quantity.CONTINUUM else "hmi-magnetogram",
            row_order=RowOrder.BOTTOM,
            date_obs=self.date_obs,
            date_obs_source=DateSource.HEADER,
            observatory="SDO",
            wavelength_nm=617.33,
            unit=self.unit,
            pointing=self.pointing,
            header={"SIMULATD": True, "QUALITY": 0},
        )


class HmiSun:
    """A photosphere that is the same whenever it is looked at.

    Parameters
    ----------
    seed : int
        Makes the Sun: equal seeds give equal frames.
    activity : float
        0 (no spots) to 1 (maximum).
    groups : sequence of SpotGroup, optional
        These instead of drawn ones.
    epoch : datetime
        When groups are at their longitudes.
    """

    def __init__(
        self,
        seed: int,
        activity: float = 0.5,
        *,
        groups: Sequence[SpotGroup] | None = None,
        epoch: datetime = _EPOCH,
    ) -> None:
        self.seed, self.epoch = seed, epoch
        random = np.random.default_rng((seed, 5))
        self.groups = tuple(draw_groups(random, activity) if groups is None else groups)

    def groups_at(self, date_obs: datetime) -> tuple[SpotGroup, ...]:
        """Groups with the Carrington longitudes that they have at a moment."""
        days = (date_obs - self.epoch).total_seconds() / 86400.0
        return tuple(
            replace(g, longitude_deg=float(rotate_carrington(g.longitude_deg, g.latitude_deg, days)))
            for g in self.groups
        )

    def frame(
        self,
        date_obs: datetime,
        telescope: HmiTelescope | None = None,
        quantity: Quantity = Quantity.CONTINUUM,
        *,
        noise_seed: int = 0,
    ) -> SimulatedHmi:
        """Take one frame at `date_obs` (aware UTC) through `telescope`."""
        return self._taken(date_obs, telescope or HmiTelescope(), (quantity,), noise_seed)[0]

    def pair(
        self, date_obs: datetime, telescope: HmiTelescope | None = None, *, noise_seed: int = 0
    ) -> tuple[SimulatedHmi, SimulatedHmi]:
        """Take continuum and field of one moment."""
        taken = self._taken(
            date_obs, telescope or HmiTelescope(), (Quantity.CONTINUUM, Quantity.FIELD), noise_seed
        )
        return taken[0], taken[1]

    def _taken(
        self, date_obs: datetime, telescope: HmiTelescope, quantities: Sequence[Quantity], noise_seed: int
    ) -> list[SimulatedHmi]:
        view = SunView(date_obs)
        drawn = _with_rim(telescope)
        pointing = drawn.pointing(view.rsun_arcsec)
        visible = _placed(self.groups_at(date_obs), view, pointing)
        tiles, plane = self._textures(date_obs, telescope, visible)
        x0, y0, x1, y1 = drawn.box_px
        surface = look_at((y1 - y0, x1 - x0), pointing, tiles, plane)
        for seen in visible:
            _add_group(surface, seen, pointing)
        kept = (
            slice(telescope.box_px[1] - y0, telescope.box_px[3] - y0),
            slice(telescope.box_px[0] - x0, telescope.box_px[2] - x0),
        )
        groups = tuple(seen.group for seen in visible)
        frames = []
        for quantity in quantities:
            random = np.random.default_rng(
                (self.seed, noise_seed, quantity is Quantity.FIELD, int(date_obs.timestamp()))
            )
            pixels = np.ascontiguousarray(_exposed(surface, drawn, quantity, random)[kept])
            placed = telescope.pointing(view.rsun_arcsec)
            frames.append(SimulatedHmi(pixels, quantity, placed, date_obs, telescope.cadence_s, groups))
        return frames

    def _textures(
        self, date_obs: datetime, telescope: HmiTelescope, visible: Sequence[_Seen]
    ) -> tuple[SurfaceTiles, Plane]:
        seconds = int(date_obs.timestamp())
        tiles = _tiles(
            (self.seed, 6, seconds // (60 * _GRANULE_MINUTES)),
            telescope.cdelt_arcsec * KM_PER_ARCSEC,
            max(256, telescope.size_px // 2),
        )
        plage = tuple((*s.plane_mm, s.group.size_deg, s.group.polarity) for s in visible)
        return tiles, _plane((self.seed, 7, seconds // (3600 * _NETWORK_HOURS)), plage)


def _with_rim(telescope: HmiTelescope) -> HmiTelescope:
    """The same with a wider window: what lies beside it shines into it."""
    if telescope.window_px is None:
        return telescope
    rim = telescope.psf.kernel(telescope.cdelt_arcsec, telescope.cdelt_arcsec).shape[0] // 2
    x0, y0, x1, y1 = telescope.window_px
    return replace(telescope, window_px=(x0 - rim, y0 - rim, x1 + rim, y1 + rim))


@lru_cache(maxsize=1)  # continuum and field of one moment have the same
def _tiles(seed: tuple[int, ...], pixel_km: float, side: int) -> SurfaceTiles:
    return draw_tiles(np.random.default_rng(seed), pixel_km, side)


@lru_cache(maxsize=1)
def _plane(seed: tuple[int, ...], plage: tuple[tuple[float, float, float, float], ...]) -> Plane:
    return draw_plane(np.random.default_rng(seed), plage)


def full_disk(
    random: np.random.Generator,
    size_px: int = _FULL_SIDE,
    quantity: Quantity = Quantity.CONTINUUM,
    *,
    date_obs: datetime = datetime(2023, 1, 31, 3, 39, 23, tzinfo=UTC),
    activity: float = 0.5,
    telescope: HmiTelescope | None = None,
) -> SimulatedHmi:
    """Draw a full disk of a Sun of its own; fresh generators of one seed give both quantities of one."""
    sun = HmiSun(int(random.integers(2**31)), activity)
    return sun.frame(date_obs, replace(telescope or HmiTelescope(), size_px=size_px), quantity)


@dataclass(frozen=True)
class _Seen:
    """A group, where it lies in the frame (pixels) and on the plane that the surface is unrolled to."""

    group: SpotGroup
    pixel: tuple[float, float]
    plane_mm: tuple[float, float]


def _placed(groups: Sequence[SpotGroup], view: SunView, pointing: Pointing) -> list[_Seen]:
    seen = []
    for group in groups:
        longitude = to_stonyhurst(group.longitude_deg, view.l0_deg)
        tx, ty = stonyhurst_to_hpc(longitude, group.latitude_deg, view.b0_deg, view.rsun_arcsec)
        if not np.isfinite(tx):
            continue
        x, y = hpc_to_pixel(tx, ty, pointing)
        plane = Plane.of_sky(float(tx) / view.rsun_arcsec, float(ty) / view.rsun_arcsec)
        seen.append(_Seen(group, (float(x), float(y)), plane))
    return seen


def _add_group(surface: Surface, seen: _Seen, pointing: Pointing) -> None:
    """Draw a group's spots on the surface, foreshortened as it is seen."""
    mm_px = surface.mm_px
    for spot in seen.group.spots:
        reach = (np.hypot(spot.x_km, spot.y_km) + 1.6 * spot.radius_km) / 1000.0 / mm_px + 2.0
        rows, columns = (
            slice(max(0, int(at - reach)), max(0, int(at + reach) + 1))
            for at in (seen.pixel[1], seen.pixel[0])
        )
        part = surface.light[rows, columns]
        if not part.size:
            continue
        west, north, _ = surface.unrolled(rows, columns, pointing)
        across = (west - np.float32(seen.plane_mm[0])) * np.float32(1000.0) - np.float32(spot.x_km)
        upwards = (north - np.float32(seen.plane_mm[1])) * np.float32(1000.0) - np.float32(spot.y_km)
        draw_spot(part, surface.field_kg[rows, columns], across, upwards, spot)


def _exposed(
    surface: Surface, telescope: HmiTelescope, quantity: Quantity, random: np.random.Generator
) -> FloatArray:
    """What the telescope makes of a surface: blur, noise, units, and the circle that is kept."""
    mu = surface.mu
    if quantity is Quantity.CONTINUUM:
        truth = surface.light * limb_darkening(mu, LIMB_DARKENING_617NM).astype(np.float32)
    else:
        truth = surface.field_kg * mu  # radial field, seen along the line of sight
    truth *= surface.inside
    step = telescope.cdelt_arcsec
    kernel = telescope.psf.kernel(step, step).astype(np.float32)
    seen = np.asarray(cv2.filter2D(truth, -1, kernel, borderType=cv2.BORDER_CONSTANT), np.float32)
    if telescope.noise:
        rms = NOISE[quantity]
        if quantity is Quantity.FIELD and telescope.cadence_s == 720:
            rms = _FIELD_NOISE_720S_KG
        noise = random.standard_normal(seen.shape, dtype=np.float32)
        noise *= np.float32(rms * telescope.size_px / _FULL_SIDE)
        if quantity is Quantity.CONTINUUM:
            noise *= np.sqrt(np.maximum(seen, 1e-3))
        else:
            noise *= (2.0 - mu) * (4.0 - 3.0 * surface.inside)  # less light towards the limb, none beyond
        seen += noise
    seen *= np.float32(_CENTER_DN_S if quantity is Quantity.CONTINUUM else 1000.0)
    seen[~_kept(surface, telescope)] = np.nan
    return seen


def _kept(surface: Surface, telescope: HmiTelescope) -> NDArray[np.bool_]:
    if telescope.crop_at_limb:
        return np.asarray(surface.inside > 0)
    middle = np.float32((telescope.size_px - 1) / 2.0)
    x0, y0, x1, y1 = telescope.box_px
    across = np.square(np.arange(x0, x1, dtype=np.float32) - middle)
    upwards = np.square(np.arange(y0, y1, dtype=np.float32) - middle)
    radius = _CROP_PX * telescope.size_px / _FULL_SIDE
    return np.asarray(upwards[:, None] + across[None, :] < radius**2)
