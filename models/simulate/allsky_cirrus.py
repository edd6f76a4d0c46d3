"""Simulated cirrus: ice cloud drawn out into fibres, and the moonlight that it scatters.

Fibres of a sheet lie along one direction, so in a picture of the whole sky they run together towards two
opposite points of the horizon. The sheet is thin; what shows it is the Moon: ice throws most of its light
forwards, some of it everywhere, and a little into the ring at 22 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate import allsky_light as sources
from models.simulate.allsky_scene import Cirrus, Moon, View, noise

FloatArray = NDArray[np.float32]

_MOST_AIRMASS = 8.0  # further out a sheet has gaps and ends
_SPHERE_DEG2 = 41253.0
_FORWARD, _FORWARD_SHARE = 0.8, 0.85  # asymmetry and share of the forward lobe, its diffraction peak left out
_BACKWARD = -0.1
_HALO_DEG, _HALO_WIDTH_DEG = 22.3, 1.1
_AIR_ABOVE_MAG = 0.04  # extinction above 10 km, a quarter of the air
_AIR_ABOVE = 0.3  # share of the moonlit air's light that comes from above the ice
_PASSED_ON = 0.85  # of the light that ice takes from its way, which still comes down somewhere
TOWN_LIT = 0.35
"""Of a town's glow that opaque ice would add to it."""
HIDES = 0.5
"""Of the light that ice stops, in the cloud map: a magnitude less light from all stars is what a viewer misses."""
_COUNTS = 2.5  # for the class, a change of the sky's light by an eighth is as much as three tenths stopped
# For the map, fibres that vary the light by 2 %, and smooth ice that changes it by half, are as evident as cloud
# that stops three tenths.
_VARIES, _BRIGHTENS = 15.0, 0.6
_FIBRES_DEG, _AROUND_DEG, _EYE_DEG = 6.0, 4.0, 1.0
_OVER_NOISE = 2.0


@dataclass(frozen=True)
class Ice:
    """All the cirrus of a sky as a camera sees it.

    Attributes
    ----------
    through : ndarray, shape (height, width)
        Transmission.
    moonlight : ndarray, shape (height, width)
        What it scatters, in natural skies.
    """

    through: FloatArray
    moonlight: FloatArray


def ice_of(sheets: Sequence[Cirrus], moon: Moon | None, view: View) -> Ice | None:
    """The sheets of a sky together; None where there are none."""
    if not sheets:
        return None
    depth, light = np.zeros(view.shape, np.float32), np.zeros(view.shape, np.float32)
    for sheet in sheets:
        one = slant_depth(sheet, view)
        if moon is not None:
            light += scattered_moonlight(sheet, moon, one, view)
        depth += one
    return Ice(np.exp(-depth), light)


