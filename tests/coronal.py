"""Small coronal frames for tests of composites and films: a disk, a corona, a few bright points."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.making import drop, fits_bytes

NOON = datetime(2024, 5, 8, 12, tzinfo=UTC)


def corona(channel: int, size: int = 96, seed: int = 0, turn_px: float = 0.0) -> np.ndarray:
    """Counts of a channel, rows upwards; ``turn_px`` shifts the pattern on the disk."""
    random = np.random.default_rng(channel * 1000 + seed)
    pattern = cv2.GaussianBlur(random.gamma(0.6, 1.0, (size, 3 * size)), (0, 0), size / 60)
    shifted = np.roll(pattern, round(turn_px), axis=1)[:, :size]
    along = (np.arange(size) - (size - 1) / 2) / (0.39 * size)
    radius = np.hypot(along[None, :], along[:, None])
    fall = np.where(radius < 1, 1.0, np.exp(-8 * np.clip(radius - 1, 0, None)))
    return (10 + 400 * shifted * fall).astype(np.int16)


def aia_cards(channel: int, date_obs: datetime, size: int, **more: Any) -> dict[str, Any]:
    """The part of a level 1.5 header that reading needs."""
    scale = 0.6 * 4096 / size
    return {
        "TELESCOP": "SDO/AIA",
        "INSTRUME": "AIA_3",
        "WAVELNTH": channel,
        "DATE-OBS": date_obs.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-4],
        "EXPTIME": 2.0,
        "LVL_NUM": 1.5,
        "BUNIT": "DN",
        "CTYPE1": "HPLN-TAN",
        "CTYPE2": "HPLT-TAN",
        "CRPIX1": (size + 1) / 2,
        "CRPIX2": (size + 1) / 2,
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
        "CDELT1": scale,
        "CDELT2": scale,
        "CROTA2": 0.0,
        "RSUN_OBS": 958.0,
    } | more


def aia_file(folder: Path, channel: int, seconds: float = 0, *, size: int = 96, name: str = "", **more: Any):
    """A FITS file of a channel so many seconds after noon; each time has its own bytes."""
    moment = NOON + timedelta(seconds=seconds)
    pixels = corona(channel, size, turn_px=seconds / 60)
    path = folder / (name or f"aia_{moment:%Y%m%dT%H%M%S}_{channel}.fits")
    return drop(path, fits_bytes(pixels, aia_cards(channel, moment, size, **more)))
