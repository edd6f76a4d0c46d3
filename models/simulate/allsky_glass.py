"""Simulated light that the glass before the detector adds: stray moonlight, images of the Moon, rings of the dome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.simulate import allsky_light as sources
from models.simulate.allsky_scene import Scene, View

FloatArray = NDArray[np.float32]


def moon_glare(
    scene: Scene, view: View, through: FloatArray, cloud: FloatArray, colour: FloatArray
) -> FloatArray:
    """The Moon's disc, its stray light in the lens, and its aureole in thin cloud."""
    moon = scene.moon
    if moon is None or moon.elevation_deg < -0.3:
        return np.zeros((len(colour), *view.shape), np.float32)
    x, y = view.circle.pixel(np.asarray(90.0 - moon.elevation_deg), np.asarray(moon.azimuth_deg))
    row, column = int(np.clip(y, 0, view.shape[0] - 1)), int(np.clip(x, 0, view.shape[1] - 1))
    direct = sources.moon_disc(moon) * float(through[row, column])
    dirt = scene.dome.dirt
    light = sources.draw_point(
        view, moon.elevation_deg, moon.azimuth_deg, direct, 0.004 * view.circle.radius_px + 0.3
    )
    light = light + sources.glare(view, moon.elevation_deg, moon.azimuth_deg, direct * dirt)
    ghost = _ghosts(scene, view, direct * dirt)
    apart_deg = np.degrees(np.arccos(np.clip(view.cosine_to(moon.elevation_deg, moon.azimuth_deg), -1, 1)))
    scattered = sources.moon_disc(moon) / 3000.0 * cloud * (0.2 + through)
    aureole = scattered * (np.exp(-apart_deg / 9.0) + 0.12 * np.exp(-apart_deg / 35.0))
    return np.asarray(colour * (light + ghost + aureole), np.float32)


def _ghosts(scene: Scene, view: View, light: float) -> FloatArray:
    """Images of the Moon that two surfaces of the lens have thrown back: on its diameter, mostly the far side."""
    moon, dome = scene.moon, scene.dome
    found = np.zeros(view.shape, np.float32)
    if moon is None:
        return found
    random = np.random.default_rng((dome.seed, 4))
    for number in range(dome.ghosts):
        place, wide, strong = (-0.6, 2.5, 2e-3) if number == 0 else _ghost(random, view)
        zenith_deg, turned = place * (90.0 - moon.elevation_deg), moon.azimuth_deg
        if zenith_deg < 0:
            zenith_deg, turned = -zenith_deg, turned + 180.0
        found += sources.draw_point(view, 90.0 - zenith_deg, turned, light * strong, wide)
    return found


def _ghost(random: np.random.Generator, view: View) -> tuple[float, float, float]:
    """Where on the diameter (1 is the Moon), how wide in pixels, and what share of the stray light."""
    wide = view.circle.radius_px * random.uniform(0.01, 0.06)
    return float(random.uniform(-1.1, 0.9)), float(wide), float(10 ** random.uniform(-3.0, -1.7))


def rings(scene: Scene, view: View) -> FloatArray:
    """Rings and crescents about the zenith that the surfaces throw back, as a share of the light."""
    found = np.zeros(view.shape, np.float32)
    random = np.random.default_rng((scene.dome.seed, 6))
    for _ in range(scene.dome.rings):
        place, wide = random.uniform(30.0, 88.0), np.exp(random.uniform(np.log(0.6), np.log(4.0)))
        strong = np.exp(random.uniform(np.log(0.02), np.log(0.25)))
        turn, ends = random.uniform(0, 2 * np.pi), random.uniform(0.0, 3.0)
        across = np.exp(-np.square((np.degrees(view.zenith) - np.float32(place)) / np.float32(wide)))
        along = np.maximum(0.5 + 0.5 * np.cos(view.azimuth - np.float32(turn)), 0.0) ** np.float32(ends)
        found += np.float32(strong) * across * along
    return found