def seen_through(
    ice: Ice, above: FloatArray, dawn: FloatArray, moonlit: FloatArray, colour: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Light of the natural sky, of twilight and of the Moon, shape (channels, height, width), with ice in the way.

    `colour` is what the camera's channels feel of moonlight, shape (channels, 1, 1).
    """
    lost = 1.0 - ice.through
    mean = above.mean(axis=(1, 2), keepdims=True)
    return (
        above * ice.through + _PASSED_ON * mean * lost,
        dawn * (1.0 - (1.0 - _PASSED_ON) * lost),
        moonlit * (1.0 - _AIR_ABOVE * lost) + colour * ice.moonlight,
    )


def slant_depth(sheet: Cirrus, view: View) -> FloatArray:
    """Optical depth of a sheet along every line of sight; light thrown forward by less than a degree has passed."""
    east, north = view.ground_km(sheet.height_km)
    turn = np.radians(sheet.turn_deg)
    across_east, across_north = np.float32(-np.sin(turn)), np.float32(np.cos(turn))
    wind = noise(east, north, sheet.seed + 3, 2.2 * sheet.scale_km, 36, offset_km=sheet.offset_km)
    shift = np.float32(sheet.bend * sheet.scale_km * 0.1) * wind
    east, north = east + across_east * shift, north + across_north * shift

    def field(seed: int, length_km: float, slope_tenths: int, stretch: float) -> FloatArray:
        return noise(
            east, north, sheet.seed + seed, length_km, slope_tenths, float(turn), stretch, sheet.offset_km
        )

    patches = field(0, sheet.scale_km, 33, 1.0 + 0.25 * (sheet.stretch - 1.0))
    fibres = field(1, sheet.fibre_km, 26, sheet.stretch)
    strands = field(2, 0.3 * sheet.fibre_km, 24, 1.4 * sheet.stretch)
    # Fibres finer than a pixel near the horizon are seen as their mean.
    finest_km = np.float32(sheet.height_km * np.radians(view.circle.max_zenith_deg) / view.circle.radius_px)
    footprint_km = finest_km * np.square(view.airmass)
    near = np.exp(-np.square(footprint_km * np.float32(8.0 / sheet.fibre_km)))
    texture = np.float32(sheet.texture) * (0.7 * fibres + 0.4 * strands * near)
    level = np.float32(-NormalDist().inv_cdf(min(max(sheet.cover, 0.004), 0.996)))
    rise = np.clip((patches + np.float32(0.4) * texture - level) / np.float32(1.1) + 0.25, 0.0, 1.0)
    thickness = rise * rise * (3.0 - 2.0 * rise) * np.minimum(np.exp(texture - 0.25), 3.0)
    longer = np.minimum(view.airmass, _MOST_AIRMASS) ** np.float32(0.8)
    return np.asarray(np.float32(sheet.depth) * thickness * longer, np.float32)


def scattered_moonlight(sheet: Cirrus, moon: Moon, depth: FloatArray, view: View) -> FloatArray:
    """Moonlight that a sheet of some slant depth scatters towards the camera, in natural skies.

    Scattered once: what is scattered again is taken from the Moon's way through the sheet but not followed.
    """
    if moon.elevation_deg < -0.5:
        return np.zeros(view.shape, np.float32)
    apart = np.arccos(np.clip(view.cosine_to(moon.elevation_deg, moon.azimuth_deg), -1, 1))
    phase = _FORWARD_SHARE * _lobe(apart, _FORWARD) + (1 - _FORWARD_SHARE) * _lobe(apart, _BACKWARD)
    off_deg = np.degrees(apart) - np.float32(_HALO_DEG)
    # The ring is sharp and dark on its inside.
    ring = np.exp(-np.square(off_deg / np.where(off_deg < 0, 0.4, 1.6) / np.float32(_HALO_WIDTH_DEG)))
    phase = phase + np.float32(1.5 * sheet.halo) * ring
    slope = np.sin(np.radians(max(moon.elevation_deg, 4.0)))
    kept = float(np.exp(-0.3 * sheet.depth * sheet.cover / slope))
    light = sources.moon_disc(moon, _AIR_ABOVE_MAG) * kept * sources.extinction(view)
    return np.asarray(light / _SPHERE_DEG2 * phase * (1.0 - np.exp(-depth)), np.float32)


def weight(change: FloatArray, rest: FloatArray) -> FloatArray:
    """How much a change of the sky's light counts for its class, 0 to 1, on the scale of what cloud stops.

    Parameters
    ----------
    change : ndarray
        Light that the sheet adds, less what it takes away.
    rest : ndarray
        All the light that is seen, the change in it; all of it in one unit.
    """
    return np.asarray(np.clip(_COUNTS * np.abs(_relative(change, rest)), 0.0, 1.0), np.float32)


def evidence(change: FloatArray, rest: FloatArray, grain: FloatArray, view: View) -> FloatArray:
    """How evident a sheet is to who looks at the picture, 0 to 1, on the scale of the share that cloud stops.

    Fibres are what shows it: how much they vary the light about its mean over `_FIBRES_DEG` and along its
    almucantar, where that is more than the noise. The faintest grating that an eye makes out varies the light by
    0.7 % (a contrast of 1 %, Campbell & Robson 1968, Journal of Physiology 197, 551); three times as much is evident.
    Smooth light tells of ice only where there is much of it, as about the Moon.

    Parameters
    ----------
    change, rest : ndarray, shape (height, width)
        As in `weight`.
    grain : ndarray, shape (height, width)
        Standard deviation of a pixel's noise over its light.
    """
    degrees_a_pixel = view.circle.max_zenith_deg / view.circle.radius_px
    seen, fibres, around = (
        max(width / degrees_a_pixel, 0.3) for width in (_EYE_DEG, _FIBRES_DEG, _AROUND_DEG)
    )
    # Stars are spread out first: ice dims them, which is no fibre.
    relative = _relative(_blurred(change, seen), _blurred(rest, seen))
    apart = (relative - _along_almucantars(relative, view)) * view.is_inside
    variance = _blurred(np.square(apart - _blurred(apart, fibres)), around)
    averaged = 4.0 * np.pi * seen**2  # pixels under the eye's blur
    noise = _blurred(np.square(grain), around) / np.float32(max(averaged, 1.0))
    varied = np.sqrt(np.maximum(variance - np.float32(_OVER_NOISE**2) * noise, 0.0))
    shown = np.maximum(_VARIES * varied, _BRIGHTENS * np.abs(relative))
    return np.asarray(np.clip(shown, 0.0, 1.0), np.float32)


def _along_almucantars(values: FloatArray, view: View) -> FloatArray:
    """Mean of what has the same height above the horizon; that of the whole sky outside, and about the zenith."""
    ring = np.minimum(np.degrees(view.zenith) / 3.0, 63.0)[view.is_inside].astype(np.intp)
    inside = values[view.is_inside]
    means = np.bincount(ring, inside, 64) / np.maximum(np.bincount(ring, minlength=64), 1)
    mean = np.float32(inside.mean())
    found = np.full_like(values, mean)
    found[view.is_inside] = means[ring]
    return mean + (found - mean) * np.clip(np.degrees(view.zenith) / np.float32(20.0) - 1, 0, 1)


def _relative(change: FloatArray, rest: FloatArray) -> FloatArray:
    return np.asarray(change / (np.maximum(rest - change, 0.05 * rest) + np.float32(1e-6)), np.float32)


def _blurred(values: FloatArray, sigma_px: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(values.astype(np.float32), (0, 0), sigma_px), np.float32)


def _lobe(apart: FloatArray, asymmetry: float) -> FloatArray:
    """Phase function of Henyey & Greenstein (1941, Astrophysical Journal 93, 70), mean 1 over the sphere."""
    squared = asymmetry**2
    return np.asarray((1 - squared) / (1 + squared - 2 * asymmetry * np.cos(apart)) ** 1.5, np.float32)
