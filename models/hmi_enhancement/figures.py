"""Pictures of a training and of an evaluation: samples, and methods beside each other (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

_SHOWN_PX = 200


def draw_samples(output: Path, samples: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> None:
    """Rows of observed, enhanced and target in one stretch, and what is wrong, four times as strong.

    Of the first four pictures, their first 100 input pixels either way; rows upwards.
    """
    rows = []
    for observed, enhanced, target in samples[:4]:
        low, high = np.percentile(target, (0.5, 99.5))
        shown = {"observed": np.kron(observed, np.ones((2, 2))), "enhanced": enhanced, "target": target}
        shown["4 x (enhanced - target)"] = (low + high) / 2 + 4 * (enhanced - target)
        tiles = [_tile(picture, name, low, high) for name, picture in shown.items()]
        rows.append(np.hstack(tiles))
    width = max(row.shape[1] for row in rows)
    cv2.imwrite(str(output), np.vstack([np.pad(row, ((0, 6), (0, width - row.shape[1]))) for row in rows]))


def _tile(picture: FloatArray, title: str, low: float, high: float) -> NDArray[np.uint8]:
    part = picture[:_SHOWN_PX, :_SHOWN_PX][::-1]
    grey = np.clip(255 * (part - low) / max(high - low, 1e-12), 0, 255).astype(np.uint8)
    enlarged = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    framed = np.pad(np.asarray(enlarged), ((18, 0), (0, 6)))
    cv2.putText(framed, title, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1, cv2.LINE_AA)
    return np.asarray(framed, np.uint8)


def draw_methods(
    output: Path, observed: FloatArray, found: Mapping[str, FloatArray], target: FloatArray, side: int = 160
) -> None:
    """The middle of every method's picture beside the target's, in one stretch."""
    from matplotlib.figure import Figure

    pictures = {"observed": np.repeat(np.repeat(observed, 2, 0), 2, 1), **found, "target": target}
    columns = min(4, len(pictures))
    lines = -(-len(pictures) // columns)
    low, high = np.percentile(target, (0.5, 99.5))
    height, width = (min(side, n) for n in target.shape)
    figure = Figure(figsize=(3.6 * columns, (3.6 * height / width + 0.3) * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, picture) in zip(axes, pictures.items(), strict=False):
        top, left = (max(0, (n - side) // 2) for n in picture.shape)
        part = picture[top : top + side, left : left + side]
        axis.imshow(part, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
        axis.set_title(name, fontsize=10)
    figure.savefig(output, dpi=90)
