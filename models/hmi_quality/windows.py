"""The texture of a frame in small windows at full resolution: granulation, noise, emptiness (numpy)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.hmi_quality.plane import Plane, Scene

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

_SIDE_PX = 32
_ACROSS = 20  # windows along a side, at most
_LEAST_SIDE_PX = 12


@dataclass(frozen=True)
class Windows:
    """What each window shows; arrays of shape (n,).

    Attributes
    ----------
    x_px, y_px : ndarray
        Middles.
    radius : ndarray
        Distance of the middle from disk centre in solar radii; 0 where that is unknown.
    is_whole : ndarray of bool
        All pixels measured.
    level : ndarray
        Mean.
    spread : ndarray
        Standard deviation about a plane fitted to the window.
    noise : ndarray
        Standard deviation of what changes from pixel to pixel alone (Immerkaer 1996, Comput. Vis.
        Image Underst. 64, 300).
    lag1, lag2 : ndarray
        Correlation of each pixel with the next, and with the next but one.
    side_px : int
    """

    x_px: FloatArray
    y_px: FloatArray
    radius: FloatArray
    is_whole: BoolArray
    level: FloatArray
    spread: FloatArray
    noise: FloatArray
    lag1: FloatArray
    lag2: FloatArray
    side_px: int


def windows_of(plane: Plane, scene: Scene) -> Windows | None:
    """Look at windows spread evenly over the frame, on the disk where one is known.

    Returns
    -------
    Windows or None
        None when the frame is too small for any.
    """
    height, width = plane.pixels.shape
    side = min(_SIDE_PX, height // 3, width // 3)
    if side < _LEAST_SIDE_PX:
        return None
    corners = np.meshgrid(_starts(width, side), _starts(height, side))
    x, y = corners[0].ravel(), corners[1].ravel()
    middle = (side - 1) / 2.0
    radius = np.zeros(len(x), np.float32)
    disk = scene.seen
    if disk is not None:
        radius = np.hypot(x + middle - disk.center_x_px, y + middle - disk.center_y_px) / disk.radius_px
        inside = radius < 1.0 - 0.75 * side / disk.radius_px
        x, y, radius = x[inside], y[inside], radius[inside]
    elif scene.place is not None:
        squared = np.concatenate(
            [
                scene.place.mu_squared((0, row, width, row + 1))[0, x[y == row - side // 2] + side // 2]
                for row in np.unique(y) + side // 2
            ]
        )
        radius = np.sqrt(np.clip(1.0 - squared, 0.0, None))
    if not len(x):
        return None
    values = np.stack(
        [plane.pixels[b : b + side, a : a + side] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    ).astype(np.float32)
    is_whole = np.asarray(np.isfinite(values).all(axis=(1, 2)))
    level = np.nan_to_num(values.mean(axis=(1, 2)))
    rest = np.nan_to_num(_without_plane(values - level[:, None, None]), nan=0.0)
    variance = np.square(rest).mean(axis=(1, 2))
    floor = np.maximum(variance, np.float32(1e-30))
    return Windows(
        x + middle,
        y + middle,
        radius.astype(np.float32),
        is_whole,
        level,
        np.sqrt(variance),
        _noise(rest),
        _correlation(rest, 1) / floor,
        _correlation(rest, 2) / floor,
        side,
    )


def _starts(length: int, side: int) -> NDArray[np.int64]:
    count = min(_ACROSS, length // side)
    return np.rint(np.linspace(0, length - side, count)).astype(np.int64)


def _without_plane(values: FloatArray) -> FloatArray:
    side = values.shape[1]
    along = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    norm = np.float32(np.square(along).sum() * side)
    right = np.einsum("nij,j->n", values, along) / norm
    up = np.einsum("nij,i->n", values, along) / norm
    return np.asarray(
        values - right[:, None, None] * along[None, None, :] - up[:, None, None] * along[None, :, None]
    )


def _noise(rest: FloatArray) -> FloatArray:
    """Median, not mean, of the second difference's size: an edge or a spot in the window matters little."""
    across = rest[:, :, :-2] - 2 * rest[:, :, 1:-1] + rest[:, :, 2:]
    both = across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:]
    # A Gaussian's median size is 0.6745 sigma, and the operator has norm 6.
    return np.asarray(np.median(np.abs(both), axis=(1, 2)) / np.float32(0.6745 * 6.0))


def _correlation(rest: FloatArray, lag: int) -> FloatArray:
    across = (rest[:, :, lag:] * rest[:, :, :-lag]).mean(axis=(1, 2))
    along = (rest[:, lag:] * rest[:, :-lag]).mean(axis=(1, 2))
    return np.asarray((across + along) / 2)
