"""Pictures of a training and of an evaluation: curves, samples, best and worst cases (matplotlib)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aia_segmentation.data import Sample
from models.aia_segmentation.preparation import BRIGHTEST, DARKEST, EVENT_TYPES

FloatArray = NDArray[np.floating]
BytePicture = NDArray[np.uint8]

_FOUND, _TRUTH = (60, 60, 255), (80, 220, 80)  # blue, green, red: red is what the model says
_TILE = 384


def draw_run(folder: Path, samples: Sequence[Sample], found: FloatArray) -> None:
    """Curves of the run and its validation pictures with truth (green) and result (red)."""
    draw_curves(folder / "metrics.csv", folder / "curves.png")
    tiles = []
    for sample, probability in list(zip(samples, found, strict=True))[:12]:
        for number in range(len(EVENT_TYPES)):
            if sample.weight[number].any():
                shown = grey(sample.brightness)
                truth = sample.target[number] >= 0.5
                tiles.append(outlined_tile(shown, probability[number] >= 0.5, truth, sample.name))
    if tiles:
        cv2.imwrite(str(folder / "samples.jpg"), mosaic(tiles))


def draw_curves(log: Path, output: Path) -> None:
    """All logged numbers against the step."""
    from matplotlib.figure import Figure

    with log.open() as stored:
        rows = list(csv.DictReader(stored))
    names = [name for name in rows[0] if name != "step"]
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False).ravel()
    steps = [float(row["step"]) for row in rows]
    for axis, name in zip(axes, names, strict=True):
        axis.plot(steps, [float(row[name] or "nan") for row in rows], marker=".")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
    figure.savefig(output, dpi=80)


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


def mosaic(tiles: Sequence[BytePicture], columns: int = 4) -> BytePicture:
    """Tiles side by side."""
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    blank = np.zeros_like(tiles[0])
    filled = [*tiles, *[blank] * (rows * columns - len(tiles))]
    lines = [np.hstack(filled[n * columns : (n + 1) * columns]) for n in range(rows)]
    return np.asarray(np.vstack(lines), np.uint8)
