"""Plain night skies for tests of what is done with all-sky frames: stars, glow, cloud, Moon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np

from observatory.fisheye import Fisheye
from observatory.frame import DateSource, Frame, RowOrder
from observatory.sky import Site

GILLAM = Site(56.38, -94.64)
NIGHT = datetime(2014, 3, 2, 6, 0, tzinfo=UTC)  # the Sun 40 degrees down, the Moon new and down
MOONLIT = datetime(2014, 3, 14, 6, 0, tzinfo=UTC)  # the Moon nearly full and 39 degrees high


def night(
    seed: int = 0,
    *,
    size: tuple[int, int] = (256, 256),
    level: float = 1500.0,
    dark: float = 3400.0,
    noise: float = 60.0,
    stars: int = 80,
    moon: float = 0.0,
    is_oriented: bool = True,
    date_obs: datetime | None = NIGHT,
    site: Site | None = GILLAM,
) -> Frame:
    """A 16-bit frame of a clear sky; `moon` is the Moon's brightness in full scales."""
    random = np.random.default_rng(seed)
    height, width = size
    radius = 0.46 * min(size)
    circle = Fisheye(width / 2, height / 2, radius, is_oriented=is_oriented, source="settings")
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(columns - circle.center_x_px, rows - circle.center_y_px) / radius
    sky = np.where(distance < 1.0, level * (1.0 + 0.3 * distance**2), 0.0).astype(np.float32)
    if stars:
        reach, turn = 0.9 * radius * np.sqrt(random.uniform(0, 1, stars)), random.uniform(0, 2 * np.pi, stars)
        lights = np.zeros_like(sky)
        x = (width / 2 + reach * np.cos(turn)).astype(int)
        lights[(height / 2 + reach * np.sin(turn)).astype(int), x] = random.uniform(3, 60, stars) * level
        sky += cv2.GaussianBlur(lights, (0, 0), 0.8)
    if moon:
        apart = np.hypot(columns - 0.65 * width, rows - 0.4 * height) / radius
        sky += np.where(distance < 1.0, 65535.0 * moon * np.exp(-((apart / 0.06) ** 2)), 0.0)
        sky += np.where(distance < 1.0, 3000.0 * moon * np.exp(-apart / 0.35), 0.0)
    pixels = np.clip(dark + sky + random.normal(0, noise, size), 0, 65535).astype(np.uint16)
    source = DateSource.NONE if date_obs is None else DateSource.HEADER
    return Frame(
        pixels=pixels,
        instrument="themis-asi",
        row_order=RowOrder.TOP,
        date_obs=date_obs,
        date_obs_source=source,
        file_name=f"sky_{seed}.pgm",
        fisheye=circle,
        site=site,
    )


def coloured(frame: Frame, colour: tuple[float, float, float], gain: float = 0.02) -> Frame:
    """The same as a picture of 8 bits in one colour (red, green, blue, about 1 each)."""
    light = np.clip((frame.pixels.astype(np.float32) - 3300.0) * gain, 0, None)
    picture = np.clip(light[..., None] * np.array(colour, np.float32), 0, 255).astype(np.uint8)
    return replace(frame, pixels=picture, instrument="allsky")
