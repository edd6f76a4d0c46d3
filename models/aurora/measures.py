"""Numbers that say how good classes, probabilities and maps are (numpy)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from observatory.analysis import AURORAL, SkyClass

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.integer]

CLASSES = tuple(SkyClass)
IS_AURORAL = np.array([name in AURORAL for name in CLASSES])
_BINS = 10
_TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(5.0), 161))


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities (n, 6) of logits."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def confusion(found: IntArray, true: IntArray, count: int = len(CLASSES)) -> NDArray[np.int64]:
    """Numbers of (true, found) pairs, shape (count, count)."""
    return np.bincount(true.astype(int) * count + found.astype(int), minlength=count * count).reshape(
        count, count
    )


def balanced_accuracy(found: IntArray, true: IntArray) -> float:
    """Mean over the classes that occur of the share of each that was found; NaN without any."""
    matrix = confusion(found, true, int(max(found.max(initial=0), true.max(initial=0))) + 1)
    totals = matrix.sum(axis=1)
    occurs = totals > 0
    return float(np.mean(np.diag(matrix)[occurs] / totals[occurs])) if occurs.any() else float("nan")


def aurora_of(probabilities: FloatArray) -> FloatArray:
    """Sum of the three auroral classes."""
    return np.asarray(probabilities[:, IS_AURORAL].sum(axis=1))


def two_class_accuracy(probabilities: FloatArray, true: IntArray) -> float:
    """Balanced accuracy of aurora against the rest, by the two-class sums."""
    return balanced_accuracy((aurora_of(probabilities) > 0.5).astype(int), IS_AURORAL[true].astype(int))


def calibration_error(probabilities: FloatArray, true: IntArray) -> float:
    """Expected calibration error of the likeliest class in ten bins (Guo et al. 2017, eq. 3)."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    return _calibration_error(sure, right)


def binary_calibration_error(probability: FloatArray, is_true: NDArray[np.bool_]) -> float:
    """The same of one probability."""
    return _calibration_error(probability, is_true)


def reliability(probability: FloatArray, is_true: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """For each bin with members: mean probability, share that was true, number."""
    bins = np.clip((probability * _BINS).astype(int), 0, _BINS - 1)
    return [
        (float(probability[bins == b].mean()), float(is_true[bins == b].mean()), int((bins == b).sum()))
        for b in range(_BINS)
        if (bins == b).any()
    ]


def _calibration_error(probability: FloatArray, is_true: NDArray[np.bool_]) -> float:
    rows = reliability(probability, is_true)
    total = sum(count for _, _, count in rows)
    return sum(abs(mean - share) * count for mean, share, count in rows) / max(1, total)


def fitted_temperature(logits: FloatArray, true: IntArray) -> float:
    """Temperature by which the true classes are likeliest (Guo et al. 2017, eq. 9)."""
    rows = np.arange(len(true))
    losses = [-np.mean(np.log(softmax(logits / t)[rows, true] + 1e-12)) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def fitted_map_temperature(logits: FloatArray, covered: FloatArray) -> float:
    """Temperature by which the cells' coverage is likeliest."""
    step = max(1, len(logits) // 200_000)
    logits, covered = logits[::step].astype(np.float64), covered[::step].astype(np.float64)
    losses = [np.mean(np.logaddexp(0, logits / t) - covered * logits / t) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def roc(score: FloatArray, is_true: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, float]:
    """False and true positive rates at every threshold, and the area below."""
    order = np.argsort(-score, kind="stable")
    hits = is_true[order]
    last = np.append(np.diff(score[order]) != 0, True)  # ties are one step
    true = np.concatenate([[0], np.cumsum(hits)[last]]) / max(1, hits.sum())
    false = np.concatenate([[0], np.cumsum(~hits)[last]]) / max(1, (~hits).sum())
    return false, true, float(np.trapezoid(true, false))


def report(probabilities: FloatArray, true: IntArray) -> dict[str, Any]:
    """All that is said of classes: accuracies, calibration, confusion."""
    found = probabilities.argmax(axis=1)
    matrix = confusion(found, true)
    totals = matrix.sum(axis=1)
    return {
        "count": len(true),
        "six_classes": balanced_accuracy(found, true),
        "six_classes_plain": float(np.mean(found == true)),
        "two_classes": two_class_accuracy(probabilities, true),
        "two_classes_auc": roc(aurora_of(probabilities), IS_AURORAL[true])[2],
        "calibration_error": calibration_error(probabilities, true),
        "two_class_calibration_error": binary_calibration_error(aurora_of(probabilities), IS_AURORAL[true]),
        "recall": {str(c): float(matrix[n, n] / totals[n]) for n, c in enumerate(CLASSES) if totals[n]},
        "confusion": {"classes": [str(c) for c in CLASSES], "rows_true": matrix.tolist()},
    }
