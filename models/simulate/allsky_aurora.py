"""Simulated aurora: curtains that hang along the magnetic field, and diffuse glow.

A curtain is drawn once as a line on a map of the ground below it, and seen through many thin layers of
height, each shifted along the field: that gives rays that meet in the magnetic zenith, lower borders and
red tops as in the sky (heights and colours after Chamberlain, Physics of the Aurora and Airglow, 1961).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.allsky_scene import Curtain, Glow, View, noise, tile

FloatArray = NDArray[np.float32]

_SHELL_KM = 105.0
_SQUEEZE_KM = 190.0  # the map's scale halves at this distance


def curtains_light(
    curtains: Sequence[Curtain], view: View, dip_deg: float, layers: int = 16
) -> tuple[FloatArray, list[FloatArray]]:
    """Light of curtains.

    Parameters
    ----------
    dip_deg : float
        Of the magnetic field: positive in the north, where field lines lean southwards as they rise.
    layers : int
        Of height; more for larger pictures.

    Returns
    -------
    light : ndarray, shape (3, height, width)
        In kR: 557.7, 630.0 and 427.8 nm.
    greens : list of ndarray, shape (height, width)
        About the green light of each curtain, where it is brightest.
    """
    side = int(1.5 * max(view.shape))
    light = np.zeros((*view.shape, 3), np.float32)
    greens: list[FloatArray] = []
    for first in range(0, len(curtains), 4):  # as many channels are remapped at once
        _add_curtains(light, greens, curtains[first : first + 4], view, dip_deg, layers, side)
    return np.ascontiguousarray(np.moveaxis(light * _path(view, 130.0)[..., None], -1, 0)), greens


def _add_curtains(
    light: FloatArray,
    greens: list[FloatArray],
    curtains: Sequence[Curtain],
    view: View,
    dip_deg: float,
    layers: int,
    side: int,
) -> None:
    """Add up to four curtains to light of shape (height, width, 3)."""
    planes = np.stack([one.brightness_kr * _drawn(one, side) for one in curtains], axis=-1)
    # Red fades so slowly that it smears.
    soft = cv2.GaussianBlur(planes, (0, 0), 1.5 + side / 60.0).reshape(planes.shape)
    heights = _heights(curtains, layers)
    weights = np.stack([_weights(one, heights) for one in curtains])
    slope = 1.0 / np.tan(np.radians(dip_deg))
    brightest = [int(np.argmax(weights[number, :, 0])) for number in range(len(curtains))]
    for layer, height in enumerate(heights):
        east, north = view.ground_km(float(height))
        column, row = _on_map(east, north + np.float32((height - _SHELL_KM) * slope), side)
        sharing = weights[:, layer]
        if sharing[:, (0, 2)].max() > 1e-3:
            sheets = _remapped(planes, column, row)
            light[..., 0] += sheets @ sharing[:, 0]
            light[..., 2] += sheets @ sharing[:, 2]
            greens.extend(
                sheets[..., number] for number in range(len(curtains)) if brightest[number] == layer
            )
        if sharing[:, 1].max() > 5e-3:
            light[..., 1] += _remapped(soft, column, row) @ sharing[:, 1]


def _remapped(planes: FloatArray, column: FloatArray, row: FloatArray) -> FloatArray:
    """Planes (rows, columns, n) at places."""
    found = cv2.remap(planes, column, row, cv2.INTER_LINEAR)
    return np.asarray(found, np.float32).reshape(*column.shape, planes.shape[-1])


def _weights(curtain: Curtain, heights: FloatArray) -> FloatArray:
    """Share of each layer in green, red and blue light; shape (layers, 3)."""
    thickness = np.gradient(heights)
    green = _profile(heights, curtain.bottom_km, curtain.depth_km) * thickness
    blue = _profile(heights, curtain.bottom_km, 0.8 * curtain.depth_km) * thickness
    red = np.exp(-np.square((heights - 240.0) / 55.0)) * thickness
    return np.stack(
        [
            green / green.sum(),
            1.6 * curtain.red * red / max(float(red.sum()), 1e-6),
            curtain.blue * blue / blue.sum(),
        ],
        axis=-1,
    ).astype(np.float32)


def glow_light(glow: Glow, view: View) -> FloatArray:
    """Light of diffuse aurora in kR of its brightness: shape (3, height, width)."""
    east, north = view.ground_km(115.0)
    across = (north - np.float32(glow.north_km) - np.float32(glow.tilt) * east) / np.float32(
        glow.half_width_km
    )
    band = np.exp(-np.square(across) * np.abs(across))
    lumps = noise(east, north, glow.seed, glow.patch_km, 34, stretch=1.8, offset_km=glow.offset_km)
    veil = np.clip(0.75 + 0.25 * lumps, 0.1, 1.6)
    patches = 1.0 / (1.0 + np.exp(-(lumps - 0.5) * np.float32(5.0)))
    if glow.pulsation > 0:
        phase = 2 * np.pi * (glow.pulse + 0.8 * noise(east, north, glow.seed + 1, 1.7 * glow.patch_km, 36))
        patches = patches * (1.0 - np.float32(glow.pulsation) * (0.5 + 0.5 * np.cos(phase)))
    share = np.float32(glow.patchiness)
    shape = band * ((1 - share) * veil + share * (1.25 * patches + 0.08)) * _path(view, 115.0)
    return np.asarray(
        shape[None] * np.asarray([1.0, glow.red, glow.blue], np.float32)[:, None, None], np.float32
    )


def _heights(curtains: Sequence[Curtain], layers: int) -> FloatArray:
    """Heights of the layers: dense at the lower borders, up to where red shines."""
    low = min(one.bottom_km for one in curtains) - 3.0
    share = np.linspace(0.0, 1.0, layers) ** 1.8
    return np.asarray(low + share * (300.0 - low), np.float32)


def _profile(heights: FloatArray, bottom_km: float, depth_km: float) -> FloatArray:
    """Light against height: a sharp lower border, a slow fall above."""
    above = np.maximum(heights - bottom_km + 3.0, 0.0) / depth_km
    return np.asarray(above**0.4 * np.exp(-above) + 1e-6, np.float32)


def _path(view: View, height_km: float) -> FloatArray:
    """How much longer a thin layer is seen slantwise (van Rhijn 1921)."""
    sine = np.sin(view.zenith) * np.float32(6371.0 / (6371.0 + height_km))
    return np.asarray(1.0 / np.sqrt(1.0 - np.square(sine)), np.float32)


def _on_map(east_km: FloatArray, north_km: FloatArray, side: int) -> tuple[FloatArray, FloatArray]:
    """Column and row on the squeezed map: true scale overhead, ever smaller outwards."""
    scale = np.float32(0.5 * side) / (np.hypot(east_km, north_km) + np.float32(_SQUEEZE_KM))
    middle = np.float32((side - 1) / 2.0)
    return middle + east_km * scale, middle - north_km * scale


def _drawn(curtain: Curtain, side: int) -> FloatArray:
    """The curtain's line on the map of the ground, 0 to about 1."""
    count = 420 if curtain.rays > 0.3 or curtain.curl > 0.2 else 160
    # More points overhead, where a kilometre is many pixels.
    spread = np.sinh(np.linspace(-2.6, 2.6, count)) / np.sinh(2.6)
    middle, half = (curtain.from_km + curtain.to_km) / 2, (curtain.to_km - curtain.from_km) / 2
    along = np.clip(spread * 1400.0, middle - half, middle + half)
    x, y = along.copy(), curtain.north_km + curtain.tilt * along - curtain.bend_km * np.square(along / 1000.0)
    for fold in curtain.folds:
        angle = 2 * np.pi * along / fold.length_km + fold.phase
        y = y + fold.amplitude_km * np.sin(angle)
        x = x + curtain.curl * fold.amplitude_km * np.sin(2 * angle + 0.5)
    column, row = _on_map(x.astype(np.float32), y.astype(np.float32), side)
    brightness = _along(curtain, along) * np.clip(
        (half - np.abs(along - middle)) / (0.15 * half + 40.0), 0, 1
    )
    scale = 0.5 * side * _SQUEEZE_KM / np.square(np.hypot(x, y) + _SQUEEZE_KM)
    layer = np.zeros((side, side), np.float32)
    points = np.round(np.stack([column, row], axis=-1) * 16).astype(np.int32)
    width = np.clip(np.round(curtain.width_km * scale), 1, 60).astype(int)
    for number in np.argsort(brightness[:-1]):  # where the line crosses itself the brighter part shows
        if brightness[number] > 0.01:
            start, end = points[number], points[number + 1]
            cv2.line(layer, start, end, float(brightness[number]), int(width[number]), cv2.LINE_8, 4)
    sharp = cv2.GaussianBlur(layer, (0, 0), max(0.7, side / 300.0))
    return np.asarray(sharp + 0.25 * cv2.GaussianBlur(layer, (0, 0), max(1.5, side / 60.0)), np.float32)


def _along(curtain: Curtain, along_km: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness along the sheet: slow swells, and rays."""
    table = tile(curtain.seed, 14)[curtain.seed % 256]
    swell = tile(curtain.seed + 3, 34)[(curtain.seed // 7) % 256]
    place = (along_km - curtain.ray_offset_km) / curtain.ray_km * 256.0
    far = (along_km - 0.3 * curtain.ray_offset_km) / (9.0 * curtain.ray_km + 900.0) * 256.0
    rays = np.interp(place, np.arange(256), table, period=256.0)
    slow = np.interp(far, np.arange(256), swell, period=256.0)
    rayed = np.clip(0.55 + 0.5 * rays, 0.02, 2.0) ** 1.5
    level = (1 - curtain.rays) * 0.8 + curtain.rays * rayed
    return np.asarray(level * np.clip(0.8 + 0.3 * slow * (0.4 + curtain.rays), 0.05, 1.6))
