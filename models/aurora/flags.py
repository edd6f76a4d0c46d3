"""Cloud flagged by a viewer in the sectors of a camera, against the network's map of cloud.

The flags and their sectors are those of Mommert 2020, *Cloud Identification from All-sky Camera Data with
Machine Learning* (AJ 159, 178), as his software *cloudynight* lays them out: a circle about the zenith and
four rings of the same width down to the horizon, eight wedges each. `observatory.sky_sectors` ends 15 degrees
above the horizon; the share of cloudy sectors can be compared with either, a single sector with its own alone.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora.inference import AuroraModel
from models.aurora.labelled import frames_of
from observatory.fisheye import Fisheye
from observatory.frame import Frame
from observatory.sky_facts import facts_of
from observatory.sky_view import circle_of, for_analysis, reduction

FloatArray = NDArray[np.floating]

COUNT = 33
SHAPE = (1040, 1392)
"""Rows and columns of the camera."""
_MIDDLE = (700.0, 485.0)  # x, y in pixels of the array
_HORIZON_PX = 480.0
_RINGS, _WEDGES = 5, 8  # the circle about the zenith is the first ring

_CLOUDY = 0.5
_LEAST_SEEN = 0.3  # share of a sector that must be seen for it to be judged
_NEAR = 0.15  # difference of a share of cloudy sectors that counts as agreement


def of_flags(model: AuroraModel, flags: Path) -> dict[str, Any]:
    """Measure against flags: lines of a name and 33 zeros and ones, frames beside them.

    Returns
    -------
    dict
        ``frames``: of each its share of flagged sectors, its ``cloud_cover``, whether the two are near, and
        the share of the flags' own sectors that are rightly cloudy or not (None for a camera of another
        size); ``within_0.15``, how many are near; ``sectors_right`` of all sectors together.
    """
    rows: list[dict[str, Any]] = []
    right: list[NDArray[np.bool_]] = []
    for name, flagged in _read(flags):
        path = next(iter(sorted(flags.parent.glob(f"{name}.fits*"))), None)
        if path is None:
            continue
        frame: Frame = next(frames_of(path))
        small = for_analysis(frame)
        circle = circle_of(small)
        look = model.look(small, circle, facts_of(frame))
        agrees = _agreement(look.cloud, circle, frame, reduction(frame, small.pixels), flagged)
        right.append(agrees)
        true, cover = float(flagged.mean()), look.sky.cloud_cover
        rows.append(
            {
                "file": path.name,
                "flagged": true,
                "cloud_cover": cover,
                "is_near": cover is not None and abs(cover - true) <= _NEAR,
                "sectors_right": float(agrees.mean()) if agrees.size else None,
            }
        )
    judged = np.concatenate(right) if right else np.zeros(0, bool)
    return {
        "frames": rows,
        "within_0.15": sum(row["is_near"] for row in rows),
        "sectors_right": float(judged.mean()) if judged.size else None,
    }


def _read(flags: Path) -> list[tuple[str, NDArray[np.bool_]]]:
    lines = [line.split() for line in flags.read_text().splitlines()]
    return [(words[0], np.array([word == "1" for word in words[1:]])) for words in lines if words]


def _agreement(
    cloud: FloatArray | None,
    circle: Fisheye | None,
    frame: Frame,
    factor: int,
    flagged: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Whether each sector that is seen is rightly cloudy or not."""
    is_ours = (frame.height, frame.width) == SHAPE and flagged.size == COUNT
    if cloud is None or circle is None or not is_ours:
        return np.zeros(0, bool)
    said = by_flagged_sector(cloud, circle, factor)
    is_seen = np.isfinite(said)
    return np.asarray((said >= _CLOUDY)[is_seen] == flagged[is_seen])


def by_flagged_sector(cloud: FloatArray, circle: Fisheye, factor: float) -> FloatArray:
    """Mean probability of cloud in each of the flags' sectors; NaN where less than a third is seen.

    Parameters
    ----------
    cloud : ndarray, shape (g, g)
        On the box around the circle; NaN where the sky is hidden. See `Look.cloud`.
    circle : Fisheye
        In pixels of the picture that was analysed.
    factor : float
        How many times larger the camera's own picture is.
    """
    y, x = np.indices(SHAPE, dtype=np.float32)
    cell = 2.0 * circle.radius_px / cloud.shape[0]  # in pixels of the analysis
    box_x = ((x + 0.5) / factor - 0.5 - circle.center_x_px + circle.radius_px) / cell - 0.5
    box_y = ((y + 0.5) / factor - 0.5 - circle.center_y_px + circle.radius_px) / cell - 0.5
    border = float("nan")
    laid = cv2.remap(cloud.astype(np.float32), box_x, box_y, cv2.INTER_NEAREST, borderValue=border).ravel()
    sector, seen = sector_map().ravel(), np.isfinite(laid)
    inside = sector >= 0
    pixels = np.bincount(sector[inside], minlength=COUNT)
    share = np.bincount(sector[inside & seen], minlength=COUNT)
    total = np.bincount(sector[inside & seen], laid[inside & seen], COUNT)
    return np.where(share < _LEAST_SEEN * pixels, np.nan, total / np.maximum(share, 1))


@lru_cache(maxsize=1)
def sector_map() -> NDArray[np.int8]:
    """Sector of each pixel of the camera, -1 below the horizon: the zenith, then ring by ring outwards.

    Within a ring sectors are counted by the angle from the negative x axis, towards negative y first.
    """
    y, x = np.indices(SHAPE)
    ring = (np.hypot(x - _MIDDLE[0], y - _MIDDLE[1]) / _HORIZON_PX * _RINGS).astype(int)
    angle = np.arctan2(y - _MIDDLE[1], x - _MIDDLE[0]) + np.pi
    wedge = np.minimum((angle / (2 * np.pi) * _WEDGES).astype(int), _WEDGES - 1)
    sector = np.where(ring == 0, 0, 1 + (ring - 1) * _WEDGES + wedge)
    return np.where(ring < _RINGS, sector, -1).astype(np.int8)
