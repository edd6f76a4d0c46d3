"""Augmentation: turns, mirrors, scale, brightness, lost edges and covered corners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.data import Sample
from models.aia_segmentation.preparation import BRIGHTEST, DARKEST, cover_beyond_limb, planes

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed; 0 everywhere changes nothing.

    Attributes
    ----------
    scale : float
        Disk larger or smaller by up to this share: pointings err.
    shift_cells : float
    contrast, offset : float
        Brightness times exp(normal) and plus normal: the scale of `preparation` is not exact.
    contrast_absolute, offset_absolute : float
        The same for pictures whose scale is that of their archive.
    noise : float
    limb_crop_share, clip_share, caption_share, blur_share : float
        Share of pictures whose corona is covered, whose dark end is cut off (as browse pictures'
        is), that have a covered corner, or are out of focus.
    """

    is_turned: bool = True
    scale: float = 0.02
    shift_cells: float = 1.5
    contrast: float = 0.1
    offset: float = 0.06
    contrast_absolute: float = 0.03
    offset_absolute: float = 0.02
    noise: float = 0.03
    limb_crop_share: float = 0.2
    clip_share: float = 0.4
    caption_share: float = 0.1
    blur_share: float = 0.15


def augmented(
    sample: Sample, how: Augmentation, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Input planes, target and weight of one changed copy."""
    side = sample.brightness.shape[0]
    matrix = _placement(side, how, rng)

    def move(plane: FloatArray, border: float) -> FloatArray:
        # Nearest would shred soft edges; a corner that turns in is corona or unknown.
        return np.asarray(
            cv2.warpAffine(
                plane.astype(np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=border
            )
        )

    if sample.is_absolute:
        how = replace(how, contrast=how.contrast_absolute, offset=how.offset_absolute)
    brightness = change_brightness(move(sample.brightness, -1.0), how, rng)
    target = np.stack([move(plane, 0.0) for plane in sample.target])
    weight = np.stack([move(plane, 0.0) for plane in sample.weight])
    return planes(brightness, sample.channel), target, weight


def _placement(side: int, how: Augmentation, rng: np.random.Generator) -> FloatArray:
    angle = rng.uniform(0, 2 * np.pi) if how.is_turned else 0.0
    scale = 1 + rng.uniform(-how.scale, how.scale)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if how.is_turned and rng.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    middle = np.full(2, (side - 1) / 2)
    shift = rng.uniform(-how.shift_cells, how.shift_cells, 2)
    return np.column_stack([turn, middle - turn @ middle + shift])


def change_brightness(value: FloatArray, how: Augmentation, rng: np.random.Generator) -> FloatArray:
    """Another instrument, another picture scale, a worse focus."""
    side = value.shape[0]
    if rng.random() < how.limb_crop_share:
        value = cover_beyond_limb(value)
    if rng.random() < how.blur_share:
        value = cv2.GaussianBlur(value, (0, 0), rng.uniform(0.4, 1.1))
    value = value * np.float32(np.exp(rng.normal(0, how.contrast))) + np.float32(rng.normal(0, how.offset))
    if rng.random() < how.clip_share:
        value = np.maximum(value, np.float32(rng.uniform(-1.3, -0.6)))
    value = value + np.float32(how.noise * rng.random()) * rng.standard_normal(value.shape, np.float32)
    if rng.random() < how.caption_share:
        value = value.copy()
        value[-rng.integers(6, 14) :, : rng.integers(side // 4, side // 2)] = 0.0
    return np.clip(value, DARKEST, BRIGHTEST)


@dataclass(frozen=True)
class Batch:
    """Arrays of one step: planes (n, 3, side, side), target and weight (n, 2, side, side)."""

    planes: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]


def batch_of(
    samples: Sequence[Sample], shares: FloatArray, size: int, how: Augmentation, seed: tuple[int, int]
) -> Batch:
    """Draw a batch; the same seed draws the same one."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(samples), size, p=shares)
    parts = [augmented(samples[n], how, rng) for n in drawn]
    return Batch(*(np.stack(group).astype(np.float32) for group in zip(*parts, strict=True)))


def plain_batch(samples: Sequence[Sample]) -> Batch:
    """Samples as they are."""
    return Batch(
        np.stack([planes(s.brightness, s.channel) for s in samples]),
        np.stack([s.target for s in samples]).astype(np.float32),
        np.stack([s.weight for s in samples]).astype(np.float32),
    )


#: How often each source is drawn, before it is divided among its pictures.
SOURCE_SHARES = {"masks": 0.55, "outlines": 0.55, "boxes": 0.35, "pictures": 0.12, "simulated": 0.1}


def shares_of(samples: Sequence[Sample]) -> FloatArray:
    """Chance of each sample to be drawn."""
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.source] = counts.get(sample.source, 0) + 1
    chance = np.array([SOURCE_SHARES.get(s.source, 0.3) / counts[s.source] for s in samples])
    return np.asarray(chance / chance.sum())
