"""Enhancements made up for tests of what is written of them: cubic interpolation in place of a network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from observatory.analysis import Enhancement, EnhancementNumbers, ModelIdentity, Quantity
from observatory.frame import Frame, RowOrder

MODEL = ModelIdentity("hmi_enhancement", "1.2.3", "ab" * 32, {"psf": "wachter", "noise": 0.001})


def granules(height: int, width: int, level: float = 60_000.0, seed: int = 1) -> np.ndarray:
    """Something like a quiet Sun: 5 % of contrast at the scale of granules."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return (level * (1 + 0.05 * smooth / smooth.std())).astype(np.float32)


def frame_of(pixels: np.ndarray, header: dict[str, Any] | None = None, **more: Any) -> Frame:
    """A continuum frame as reading gives it."""
    more = {"instrument": "hmi-continuum", "row_order": RowOrder.BOTTOM, "unit": "DN/s"} | more
    return Frame(pixels=pixels, header=header or {}, file_name="hmi.Ic_45s.fits", sha256="cd" * 32, **more)


def enhancement_of(
    frame: Frame, window_px: tuple[int, int, int, int] | None = None, **more: Any
) -> Enhancement:
    """Twice the sampling of a frame or of a window of it, by a cubic; edges stay where they are."""
    x0, y0, x1, y1 = window_px or (0, 0, frame.width, frame.height)
    part = frame.pixels[y0:y1, x0:x1].astype(np.float32)
    finer = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    more = {
        "quantity": Quantity.CONTINUUM,
        "trust": np.where(np.isnan(part), 0, np.clip(part / np.nanmax(part), 0, 1)).astype(np.float32),
        "numbers": EnhancementNumbers(0.04, 0.07, None, None, 0.0009, 0.001, 0.98),
        "model": MODEL,
    } | more
    return Enhancement(pixels=finer, window_px=(x0, y0, x1, y1), **more)
