"""A simulated corona as SDO/AIA sees it: full disks in seven channels, the same Sun over days.

The quiet corona, coronal holes, active regions, bright points and filaments rotate under a
telescope near the Earth, each object at the rate of its latitude; what is where is known for every
pixel. It is meant to test, to train and to demonstrate, not to model the corona: brightness,
contrast and the fall beyond the limb are set to those of AIA frames and browse pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.aia_channels import CHANNELS, Channel
from models.simulate.aia_corona import (
    ActivePatch,
    HolePatch,
    Place,
    Textures,
    draw_active_region,
    draw_hole,
    draw_polar_hole,
    draw_textures,
)
from models.simulate.aia_fits import BLANK, aia_file_name, write_aia_fits
from models.simulate.aia_strip import Change, Strip, changed_hole, strength_of
from models.simulate.degrade import fractal_field
from observatory.analysis import EventType
from observatory.coordinates import SunView, rotate_carrington
from observatory.frame import DateSource, Frame, Pointing, RowOrder

__all__ = [
    "CHANNELS",
    "AiaSun",
    "AiaTelescope",
    "Change",
    "Place",
    "SimulatedAia",
    "aia_file_name",
    "write_aia_fits",
]

FloatArray = NDArray[np.float32]

_FULL_SIDE = 4096  # of AIA's detectors
_CDELT_ARCSEC = 0.6  # level 1.5
_FULL_SCALE = 16383  # 14-bit camera
_READ_NOISE_DN = 1.15  # Boerner et al. 2012, Solar Phys. 275, 41, section 3
_EPOCH = datetime(2019, 1, 1, tzinfo=UTC)
_HALF_WIDTH_DEG = 100.0  # of the strip of the map that can be seen


@dataclass(frozen=True)
class AiaTelescope:
    """What stands between the corona and the picture.

    Attributes
    ----------
    size_px : int
        Side of the square frame; other sides than 4096 are binned, with less noise.
    channel : int
        Wavelength in angstroms: 94, 131, 171, 193, 211, 304 or 335.
    level : float
        1.5 (registered) or 1 (as taken: give `center_offset_px` and `roll_deg` as well).
    center_offset_px : tuple (x, y)
        Disk centre less the frame's centre.
    roll_deg : float
        FITS CROTA2: solar north lies this far clockwise from up.
    exposure_time_s : float or None
        None for the channel's own.
    psf_px : float or None
        Gaussian sigma of the sharpest detail; None for what suits the size.
    noise : bool
        Photon and read noise.
    """

    size_px: int = 1024
    channel: int = 193
    level: float = 1.5
    center_offset_px: tuple[float, float] = (0.0, 0.0)
    roll_deg: float = 0.0
    exposure_time_s: float | None = None
    psf_px: float | None = None
    noise: bool = True

    @property
    def cdelt_arcsec(self) -> float:
        """Plate scale."""
        return _CDELT_ARCSEC * _FULL_SIDE / self.size_px

    def pointing(self, rsun_arcsec: float) -> Pointing:
        """Return the disk for an apparent solar radius."""
        middle = (self.size_px - 1) / 2.0
        return Pointing(
            middle + self.center_offset_px[0],
            middle + self.center_offset_px[1],
            rsun_arcsec / self.cdelt_arcsec,
            rsun_arcsec,
            self.roll_deg,
            "header",
        )


@dataclass(frozen=True)
class SimulatedAia:
    """One simulated exposure and what is true of it; all arrays have their rows upwards.

    Attributes
    ----------
    pixels : ndarray, int16, shape (size, size)
        DN of the exposure; `aia_fits.BLANK` where it was lost.
    pointing : Pointing
        The true disk.
    coronal_holes, active_regions : ndarray of bool
    labels : ndarray, int16
        Id of the region at each pixel, 0 for none.
    """

    pixels: NDArray[np.int16]
    pointing: Pointing
    date_obs: datetime
    channel: int
    exposure_time_s: float
    level: float
    coronal_holes: NDArray[np.bool_] = field(repr=False)
    active_regions: NDArray[np.bool_] = field(repr=False)
    labels: NDArray[np.int16] = field(repr=False)

    def frame(self) -> Frame:
        """Return the exposure as a frame that has been read: lost pixels are NaN."""
        lost = self.pixels == BLANK
        return Frame(
            pixels=np.where(lost, np.float32("nan"), self.pixels) if lost.any() else self.pixels,
            instrument=f"aia-{self.channel}",
            row_order=RowOrder.BOTTOM,
            date_obs=self.date_obs,
            date_obs_source=DateSource.HEADER,
            observatory="SDO",
            wavelength_nm=self.channel / 10.0,
            exposure_time_s=self.exposure_time_s,
            unit="DN",
            pointing=self.pointing,
            header={"SIMULATD": True, "LVL_NUM": self.level, "QUALITY": 0},
        )


class AiaSun:
    """A corona that is the same whenever it is looked at.

    Parameters
    ----------
    seed : int
        Makes the Sun: equal seeds give equal frames.
    activity : float
        0 (minimum: large polar holes, few active regions) to 1 (maximum).
    detail : int
        Height of the map in cells; 1024 suits frames of 1024 and more, 256 is quick.
    changes : sequence of Change
    places : sequence of Place, optional
        These objects instead of drawn ones. A hole beyond 70 degrees of latitude is one about the
        pole, and its size is how far it reaches from there.
    epoch : datetime
        When objects are at their longitudes.
    """

    def __init__(
        self,
        seed: int,
        activity: float = 0.5,
        detail: int = 1024,
        changes: Sequence[Change] = (),
        *,
        places: Sequence[Place] | None = None,
        epoch: datetime = _EPOCH,
    ) -> None:
        self.seed, self.activity, self.epoch = seed, activity, epoch
        self._height = detail
        random = np.random.default_rng((seed, 2))
        self._textures = draw_textures(random, detail, activity)
        self.regions = tuple(_draw_places(random, activity) if places is None else places)
        self._changes = tuple(changes)
        self._holes: list[HolePatch] = []
        self._active: list[ActivePatch] = []
        for place in self.regions:
            own = np.random.default_rng((seed, 3, place.id))
            if place.event_type is EventType.ACTIVE_REGION:
                self._active.append(draw_active_region(own, place, detail))
            elif abs(place.latitude_deg) > 70.0:
                self._holes.append(draw_polar_hole(own, place, detail))
            else:
                self._holes.append(draw_hole(own, place, detail))
        self._rays = fractal_field(random, 512, 2.4)
        self._quiet: dict[int, FloatArray] = {}

    def places(self, date_obs: datetime) -> tuple[Place, ...]:
        """Objects with the Carrington longitudes that they have at a moment."""
        days = (date_obs - self.epoch).total_seconds() / 86400.0
        return tuple(
            replace(p, longitude_deg=float(rotate_carrington(p.longitude_deg, p.latitude_deg, days)))
            for p in self.regions
        )

    def frame(
        self, date_obs: datetime, telescope: AiaTelescope | None = None, *, noise_seed: int = 0
    ) -> SimulatedAia:
        """Expose one frame at `date_obs` (aware UTC) through `telescope`."""
        telescope = telescope or AiaTelescope()
        channel = CHANNELS[telescope.channel]
        view = SunView(date_obs)
        pointing = telescope.pointing(view.rsun_arcsec)
        strip = self._strip(date_obs, view.l0_deg, telescope.channel, channel)
        geometry = _geometry(telescope.size_px, pointing, round(view.b0_deg, 2))
        column = geometry.longitude * np.float32(self._height / 180.0) + np.float32(strip.offset)
        row = geometry.latitude * np.float32(self._height / 180.0) + np.float32(self._height / 2 - 0.5)
        light = self._light(strip, geometry, column, row, channel, view.l0_deg)
        exposure = telescope.exposure_time_s or channel.exposure_time_s
        moment = int(date_obs.timestamp() * 10) % (1 << 63)  # noise is drawn by numbers from 0 up
        random = np.random.default_rng((self.seed, noise_seed, telescope.channel, moment))
        pixels = _expose(light * np.float32(channel.dn_per_s * exposure), telescope, channel, random)
        hole = geometry.inside & (_sampled(strip.hole, column, row) > 0)
        active = geometry.inside & (_sampled(strip.active, column, row) > 0)
        numbers = cv2.remap(strip.labels, column, row, cv2.INTER_NEAREST)
        labels = np.where(hole | active, numbers, 0).astype(np.int16)
        return SimulatedAia(
            pixels, pointing, date_obs, telescope.channel, exposure, telescope.level, hole, active, labels
        )

    def _light(
        self,
        strip: Strip,
        geometry: _Geometry,
        column: FloatArray,
        row: FloatArray,
        channel: Channel,
        l0_deg: float,
    ) -> FloatArray:
        """Brightness before the telescope, quiet disk centre at 1."""
        disk = _sampled(strip.brightness, column, row)
        disk *= np.float32(1.0 + channel.limb) / (geometry.mu + np.float32(channel.limb))
        # Beyond the limb the line of sight crosses the corona of both sides: no detail, only rays.
        small = cv2.resize(strip.brightness, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
        degree = self._height / 180.0 / 8.0
        small = cv2.GaussianBlur(np.minimum(small, 5.0), (0, 0), 9.0 * degree, sigmaY=2.2 * degree)
        # At the poles both limbs meet: there the mean of all longitudes stands for either.
        latitude = (np.arange(small.shape[0], dtype=np.float32) + 0.5) / degree - 90.0
        polar = np.clip((np.abs(latitude) - 55.0) / 30.0, 0.0, 1.0)[:, None]
        small += polar * (small.mean(axis=1, keepdims=True) - small)
        base = _sampled(small, (column + 0.5) * 0.125 - 0.5, (row + 0.5) * 0.125 - 0.5)
        rays = cv2.remap(
            self._rays,
            geometry.angle * np.float32(512 / (2 * np.pi)) + np.float32(l0_deg * 0.4),
            geometry.height * np.float32(14.0),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        reach = np.float32(channel.scale_height) * (0.70 + 0.22 * np.minimum(base, 2.0) + 0.08 * rays)
        fall = np.exp(-geometry.height / np.maximum(reach, 0.25 * channel.scale_height))
        at_limb = channel.off_limb * (1.0 + channel.limb) / (channel.limb + 0.02)
        off_limb = base * np.float32(at_limb) * fall * (1.0 + 0.10 * rays)
        # A last hundredth of a radius in which the disk's own brightness gives way.
        light = np.where(geometry.inside, disk, off_limb)
        haze = np.float32(0.022) * np.exp(-geometry.height / np.float32(0.28))  # scattered light
        return np.maximum(light, 0.0) + haze

    def _strip(self, date_obs: datetime, l0_deg: float, number: int, channel: Channel) -> Strip:
        """Compose the strip of the map that can be seen."""
        degree = self._height / 180.0
        first = int(np.floor((l0_deg - _HALF_WIDTH_DEG) * degree))
        width = int(2 * _HALF_WIDTH_DEG * degree)
        quiet = self._quiet_map(number, channel)
        columns = np.arange(first, first + width) % (2 * self._height)
        strip = Strip.empty(quiet[:, columns], l0_deg * degree - first - 0.5)
        for patch, place in zip(self._holes, self._now(self._holes, date_obs), strict=True):
            level, labels = changed_hole(patch, self._changes, date_obs)
            strip.add_hole(level, labels, patch.first_row, place.longitude_deg * degree - first)
        for active, place in zip(self._active, self._now(self._active, date_obs), strict=True):
            share = strength_of(self._changes, place.id, date_obs)
            light = channel.warm * active.warm + channel.hot * active.hot + channel.plage * active.plage
            level = active.level - np.float32(1.6 * (1.0 - share))
            strip.add_active(
                (light * share).astype(np.float32),
                level,
                place.id,
                active.first_row,
                place.longitude_deg * degree - first,
            )
        strip.darken(channel.hole)
        return strip

    def _now(self, patches: Sequence[HolePatch | ActivePatch], date_obs: datetime) -> list[Place]:
        now = {place.id: place for place in self.places(date_obs)}
        return [now[patch.place.id] for patch in patches]

    def _quiet_map(self, number: int, channel: Channel) -> FloatArray:
        """Brightness of the quiet Sun in a channel; kept, for it only rotates."""
        if number not in self._quiet:
            self._quiet[number] = _quiet_brightness(self._textures, channel)
        return self._quiet[number]


def _quiet_brightness(textures: Textures, channel: Channel) -> FloatArray:
    exponent = (
        channel.hair * textures.hair
        + channel.large * textures.large
        + channel.mottle * textures.mottle
        + channel.network * (textures.network - 0.45)
        - channel.filament * 1.6 * textures.filaments
    )
    quiet = np.exp(exponent - 0.5 * float(exponent.var()))
    return (quiet + channel.points * textures.points).astype(np.float32)


@dataclass(frozen=True)
class _Geometry:
    """Where every pixel looks: Stonyhurst degrees (of the limb's point beyond it), float32."""

    inside: NDArray[np.bool_]
    longitude: FloatArray
    latitude: FloatArray
    mu: FloatArray
    height: FloatArray
    angle: FloatArray


def _geometry(size: int, pointing: Pointing, b0_deg: float) -> _Geometry:
    if size > 2048:  # 400 MB at 4096 pixels: not to be kept
        return _new_geometry.__wrapped__(size, pointing, b0_deg)
    return _new_geometry(size, replace(pointing, rsun_arcsec=round(pointing.rsun_arcsec, 2)), b0_deg)


@lru_cache(maxsize=2)  # the channels of one telescope look the same way
def _new_geometry(size: int, pointing: Pointing, b0_deg: float) -> _Geometry:
    right = (np.arange(size, dtype=np.float32) - np.float32(pointing.center_x_px)) / np.float32(
        pointing.radius_px
    )
    up = (np.arange(size, dtype=np.float32) - np.float32(pointing.center_y_px)) / np.float32(
        pointing.radius_px
    )
    roll = np.radians(pointing.roll_deg or 0.0)
    cosine, sine = np.float32(np.cos(roll)), np.float32(np.sin(roll))
    west = cosine * right[None, :] - sine * up[:, None]
    north = sine * right[None, :] + cosine * up[:, None]
    rho = np.sqrt(np.square(west) + np.square(north))
    on_disk = np.minimum(rho, np.float32(1.0))
    # As in observatory.coordinates: angle at the surface less angle at the observer.
    distance = 1.0 / np.sin(np.radians(pointing.rsun_arcsec / 3600.0))
    at_centre = np.arcsin(on_disk) - np.arcsin(on_disk / np.float32(distance))
    stretch = np.sin(at_centre) / np.maximum(rho, np.float32(1e-6))
    near = np.cos(at_centre)
    b0 = np.radians(b0_deg)
    cos_b0, sin_b0 = np.float32(np.cos(b0)), np.float32(np.sin(b0))
    angle = np.arctan2(north, west)
    west, north = west * stretch, north * stretch
    latitude = np.arcsin(np.clip(north * cos_b0 + near * sin_b0, -1, 1))
    longitude = np.arctan2(west, near * cos_b0 - north * sin_b0)
    return _Geometry(
        rho <= 1.0,
        np.clip(np.degrees(longitude), -_HALF_WIDTH_DEG, _HALF_WIDTH_DEG).astype(np.float32),
        np.degrees(latitude).astype(np.float32),
        np.sqrt(1.0 - np.square(on_disk)),
        np.maximum(rho - 1.0, 0.0).astype(np.float32),
        angle.astype(np.float32),
    )


def _sampled(plane: FloatArray, column: FloatArray, row: FloatArray) -> FloatArray:
    sampled = cv2.remap(plane, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def _expose(
    clean: FloatArray, telescope: AiaTelescope, channel: Channel, random: np.random.Generator
) -> NDArray[np.int16]:
    """Blur, photon and read noise, the camera's range."""
    psf = telescope.psf_px if telescope.psf_px is not None else max(0.35, 0.55 * telescope.size_px / 2048)
    light = cv2.GaussianBlur(clean, (0, 0), psf)
    if telescope.noise:
        binned = telescope.size_px / _FULL_SIDE  # a binned pixel is a mean of many
        variance = np.maximum(light, 0.0) * np.float32(channel.dn_per_photon) + np.float32(_READ_NOISE_DN**2)
        noise = random.standard_normal(light.shape, dtype=np.float32)
        light = light + noise * np.sqrt(variance) * np.float32(binned)
    return np.clip(np.rint(light), -100, _FULL_SCALE).astype(np.int16)


def _draw_places(random: np.random.Generator, activity: float) -> list[Place]:
    """Polar holes, holes at low latitude, and active regions that keep clear of them."""
    places: list[Place] = []
    for latitude in (82.0, -82.0):
        size = float(np.clip(random.normal(27 - 13 * activity, 3), 9, 32))
        places.append(Place(len(places) + 1, EventType.CORONAL_HOLE, latitude, 0.0, size))
    hole, active = EventType.CORONAL_HOLE, EventType.ACTIVE_REGION
    wanted = [(hole, 4 + random.poisson(2.5)), (active, 1 + random.poisson(26 * activity))]
    for event_type, count in wanted:
        for _ in range(count):
            for _ in range(12):
                place = _draw_place(random, event_type, len(places) + 1)
                if all(
                    _apart_deg(place, other) > 1.5 * (place.size_deg + other.size_deg) for other in places[2:]
                ):
                    places.append(place)
                    break
    return places


def _draw_place(random: np.random.Generator, event_type: EventType, number: int) -> Place:
    longitude = float(random.uniform(0, 360))
    if event_type is EventType.CORONAL_HOLE:
        size = float(np.clip(random.lognormal(np.log(8.5), 0.35), 5, 15))
        return Place(number, event_type, float(np.clip(random.normal(0, 24), -48, 48)), longitude, size)
    size = float(np.clip(random.lognormal(np.log(5.5), 0.42), 2.5, 11))
    latitude = random.choice((-1, 1)) * float(np.clip(random.normal(17, 6), 5, 36))
    return Place(number, event_type, latitude, longitude, size)


def _apart_deg(one: Place, other: Place) -> float:
    east = (one.longitude_deg - other.longitude_deg + 180) % 360 - 180
    east *= np.cos(np.radians((one.latitude_deg + other.latitude_deg) / 2))
    return float(np.hypot(east, one.latitude_deg - other.latitude_deg))
