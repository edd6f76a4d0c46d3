"""Figures of a training and of an evaluation (matplotlib and OpenCV)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aurora.data import CLASSES, Skies, decode
from models.aurora.measures import aurora_of, reliability, roc, softmax
from models.aurora.preparation import CHANNELS
from models.journal import draw_curves
from models.mosaic import mosaic

FloatArray = NDArray[np.floating]

_TILE = 192
_SHOWN = 24


def draw_training(folder: Path, skies: Skies, logits: FloatArray, maps: FloatArray) -> None:
    """Curves of the run, and validation skies with what was found of them."""
    draw_curves(folder)
    probabilities = softmax(logits[:_SHOWN])
    cloud = 1 / (1 + np.exp(-maps[:_SHOWN, 0]))
    tiles = []
    for number in range(min(_SHOWN, len(skies))):
        true = "?" if skies.classes[number] < 0 else str(CLASSES[skies.classes[number]])
        best = int(probabilities[number].argmax())
        title = f"{true} / {CLASSES[best]} {probabilities[number, best]:.2f}"
        tiles.append(tile(decode(skies.squares[number]), cloud[number], title))
    cv2.imwrite(str(folder / "samples.jpg"), mosaic(tiles, columns=6))


def draw_confusion(matrix: NDArray[np.integer], names: Sequence[str], output: Path, title: str = "") -> None:
    """Shares of each true class (row) by what was found (column), with the numbers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axis = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*matrix.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        words = f"{100 * shares[row, column]:.0f} %\n{matrix[row, column]}"
        axis.text(column, row, words, ha="center", va="center", color=colour, fontsize=8)
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("found")
    axis.set_ylabel("true")
    axis.set_title(title, fontsize=10)
    figure.savefig(output, dpi=100)


def draw_roc(
    curves: Mapping[str, tuple[FloatArray, NDArray[np.bool_]]], output: Path, title: str = ""
) -> None:
    """Receiver operating characteristic of each named (score, truth)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axis = figure.subplots()
    for name, (score, is_true) in curves.items():
        false, true, area = roc(score, is_true)
        axis.plot(false, true, label=f"{name}, area {area:.3f}")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.7, linestyle=":")
    axis.set_xlabel("false positive rate")
    axis.set_ylabel("true positive rate")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="lower right")
    figure.savefig(output, dpi=100)


def draw_reliability(
    curves: Mapping[str, tuple[FloatArray, NDArray[np.bool_]]], output: Path, title: str = ""
) -> None:
    """Share that was true against the probability that was said."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.8), layout="constrained")
    axis = figure.subplots()
    for name, (probability, is_true) in curves.items():
        rows = reliability(probability, is_true)
        axis.plot([row[0] for row in rows], [row[1] for row in rows], marker="o", label=name)
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.7, linestyle=":")
    axis.set_xlabel("probability said")
    axis.set_ylabel("share that was so")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8)
    figure.savefig(output, dpi=100)


def draw_classes(
    folder: Path, name: str, probabilities: FloatArray, true: NDArray[np.integer], report: Mapping[str, Any]
) -> None:
    """Confusion, ROC and reliability of one set of skies."""
    folder.mkdir(parents=True, exist_ok=True)
    matrix = np.array(report["confusion"]["rows_true"])
    words = f"{name}: {100 * report['six_classes']:.1f} % balanced of {len(true)}"
    draw_confusion(matrix, report["confusion"]["classes"], folder / f"{name}-confusion.png", words)
    each = {
        str(kind): (probabilities[:, n], true == n) for n, kind in enumerate(CLASSES) if (true == n).any()
    }
    is_auroral = np.isin(true, [0, 1, 2])
    both = {"aurora": (aurora_of(probabilities), is_auroral)}
    draw_roc(both | each, folder / f"{name}-roc.png", name)
    draw_reliability(both | each, folder / f"{name}-reliability.png", name)


def draw_grid(rows: Sequence[Mapping[str, Any]], output: Path) -> None:
    """Cross-validated accuracy of a head against its regularisation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axis = figure.subplots()
    for name in dict.fromkeys(row["backbone"] for row in rows):
        of_one = [row for row in rows if row["backbone"] == name]
        heights = [row["accuracy"] for row in of_one]
        axis.errorbar(
            [row["c"] for row in of_one],
            heights,
            yerr=[row["deviation"] for row in of_one],
            marker="o",
            label=name,
        )
    axis.set_xscale("log")
    axis.set_xlabel("C")
    axis.set_ylabel("balanced accuracy, cross-validated")
    axis.legend(fontsize=8)
    figure.savefig(output, dpi=100)


def tile(image: FloatArray, cloud: FloatArray | None, title: str) -> NDArray[np.uint8]:
    """One square in its colours, its cloud map beside it, and a title."""
    light = image[CHANNELS.index("stretched")]
    green, red = image[CHANNELS.index("green")], image[CHANNELS.index("red")]
    outer = 1 - green / 3
    picture = np.stack([outer - red, 1 + 2 * green / 3, outer + red], axis=2) * light[..., None]
    shown = cv2.resize(np.clip(255 * picture, 0, 255).astype(np.uint8), (_TILE, _TILE))
    if cloud is not None:
        plane = cv2.resize((255 * np.clip(cloud, 0, 1)).astype(np.uint8), (_TILE // 2, _TILE // 2))
        beside = np.zeros((_TILE, _TILE // 2, 3), np.uint8)
        beside[_TILE // 4 : _TILE // 4 + _TILE // 2] = plane[..., None]
        shown = np.hstack([shown, beside])
    cv2.putText(shown, title, (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (90, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(shown, np.uint8)
