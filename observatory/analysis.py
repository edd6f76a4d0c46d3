"""What an analysis says of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from observatory.frame import Pointing


class Cause(StrEnum):
    """Why a frame is degraded: one list for all instruments."""

    CLOUD = "cloud"
    THIN_CLOUD = "thin_cloud"
    CONTRAIL = "contrail"
    SEEING = "seeing"
    DEFOCUS = "defocus"
    OVEREXPOSED = "overexposed"
    UNDEREXPOSED = "underexposed"
    OCCULTATION = "occultation"
    ECLIPSE = "eclipse"
    OFF_CENTRE = "off_centre"
    TRACKING = "tracking"
    FROZEN = "frozen"
    DUST = "dust"
    MISSING_DATA = "missing_data"
    SPIKES = "spikes"
    MOON_GLARE = "moon_glare"
    TWILIGHT = "twilight"
    DEW_OR_SNOW = "dew_or_snow"
    LENS_CAP = "lens_cap"
    NO_TARGET = "no_target"
    UNKNOWN = "unknown"


class EventType(StrEnum):
    """Kinds of solar events, the codes of HEK (Hurlburt et al. 2012, Solar Phys. 275, 67)."""

    CORONAL_HOLE = "CH"
    ACTIVE_REGION = "AR"


class SkyClass(StrEnum):
    """What a picture of the whole sky shows: the six classes of Clausen & Nickisch (2018)."""

    ARC = "arc"
    DIFFUSE = "diffuse"
    DISCRETE = "discrete"
    CLOUD = "cloud"
    MOON = "moon"
    CLEAR = "clear"


AURORAL = (SkyClass.ARC, SkyClass.DIFFUSE, SkyClass.DISCRETE)
"""The classes that are aurora; the other three are not."""


class Quantity(StrEnum):
    """What an enhanced frame shows of the photosphere."""

    CONTINUUM = "continuum"
    FIELD = "field"


class Threshold(StrEnum):
    """How sure a pixel must be to belong to a region: three readings of one probability map."""

    CONSERVATIVE = "conservative"
    MEDIUM = "medium"
    LIBERAL = "liberal"


@dataclass(frozen=True)
class CauseProbability:
    """One cause and how likely it is, 0 to 1."""

    cause: Cause
    probability: float


@dataclass(frozen=True)
class ModelIdentity:
    """What made a result: enough to find the very same network again."""

    name: str
    version: str
    sha256: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """``name version`` for tables."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Quality:
    """How good a frame is, and why not.

    Attributes
    ----------
    score : float
        0 (useless) to 1 (best).
    is_degraded : bool
        Whether the frame should not be used without a second look.
    p_value : float | None
        Share of good calibration frames at least as bad as this one; None where no
        calibration exists.
    causes : tuple of CauseProbability
        Most likely first; empty for a clear frame.
    model : ModelIdentity
    measures : Mapping[str, float]
        The numbers behind the score, such as ``content_loss``.
    region_map : ndarray, shape (n, n), float32 in 0-1, or None
        How likely each part is spoilt, on the analysis grid.
    region_extent_px : tuple (x0, y0, x1, y1) or None
        Edges of the map in 0-based pixels of the frame, row 0 of the map at y0; pixel
        edges, so a map that covers the frame exactly has (-0.5, -0.5, w - 0.5, h - 0.5).
    """

    score: float
    is_degraded: bool
    p_value: float | None
    causes: tuple[CauseProbability, ...]
    model: ModelIdentity
    measures: Mapping[str, float] = field(default_factory=dict)
    region_map: np.ndarray | None = None
    region_extent_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Region:
    """One connected region on the disk of one frame.

    Coordinates that need the pointing are None where the frame has none, and those that need
    the time are None where it has no time.

    Attributes
    ----------
    event_type : EventType
    rings_px : tuple of ndarray, shape (n, 2)
        Outlines in 0-based pixels (x, y) of the frame, rows as in the file: the outer one first,
        then holes; the last point is not the first one again.
    rings_hpc_arcsec : tuple of ndarray, shape (n, 2), or None
        The same in helioprojective arcseconds (Tx, Ty).
    rings_carrington_deg : tuple of ndarray, shape (n, 2), or None
        The same in Carrington longitude 0-360 and latitude.
    centroid_px : tuple (x, y)
        Centre of gravity, every pixel with the area that it has on the sphere.
    centroid_hpc_arcsec, centroid_stonyhurst_deg, centroid_carrington_deg : tuple or None
        The same point; longitude first, west positive in Stonyhurst's.
    bounding_box_px : tuple (x0, y0, x1, y1)
    area_px : float
    area_atdiskcenter_mm2 : float or None
        Foreshortening corrected, 10^12 m^2 (HEK's area_atdiskcenter in Mm^2).
    area_msh : float or None
        The same in millionths of the solar hemisphere.
    disk_fraction : float
        Area as seen, divided by the disk's.
    probability : float
        Mean of the network's probability inside, 0 to 1.
    intensity_mean, intensity_median, intensity_min, intensity_max, intensity_std : float
        Of the frame's own pixels inside, in the unit of the frame (DN/s where it has an exposure).
    """

    event_type: EventType
    rings_px: tuple[np.ndarray, ...]
    centroid_px: tuple[float, float]
    bounding_box_px: tuple[float, float, float, float]
    area_px: float
    disk_fraction: float
    probability: float
    intensity_mean: float
    intensity_median: float
    intensity_min: float
    intensity_max: float
    intensity_std: float
    rings_hpc_arcsec: tuple[np.ndarray, ...] | None = None
    rings_carrington_deg: tuple[np.ndarray, ...] | None = None
    centroid_hpc_arcsec: tuple[float, float] | None = None
    centroid_stonyhurst_deg: tuple[float, float] | None = None
    centroid_carrington_deg: tuple[float, float] | None = None
    area_atdiskcenter_mm2: float | None = None
    area_msh: float | None = None


