"""Pictures of a training and of an evaluation: curves and samples (matplotlib)."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def draw_curves(log: Path, output: Path) -> None:
    """All logged numbers against the step."""
    from matplotlib.figure import Figure

    with log.open() as stored:
        rows = list(csv.DictReader(stored))
    names = [name for name in rows[0] if name not in ("step", "seconds")]
    figure = Figure(figsize=(4 * len(names), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False).ravel()
    steps = [float(row["step"]) for row in rows]
    for axis, name in zip(axes, names, strict=True):
        axis.plot(steps, [float(row[name] or "nan") for row in rows], marker=".")
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
    figure.savefig(output, dpi=80)


def draw_samples(output: Path, samples: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> None:
    """Rows of observed, enhanced and target in one stretch, and what is wrong, four times as strong.

    Of the first four pictures, their first 120 input pixels either way.
    """
    from matplotlib.figure import Figure

    samples = [(o[:120, :120], e[:240, :240], t[:240, :240]) for o, e, t in samples[:4]]
    height = sum(13 / 4 * target.shape[0] / target.shape[1] + 0.3 for _, _, target in samples)
    figure = Figure(figsize=(13, height), layout="constrained")
    axes = figure.subplots(len(samples), 4, squeeze=False)
    for row, (observed, enhanced, target) in zip(axes, samples, strict=True):
        low, high = np.percentile(target, (0.5, 99.5))
        middle = (low + high) / 2
        shown = {"observed": observed, "enhanced": enhanced, "target": target}
        shown["4 × (enhanced − target)"] = middle + 4 * (enhanced - target)
        for axis, (name, picture) in zip(row, shown.items(), strict=True):
            axis.imshow(picture, cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")
            axis.set_title(name, fontsize=9)
            axis.set_axis_off()
    figure.savefig(output, dpi=80)


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
