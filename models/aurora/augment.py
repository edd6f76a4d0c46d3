"""Augmentation of squares: turns, mirrors, tone, noise, colour, things in the way."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora.data import CLASSES, Skies, decode, map_targets
from models.aurora.preparation import CHANNELS, GRID, SIDE, STOPS

FloatArray = NDArray[np.float32]

_NAMES = {name: number for number, name in enumerate(CHANNELS)}
_LIGHT = (_NAMES["brightness"], _NAMES["stretched"])
_COLOURS = (_NAMES["green"], _NAMES["red"])
_POINTS, _CONTRAST, _VALID = _NAMES["points"], _NAMES["contrast"], _NAMES["valid"]
_SMOOTHING = 0.04  # of the labels: classes pass into one another


@dataclass(frozen=True)
class Augmentation:
    """How far squares are changed; 0 everywhere and False change nothing.

    Attributes
    ----------
    is_turned : bool
        By any angle, and mirrored half of the time.
    scale, shift : float
        Errors of the circle that was found: relative, and in shares of the square.
    tone : float
        Standard deviation of the logarithms of the exponents put on the light.
    noise : float
        Largest standard deviation of noise put on light and contrast.
    grey_share, balance, saturation : float
        Share of squares without colour; deviation of the white balance; of the logarithm of colourfulness.
    flat : float
        Standard deviation, in brightness, of a slope and of a fall towards the rim put on the light.
    hidden_share : float
        Share of squares a part of which is cut off, or something dark stands before.
    starless_share, blur_share : float
    """

    is_turned: bool = True
    scale: float = 0.04
    shift: float = 0.02
    tone: float = 0.2
    noise: float = 0.16
    grey_share: float = 0.2
    balance: float = 0.09
    saturation: float = 0.25
    flat: float = 0.05
    hidden_share: float = 0.2
    starless_share: float = 0.05
    blur_share: float = 0.15


@dataclass(frozen=True)
class Batch:
    """Arrays of one step.

    Attributes
    ----------
    image : ndarray, shape (n, 7, 128, 128)
    classes : ndarray, shape (n, 6)
        Shares of the classes, sum 1; 0 where nothing is known of a sky's class.
    maps : ndarray, shape (n, 2, 16, 16)
        Shares of cloud and aurora, 0 to 1.
    weight : ndarray, shape (n, 16, 16)
        0 where nothing is known of the maps.
    features : ndarray, shape (n, f), or None
        A teacher's.
    """

    image: FloatArray
    classes: FloatArray
    maps: FloatArray
    weight: FloatArray
    features: FloatArray | None = None


def batch_of(
    skies: Skies, size: int, shares: NDArray[np.float64], how: Augmentation, seed: tuple[int, int]
) -> Batch:
    """Draw a batch; the same seed draws the same one."""
    random = np.random.default_rng(seed)
    drawn = random.choice(len(skies), size, p=shares)
    parts = [augmented(skies, int(number), how, random) for number in drawn]
    image, maps, weight = (
        np.stack(group).astype(np.float32, copy=False) for group in zip(*parts, strict=True)
    )
    return Batch(image, class_shares(skies.classes[drawn]), maps, weight)


def class_shares(classes: NDArray[np.int8]) -> FloatArray:
    """What the network should say of skies of known classes (n, 6); 0 where a class is not known."""
    is_known = classes >= 0
    found = np.zeros((len(classes), len(CLASSES)), np.float32)
    found[is_known] = _SMOOTHING / len(CLASSES)
    found[is_known, classes[is_known]] += np.float32(1.0 - _SMOOTHING)
    return found


def shares_of(classes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Chance of each sky to be drawn: rarer classes oftener, by the square root of their number."""
    counts = np.bincount(classes + 1, minlength=2)
    chance = 1.0 / np.sqrt(np.maximum(counts, 1))[classes + 1]
    chance[classes < 0] *= 0.5  # they teach the maps alone
    return np.asarray(chance / chance.sum())