@dataclass(frozen=True)
class Segmentation:
    """Where on the disk events of one type lie.

    Attributes
    ----------
    event_type : EventType
    probability : ndarray, shape (n, n), float32 in 0-1
        On the analysis grid; 0 beyond the limb.
    extent_px : tuple (x0, y0, x1, y1)
        Edges of the grid in 0-based pixels of the frame, as `Quality.region_extent_px`; the
        grid's rows and columns run along the frame's.
    thresholds : Mapping[Threshold, float]
        Least probability at each of the three.
    disk_fraction : Mapping[Threshold, float]
        Share of the visible disk's area.
    regions : tuple of Region
        At the medium threshold, largest first; empty when there are none, which is an answer.
    model : ModelIdentity
    pointing : Pointing or None
        The disk that was used: the header's, or that found in the picture; None in patch mode.
    """

    event_type: EventType
    probability: np.ndarray
    extent_px: tuple[float, float, float, float]
    thresholds: Mapping[Threshold, float]
    disk_fraction: Mapping[Threshold, float]
    regions: tuple[Region, ...]
    model: ModelIdentity
    pointing: Pointing | None = None


@dataclass(frozen=True)
class EnhancementNumbers:
    """What enhancement did to one frame, in numbers.

    Attributes
    ----------
    contrast_before, contrast_after : float or None
        Granulation contrast, rms over mean of the quiet Sun, 0 to 1; None for the field and where no
        quiet Sun is in view.
    unsigned_flux_before_mx, unsigned_flux_after_mx : float or None
        Sum of |B| times the pixel's area, in maxwell; None for the continuum, and without a scale.
    residual : float
        Rms of the input minus the result degraded again, in the unit of the network (quiet Sun, or kG).
    noise : float
        Rms noise of the input, estimated, in the same unit.
    trusted_fraction : float
        Share of the pixels with data whose trust is 0.5 and more, 0 to 1.
    """

    contrast_before: float | None
    contrast_after: float | None
    unsigned_flux_before_mx: float | None
    unsigned_flux_after_mx: float | None
    residual: float
    noise: float
    trusted_fraction: float


@dataclass(frozen=True)
class Enhancement:
    """A frame, or a window of it, deconvolved and sampled twice as finely.

    Attributes
    ----------
    quantity : Quantity
    pixels : ndarray, shape (2 h, 2 w), float32
        In the unit of the frame, rows as in the file; NaN where the frame has no data.
    trust : ndarray, shape (h, w), float32 in 0-1
        On the frame's own pixels: 1 where the result, degraded again, is the frame within its noise.
    window_px : tuple (x0, y0, x1, y1)
        First pixel and the one after the last of the frame that was enhanced.
    numbers : EnhancementNumbers
    model : ModelIdentity
    """

    quantity: Quantity
    pixels: np.ndarray
    trust: np.ndarray
    window_px: tuple[int, int, int, int]
    numbers: EnhancementNumbers
    model: ModelIdentity


@dataclass(frozen=True)
class SkyFacts:
    """What is known of a frame's sky without looking at the frame.

    Attributes
    ----------
    sun_elevation_deg, moon_elevation_deg, moon_azimuth_deg : float or None
        Of the centres above the horizon, without refraction; azimuths count from north over east.
        None where the time or the place is not known.
    moon_illuminated : float or None
        Share of the Moon's disk that is lit, 0 to 1.
    can_show_aurora : bool or None
        False in daylight and bright twilight; None where the Sun's height is not known.
    """

    sun_elevation_deg: float | None = None
    moon_elevation_deg: float | None = None
    moon_azimuth_deg: float | None = None
    moon_illuminated: float | None = None
    can_show_aurora: bool | None = None


@dataclass(frozen=True)
class Sky:
    """What one frame shows of the sky.

    Attributes
    ----------
    sky_class : SkyClass or None
        The likeliest; None where the sky cannot be judged (`reason` says why).
    probabilities : Mapping[SkyClass, float]
        Calibrated, sum 1; empty where the sky cannot be judged.
    cloud_cover : float or None
        Share of the sky's visible sectors that are cloudy, 0 to 1.
    cloud_sectors : ndarray, shape (33,), float32 in 0-1
        Probability of cloud in each of `observatory.sky_sectors`; NaN where a sector is hidden.
    features : ndarray, shape (n,), float32
        What the network's last layer but one says.
    facts : SkyFacts
    reason : str or None
        Why the sky cannot be judged.
    model : ModelIdentity
    note : str or None
        What is known from elsewhere and changed the class, such as a Moon below the horizon.
    """

    sky_class: SkyClass | None
    probabilities: Mapping[SkyClass, float]
    cloud_cover: float | None
    cloud_sectors: np.ndarray
    features: np.ndarray
    facts: SkyFacts
    model: ModelIdentity
    reason: str | None = None
    note: str | None = None

    @property
    def aurora_probability(self) -> float | None:
        """Sum of the three auroral classes, 0 to 1; None where the sky cannot be judged."""
        if not self.probabilities:
            return None
        return float(sum(self.probabilities[name] for name in AURORAL))


@dataclass(frozen=True)
class Disturbance:
    """What a station's magnetometer would feel, told from a frame of its sky.

    Attributes
    ----------
    x_nt, y_nt, z_nt : float
        Disturbance of the geographic north, east and downward components, nT.
    is_simulated : bool
        Whether the station's model was trained on a simulated magnetometer.
    model : ModelIdentity
    """

    x_nt: float
    y_nt: float
    z_nt: float
    is_simulated: bool
    model: ModelIdentity
