"""What the simulated corona is made of: textures on the sphere, coronal holes, active regions.

Maps are equirectangular: latitude -90 in row 0, longitude eastwards from 0 in column 0, square
cells, twice as wide as high. Textures are drawn isotropically, also at the poles. Objects are
drawn once, on patches of their own, and pasted where rotation has carried them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from models.simulate.degrade import fractal_field
from observatory.analysis import EventType

FloatArray = NDArray[np.float32]

_POLAR_LATITUDE = (48.0, 62.0)  # between them the polar texture takes over


@dataclass(frozen=True)
class Textures:
    """The quiet corona, each field of zero mean and unit variance unless said otherwise.

    Attributes
    ----------
    hair : ndarray, shape (height, 2 * height)
        Fine strands along the (unseen) field lines.
    large : ndarray
        Brighter and darker parts of the Sun, tens of degrees wide.
    mottle : ndarray
        Small-scale unrest of the transition region.
    network : ndarray, 0-1
        Bright lanes of the chromospheric network.
    points : ndarray, 0-1
        Coronal bright points.
    filaments : ndarray, 0-1
        Dark channels.
    """

    hair: FloatArray
    large: FloatArray
    mottle: FloatArray
    network: FloatArray
    points: FloatArray
    filaments: FloatArray


def sphere_noise(random: np.random.Generator, height: int, slope: float) -> FloatArray:
    """Fractal noise on the sphere, alike at the poles and at the equator, unit variance."""
    belt = fractal_field(random, height, slope)
    noise = np.hstack([belt, belt])  # repeats on the far side, which nobody sees at the same time
    caps = fractal_field(random, height, slope)
    rows = np.arange(height, dtype=np.float32)
    latitude = (rows + 0.5) * (180.0 / height) - 90.0
    longitude = (np.arange(2 * height, dtype=np.float32) + 0.5) * (np.pi / height)
    weight = np.clip(
        (np.abs(latitude) - _POLAR_LATITUDE[0]) / (_POLAR_LATITUDE[1] - _POLAR_LATITUDE[0]), 0, 1
    )
    for hemisphere in (-1, 1):
        near = (weight > 0) & (np.sign(latitude) == hemisphere)
        colatitude = (90.0 - np.abs(latitude[near]))[:, None] * (height / 180.0)
        x = colatitude * np.cos(longitude) + height * 0.25
        y = colatitude * np.sin(longitude) + height * (0.25 if hemisphere > 0 else 0.75)
        cap = cv2.remap(
            caps, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        share = weight[near][:, None]
        noise[near] = (noise[near] * (1 - share) + cap * share) / np.sqrt((1 - share) ** 2 + share**2)
    return noise.astype(np.float32)


def draw_textures(random: np.random.Generator, height: int, activity: float) -> Textures:
    """Draw the quiet Sun."""
    degree = height / 180.0
    large = _normal(_blurred(sphere_noise(random, height, 3.6), 2.0 * degree))
    grain = sphere_noise(random, height, 1.6)
    hair = _combed(grain, _smooth(random, height, 9.0 * degree), 7.0 * degree)
    puffs = _normal(sphere_noise(random, height, 2.6))
    ridges = _normal(_smooth(random, height, 0.9 * degree))
    lanes = np.exp(-np.square(ridges / 0.45)) * np.clip(
        0.7 + 0.35 * sphere_noise(random, height, 2.2), 0, 1.6
    )
    return Textures(
        hair=_normal(_normal(hair) + 0.9 * puffs),
        large=large,
        mottle=_normal(sphere_noise(random, height, 1.9)),
        network=np.clip(lanes, 0, 1).astype(np.float32),
        points=_points(random, height, activity),
        filaments=_filaments(random, height, activity),
    )


def _normal(values: FloatArray) -> FloatArray:
    return ((values - values.mean()) / max(float(values.std()), 1e-6)).astype(np.float32)


def _smooth(random: np.random.Generator, height: int, cells: float) -> FloatArray:
    """Noise with structure of about `cells` cells."""
    return _normal(_blurred(sphere_noise(random, height, 0.6), cells / 2.5))


def _blurred(values: FloatArray, sigma: float) -> FloatArray:
    """Blur a map that goes on around the Sun."""
    pad = int(4 * sigma) + 1
    wide = np.concatenate([values[:, -pad:], values, values[:, :pad]], axis=1)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), sigma)[:, pad:-pad], np.float32)


def _combed(grain: FloatArray, potential: FloatArray, length: float) -> FloatArray:
    """Smear noise along the level lines of a potential: a line integral convolution."""
    height, width = grain.shape
    around = np.concatenate([potential[:, -1:], potential, potential[:, :1]], axis=1)
    down, right = (slope[:, 1:-1] for slope in np.gradient(around))
    steepness = np.hypot(down, right) + 1e-6
    # Along the gradient, as loops run from one polarity to the other.
    along_x, along_y = (right / steepness).astype(np.float32), (down / steepness).astype(np.float32)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    total, steps = grain.copy(), 7
    for sign in (1.0, -1.0):
        at_x, at_y = x.copy(), y.copy()
        for _ in range(steps):
            step = np.float32(sign * length / (2 * steps))
            move_x = cv2.remap(along_x, at_x, at_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
            move_y = cv2.remap(along_y, at_x, at_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_WRAP)
            at_x, at_y = at_x + step * move_x, at_y + step * move_y
            total += cv2.remap(grain, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return total


def _points(random: np.random.Generator, height: int, activity: float) -> FloatArray:
    """Coronal bright points: some hundred small knots, spread evenly over the sphere."""
    layer = np.zeros((height, 2 * height), np.float32)
    degree = height / 180.0
    for _ in range(int(420 + 60 * activity)):
        latitude = np.degrees(np.arcsin(random.uniform(-0.98, 0.98)))
        x, y = random.uniform(0, 2 * height), (latitude + 90) * degree
        stretch = 1 / max(np.cos(np.radians(latitude)), 0.15)
        radius = random.lognormal(np.log(0.3), 0.5) * degree
        axes = (max(0.5, radius * stretch), max(0.5, radius))
        cv2.ellipse(
            layer,
            (int(x * 16), int(y * 16)),
            (int(axes[0] * 16), int(axes[1] * 16)),
            random.uniform(-30, 30),
            0,
            360,
            random.uniform(0.15, 1.0) ** 2,
            -1,
            cv2.LINE_AA,
            4,
        )
    return _blurred(layer, max(0.5, 0.16 * degree))


def _filaments(random: np.random.Generator, height: int, activity: float) -> FloatArray:
    """Dark winding channels at middle latitudes."""
    layer = np.zeros((height, 2 * height), np.float32)
    degree = height / 180.0
    for _ in range(random.poisson(5 + 12 * activity)):
        length = float(np.clip(random.lognormal(np.log(14), 0.5), 5, 45))
        steps = max(6, int(length * 2))
        heading = random.uniform(-0.5, 0.5) + np.cumsum(random.normal(0, 0.13, steps))
        longitude = random.uniform(0, 360) + np.cumsum(np.cos(heading)) * length / steps
        latitude = (
            random.choice((-1, 1)) * random.uniform(8, 58) + np.cumsum(np.sin(heading)) * length / steps
        )
        points = np.stack([longitude % 360 * degree, (latitude + 90) * degree], axis=-1)
        if np.abs(np.diff(points[:, 0])).max() > height:
            continue  # across the prime meridian
        strength = random.uniform(0.4, 1.0)
        thickness = max(1, round(random.uniform(0.5, 1.1) * degree))
        cv2.polylines(
            layer, [np.round(points * 16).astype(np.int32)], False, strength, thickness, cv2.LINE_AA, 4
        )
    return _blurred(layer, max(0.5, 0.45 * degree))


@dataclass(frozen=True)
class Place:
    """An object of the simulated Sun.

    Attributes
    ----------
    id : int
        Its number in the truth labels.
    event_type : EventType
    latitude_deg, longitude_deg : float
        Carrington coordinates of its middle at the epoch.
    size_deg : float
        About half its width.
    """

    id: int
    event_type: EventType
    latitude_deg: float
    longitude_deg: float
    size_deg: float


@dataclass(frozen=True)
class HolePatch:
    """A coronal hole on its own patch of the map.

    Attributes
    ----------
    level : ndarray, shape (rows, columns)
        Positive inside the hole, 0 on its border, at most about 1.
    across : ndarray, same shape
        Signed distance in degrees from the line along which it would split.
    first_row : int
        Row of the map of the patch's first row.
    """

    place: Place
    level: FloatArray = field(repr=False)
    across: FloatArray = field(repr=False)
    first_row: int


def draw_hole(random: np.random.Generator, place: Place, height: int) -> HolePatch:
    """Draw a coronal hole of irregular shape, in one piece."""
    degree = height / 180.0
    reach = 3.2 * place.size_deg
    low = max(0, int((place.latitude_deg - reach + 90) * degree))
    high = min(height, int((place.latitude_deg + reach + 90) * degree))
    cosine = np.cos(np.radians(place.latitude_deg))
    half = min(height - 1, int(reach / max(cosine, 0.2) * degree))
    latitude = (np.arange(low, high) + 0.5) / degree - 90
    north = (latitude - place.latitude_deg)[:, None]
    west = np.arange(-half, half + 1)[None, :] / degree * cosine
    tilt, stretch = random.uniform(-0.5, 0.5), random.uniform(1.2, 2.1)
    along = north * np.cos(tilt) + west * np.sin(tilt)
    across = -north * np.sin(tilt) + west * np.cos(tilt)
    distance = np.hypot(along / stretch, across * stretch**0.5) / place.size_deg
    noise = cv2.resize(
        fractal_field(random, 128, 3.1), (2 * half + 1, high - low), interpolation=cv2.INTER_CUBIC
    )
    ragged = cv2.resize(
        fractal_field(random, 256, 2.4), (2 * half + 1, high - low), interpolation=cv2.INTER_LINEAR
    )
    level = (1.0 - distance + 0.30 * noise + 0.05 * ragged).astype(np.float32)
    level = _one_piece(np.minimum(level, 1.6 * (2.9 - distance).astype(np.float32)))
    return HolePatch(place, _centred(level), along.astype(np.float32), low)


def _centred(level: FloatArray) -> FloatArray:
    """Move a hole so that its middle is the patch's: noise has pulled it to one side."""
    y, x = np.nonzero(level > 0)
    if not y.size:
        return level
    height, width = level.shape
    move = np.array([[1.0, 0.0, (width - 1) / 2 - x.mean()], [0.0, 1.0, (height - 1) / 2 - y.mean()]])
    return np.asarray(cv2.warpAffine(level, move, (width, height), borderValue=-1.0), np.float32)


