"""Pictures of a training and of an evaluation: curves, samples, best and worst cases (matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.data import Sample
from models.aia_segmentation.preparation import BRIGHTEST, DARKEST, EVENT_TYPES
from models.journal import draw_curves
from models.mosaic import mosaic

FloatArray = NDArray[np.floating]
BytePicture = NDArray[np.uint8]

_FOUND, _TRUTH = (60, 60, 255), (80, 220, 80)  # blue, green, red: red is what the model says
_TILE = 384


def draw_run(folder: Path, samples: Sequence[Sample], found: FloatArray) -> None:
    """Curves of the run and its validation pictures with truth (green) and result (red)."""
    draw_curves(folder)
    tiles = []
    for sample, probability in list(zip(samples, found, strict=True))[:12]:
        for number in range(len(EVENT_TYPES)):
            if sample.weight[number].any():
                shown = grey(sample.brightness)
                truth = sample.target[number] >= 0.5
                tiles.append(outlined_tile(shown, probability[number] >= 0.5, truth, sample.name))
    if tiles:
        cv2.imwrite(str(folder / "samples.jpg"), mosaic(tiles, columns=4))


def grey(brightness: FloatArray) -> BytePicture:
    """The network's brightness as a grey picture."""
    return np.clip(255 * (brightness - DARKEST) / (BRIGHTEST - DARKEST), 0, 255).astype(np.uint8)


def outlined_tile(
    picture: NDArray[np.generic], found: NDArray[np.bool_], truth: NDArray[np.bool_], title: str
) -> BytePicture:
    """One picture with both outlines and a title."""
    plane = np.asarray(picture, np.uint8)
    tile = cv2.resize(plane, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    tile = cv2.cvtColor(tile, cv2.COLOR_GRAY2BGR) if tile.ndim == 2 else tile[..., ::-1].copy()
    for mask, colour in ((truth, _TRUTH), (found, _FOUND)):
        small = cv2.resize(mask.astype(np.uint8) * 255, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        lines, _ = cv2.findContours((small > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, lines, -1, colour, 1)
    cv2.putText(tile, title, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