def augmented(
    skies: Skies, number: int, how: Augmentation, random: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Channels, maps and the maps' weight of one changed copy."""
    image = decode(skies.squares[number])
    maps = map_targets(skies.maps[number])
    weight = skies.is_known[number].astype(np.float32)
    image, maps, weight = _moved(image, maps, weight, how, random)
    _retone(image, how, random)
    _recolour(image, how, random)
    if random.random() < how.hidden_share:
        _hide(image, weight, random)
    return image * image[_VALID], maps, weight


def _moved(
    image: FloatArray, maps: FloatArray, weight: FloatArray, how: Augmentation, random: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    angle = random.uniform(0, 2 * np.pi) if how.is_turned else 0.0
    scale = 1 + how.scale * random.uniform(-1, 1)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if how.is_turned and random.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    shift = how.shift * random.uniform(-1, 1, 2)
    moved = _warp(image, turn, shift, SIDE, cv2.INTER_LINEAR)
    moved[_VALID] = moved[_VALID] > 0.5
    moved_maps = _warp(maps, turn, shift, GRID, cv2.INTER_LINEAR)
    return (
        moved,
        moved_maps,
        (_warp(weight[None], turn, shift, GRID, cv2.INTER_LINEAR)[0] > 0.6).astype(np.float32),
    )


def _warp(
    planes: FloatArray, turn: NDArray[np.float64], shift: NDArray[np.float64], side: int, how: int
) -> FloatArray:
    middle = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([turn, middle - turn @ middle + shift * side])
    return np.stack([cv2.warpAffine(plane, matrix, (side, side), flags=how) for plane in planes])


def _retone(image: FloatArray, how: Augmentation, random: np.random.Generator) -> None:
    """Another tone curve, focus, and more noise."""
    brightness, stretched = _LIGHT
    if how.flat and random.random() < 0.5:
        field = _flat_field(random.normal(0, how.flat, 3))
        image[brightness] += field
        image[stretched] = np.minimum(image[stretched] * np.exp2(np.float32(STOPS) * field), 1)
    image[brightness] = np.clip(image[brightness] * np.exp(how.tone * random.normal()), -1, 1)
    image[stretched] = np.maximum(image[stretched], 0) ** np.float32(np.exp(how.tone * random.normal()))
    image[_CONTRAST] = np.clip(image[_CONTRAST] * np.exp(how.tone * random.normal()), -1, 1)
    image[_POINTS] = np.clip(image[_POINTS] * np.exp(how.tone * random.normal()), 0, 1)
    if random.random() < how.starless_share:
        image[_POINTS] *= np.float32(random.uniform(0, 0.4))
    if random.random() < how.blur_share:
        width = random.uniform(0.4, 1.2)
        for plane in (*_LIGHT, _CONTRAST):
            image[plane] = cv2.GaussianBlur(image[plane], (0, 0), width)
        image[_POINTS] *= np.float32(random.uniform(0.2, 0.9))
    if how.noise and random.random() < 0.5:
        noise = random.standard_normal((SIDE, SIDE), np.float32) * np.float32(how.noise * random.random())
        image[stretched] = np.clip(image[stretched] + noise, 0, 1)
        image[brightness] += noise * np.float32(random.uniform(0.1, 0.5))
        image[_CONTRAST] = np.clip(image[_CONTRAST] + 3 * noise, -1, 1)


def _flat_field(size: NDArray[np.float64]) -> FloatArray:
    """A slope along x and y and a fall towards the rim, in units of brightness."""
    axis = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / np.float32(SIDE / 2)
    along_x, along_y, outward = (np.float32(one) for one in size)
    squared = axis * axis
    rows = along_y * axis + outward * (squared - np.float32(0.25))
    columns = along_x * axis + outward * (squared - np.float32(0.25))
    return np.asarray(rows[:, None] + columns[None, :], np.float32)


def _recolour(image: FloatArray, how: Augmentation, random: np.random.Generator) -> None:
    """No colour, or another white balance and depth of colour."""
    if not image[list(_COLOURS)].any():
        return
    if random.random() < how.grey_share:
        image[list(_COLOURS)] = 0.0
        return
    for plane in _COLOURS:
        depth, offset = np.exp(how.saturation * random.normal()), how.balance * random.normal()
        image[plane] = np.clip(image[plane] * np.float32(depth) + np.float32(offset), -1, 1)


def _hide(image: FloatArray, weight: FloatArray, random: np.random.Generator) -> None:
    """Cut a half plane off at some distance from the zenith, or put something dark before it."""
    angle, distance = random.uniform(0, 2 * np.pi), random.uniform(0.55, 0.95)
    is_cut = random.random() < 0.5
    for side, planes in ((SIDE, image), (GRID, weight[None])):
        axis = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 2)
        is_hidden = axis[None, :] * np.cos(angle) + axis[:, None] * np.sin(angle) > distance
        if side == GRID or is_cut:
            planes[:, is_hidden] = 0.0
        else:
            planes[_LIGHT[0], is_hidden], planes[_LIGHT[1], is_hidden] = -1.0, 0.0
            planes[_CONTRAST : _POINTS + 1, is_hidden] = 0.0
            planes[_COLOURS[0] : _COLOURS[1] + 1, is_hidden] *= np.float32(0.3)