def draw_polar_hole(random: np.random.Generator, place: Place, height: int) -> HolePatch:
    """Draw a hole about a pole, reaching down to a ragged latitude."""
    degree = height / 180.0
    hemisphere = 1 if place.latitude_deg > 0 else -1
    latitude = ((np.arange(height) + 0.5) / degree - 90) * hemisphere
    edge = sphere_noise(random, height, 3.0)
    longitude = (np.arange(2 * height) + 0.5) * np.pi / height
    wave = np.zeros(2 * height)
    for m in (1, 2, 3):
        wave += random.uniform(0, 5.0 / m) * np.cos(m * longitude + random.uniform(0, 2 * np.pi))
    depth = latitude[:, None] - (90.0 - place.size_deg) - wave[None, :]
    level = (depth / 9.0 + 0.42 * edge).astype(np.float32)
    kept = latitude > 90.0 - 3.0 * place.size_deg
    first = int(np.flatnonzero(kept)[0])
    level = np.clip(level, -4.0, 1.2)[kept]
    return HolePatch(place, _one_piece(level), np.full(level.shape, 99.0, np.float32), first)


def _one_piece(level: FloatArray) -> FloatArray:
    """Sink all islands but the largest below the border."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((level > 0).astype(np.uint8), connectivity=8)
    if count <= 2:
        return level
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.where((labels == 0) | (labels == largest), level, np.float32(-0.3)).astype(np.float32)


@dataclass(frozen=True)
class ActivePatch:
    """An active region on its own patch of the map.

    Attributes
    ----------
    warm : ndarray
        Loops and fans at a million degrees, in units of the quiet Sun.
    hot : ndarray
        The diffuse core at two million and more.
    plage : ndarray
        What it is in the chromosphere.
    level : ndarray
        Positive inside its truth.
    """

    place: Place
    warm: FloatArray = field(repr=False)
    hot: FloatArray = field(repr=False)
    plage: FloatArray = field(repr=False)
    level: FloatArray = field(repr=False)
    first_row: int


def draw_active_region(random: np.random.Generator, place: Place, height: int) -> ActivePatch:
    """Draw an active region: two polarities, loops between them, fans at their outer sides."""
    degree = height / 180.0
    half = max(6, int(3.4 * place.size_deg * degree))
    middle = int((place.latitude_deg + 90) * degree)
    low, high = max(0, middle - half), min(height, middle + half)
    side = 2 * half
    size = place.size_deg * degree
    tilt = np.radians(random.normal(7, 5)) * (-1 if place.latitude_deg > 0 else 1)
    axis = np.array([np.cos(tilt), np.sin(tilt)])
    poles = [np.array([half, half]) + sign * 0.62 * size * axis for sign in (-1, 1)]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    along = (x - half) * axis[0] + (y - half) * axis[1]
    across = -(x - half) * axis[1] + (y - half) * axis[0]
    noise = cv2.resize(fractal_field(random, 64, 3.0), (side, side), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(fractal_field(random, 128, 1.9), (side, side), interpolation=cv2.INTER_LINEAR)
    distance = np.hypot(along / 1.35, across) / size
    level = (1.0 - distance + 0.16 * noise).astype(np.float32)
    envelope = np.clip(level / 0.9, 0, 1) ** 1.3
    loops = _loops(random, poles, size, side)
    moss = np.clip(0.55 + 0.45 * fine, 0, 2)
    core = np.exp(-np.square(distance / 0.62))
    halo = np.exp(-np.square(distance / 1.25)) * np.clip((2.4 - distance) / 0.9, 0, 1)
    strength = random.uniform(0.6, 1.3)
    warm = strength * (8.0 * loops * (0.3 + halo) + 0.9 * envelope * moss)
    hot = strength * (3.6 * core * moss + 1.4 * envelope + 3.0 * loops * (0.2 + halo) + 1.0 * halo)
    plage = strength * (1.9 * np.clip(level + 0.1, 0, 1) * np.clip(0.6 + 0.5 * fine, 0, 2))
    cut = slice(low - (middle - half), side - ((middle + half) - high))
    # On the map a degree of longitude is as wide as one of latitude; on the Sun it is narrower.
    wide = max(side, round(side / np.cos(np.radians(place.latitude_deg))))
    warm, hot, plage, level = (
        cv2.resize(layer.astype(np.float32), (wide, side), interpolation=cv2.INTER_LINEAR)[cut]
        for layer in (warm, hot, plage, level)
    )
    return ActivePatch(place, warm, hot, plage, level, low)


def _loops(random: np.random.Generator, poles: list[np.ndarray], size: float, side: int) -> FloatArray:
    """Bundles of arcs from one polarity to the other, and fans that open outwards."""
    total = np.zeros((side, side), np.float32)
    parameter = np.linspace(0, 1, 20)[:, None]
    from_to = poles[1] - poles[0]
    normal = np.array([-from_to[1], from_to[0]]) / max(float(np.hypot(*from_to)), 1e-6)
    for _ in range(7):
        layer = np.zeros_like(total)
        for _ in range(16):
            start, end = (pole + random.normal(0, 0.28 * size, 2) for pole in poles)
            bulge = normal * random.normal(0, 0.95) * size
            middle = (start + end) / 2 + bulge
            arc = (1 - parameter) ** 2 * start + 2 * parameter * (1 - parameter) * middle + parameter**2 * end
            _stroke(layer, arc, random.uniform(0.25, 1.0) ** 2)
        for _ in range(10):
            outwards = random.choice((0, 1))
            heading = np.arctan2(*((2 * outwards - 1) * from_to)[::-1]) + random.normal(0, 0.75)
            length = random.uniform(0.5, 1.7) * size
            bend = random.normal(0, 0.5)
            angle = heading + bend * parameter[:, 0]
            start = poles[outwards] + random.normal(0, 0.22 * size, 2)
            fan = start + np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=-1), axis=0) * length / 20
            _stroke(layer, fan[:12], random.uniform(0.3, 0.9) ** 2)
            _stroke(layer, fan[11:], random.uniform(0.05, 0.25))
        total += cv2.GaussianBlur(layer, (0, 0), max(0.45, 0.018 * size))
    return total / 2.2


def _stroke(layer: FloatArray, points: np.ndarray, brightness: float) -> None:
    cv2.polylines(layer, [np.round(points * 16).astype(np.int32)], False, brightness, 1, cv2.LINE_AA, 4)
